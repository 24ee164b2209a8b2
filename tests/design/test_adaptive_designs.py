"""Group-sequential and adaptive designs: their level under the null, their power against closed forms and rpact."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from tests.design.simulated import arms, near, simulate
from vtrial.design import (
    BetaBelief,
    DropArms,
    Events,
    GroupSequential,
    Information,
    Look,
    NormalBelief,
    ResponseAdaptive,
    SampleSizeReestimation,
    Seamless,
    revealed,
)
from vtrial.design.comparison import judged
from vtrial.errors import UserError
from vtrial.statistics.boundaries import HaybittlePeto, Spending, WangTsiatis
from vtrial.statistics.dunnett import critical
from vtrial.statistics.futility import BetaSpending, FixedFutility, performance, plan
from vtrial.statistics.spending import OBrienFlemingSpending, PocockSpending

OF = Spending(OBrienFlemingSpending())
TWO, THREE = arms("control", "drug"), arms("control", "low", "high")
LOOKS = (0.5, 0.75, 1.0)
RECALCULATED = GroupSequential(TWO, (100, 50, 50), "control", OF, recalculated=True)


def both_below(z):
    """Return the probability that two statistics against one control, of equal size, are below z under the null."""
    return float(multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf([z, z]))


def beyond(start, end, needed):
    """Return the chance of a first stage z from start to end, and a second of `needed(z)` or more, under the null."""
    return quad(lambda z: norm.pdf(z) * norm.sf(needed(z)), start, end)[0]


def enrolled(trials):
    return (np.asarray(trials.arm) >= 0).sum(1)


RPACT = {
    0.0: (0.025, (0.001525322758, 0.0081240021369), 199.4412674719),
    0.25: (0.41571882506, (0.043394177314, 0.16379805599), 187.4706793236),
    0.5: (0.93882163396, (0.32182984054, 0.43967979537), 145.8330260319),
}
"""By rpact 3.3.4, 200 patients, looks at 50, 75 and 100 %: power, rejection at each interim look, expected size."""


def test_group_sequential_as_rpact():
    replicates = 3000
    trials = simulate(RECALCULATED, *((0.0, e) for e in RPACT), replicates=replicates)
    rejected, look, n = np.asarray(trials.rejected)[:, 1], np.asarray(trials.look), enrolled(trials)
    assert (np.asarray(trials.reason) == np.where(look < 2, 1, 0)).all()
    assert (np.asarray(trials.selected) == np.where(rejected, 1, -1)).all()
    for number, (power, stages, size) in enumerate(RPACT.values()):
        own = slice(number * replicates, (number + 1) * replicates)
        near(rejected[own], power)
        for stage, share in enumerate(stages):
            near(rejected[own] & (look[own] == stage), share)
        assert abs(n[own].mean() - size) < 4 * n[own].std() / np.sqrt(replicates)


def test_the_plan_in_words():
    """Bounds and nominal levels of rpact 3.3.4."""
    rule = BetaSpending(OBrienFlemingSpending(), 0.1)
    said = GroupSequential(TWO, (100, 50, 50), "control", OF, futility=rule, harm=2.0).describe()
    assert "50 %, 75 %, 100 % of the information" in said
    assert "z 2.963, 2.359, 2.014 (nominal p 0.00153, 0.00916, 0.022)" in said
    assert "z 0.332, 1.292" in said
    assert "harm: z -2.000" in said


@pytest.mark.slow
def test_planned_bounds_decide_as_recalculated_ones():
    """Nobody is lost, so that both are the same."""
    planned = GroupSequential(TWO, (100, 50, 50), "control", OF)
    one, two = (simulate(d, (0.0, 0.3), replicates=300) for d in (planned, RECALCULATED))
    np.testing.assert_array_equal(one.rejected, two.rejected)
    np.testing.assert_array_equal(one.look, two.look)


@pytest.mark.slow
@pytest.mark.parametrize("binding", [False, True])
def test_futility_harm_and_less_being_better(binding):
    rule = BetaSpending(PocockSpending(), 0.2, binding)
    design = GroupSequential(TWO, (100, 50, 50), "control", WangTsiatis(0.25), futility=rule, harm=1.5)
    expected = performance(plan(LOOKS, WangTsiatis(0.25), 0.025, rule), 0.0)
    trials = simulate(design, (0.0, 0.0), replicates=4000, least=True)
    look, reason = np.asarray(trials.look), np.asarray(trials.reason)
    near(np.asarray(trials.rejected)[:, 1], expected.power)
    for number in (0, 1):
        near((look == number) & np.isin(reason, (2, 3)), expected.stopping[number])
    near((look == 0) & (reason == 3), norm.cdf(-1.5))


@pytest.mark.slow
@pytest.mark.parametrize("recalculated", [False, True])
def test_several_arms_share_the_level(recalculated):
    """Holm: one of two arms crosses bounds of half the level at one of three looks; the power is above Bonferroni's."""
    design = GroupSequential(THREE, (150, 75, 75), "control", OF, recalculated=recalculated)
    replicates = 4000
    shares = np.tile(LOOKS, 2)
    time = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    together = np.kron([[1.0, 0.5], [0.5, 1.0]], np.ones((3, 3)))
    bounds = np.tile(plan(LOOKS, OF, 0.0125).efficacy, 2)
    exact = 1 - multivariate_normal(np.zeros(6), time * together).cdf(bounds)
    near(simulate(design, (0.0, 0.0, 0.0), replicates=replicates).rejected.any(1), exact)
    there = np.asarray(simulate(design, (0.0, 0.6, 0.6), replicates=500, seed=2).rejected)
    alone = performance(plan(LOOKS, OF, 0.0125), 0.6 * np.sqrt(50)).power
    assert there[:, 1].mean() > alone - 4 * np.sqrt(alone * (1 - alone) / 500)


def test_sample_size_reestimation_as_rpact():
    """rpact 3.3.4, 20,000 trials: N 100, then 100 to 300 for conditional power .9, effect .3: .7973 and E[N] 333.9.

    There is no efficacy stop at the first look, and conditional power assumes the true effect.
    """
    never = HaybittlePeto(8.0)
    design = SampleSizeReestimation(TWO, "control", 100, 100, 300, promising=(0.0, 1.0), effect=0.3, boundary=never)
    trials = simulate(design, (0.0, 0.3), (0.0, 0.0), replicates=5000)
    rejected, n = np.asarray(trials.rejected)[:, 1], enrolled(trials)[:5000]
    near(rejected[:5000], 0.7973, floor=4 * 0.0028)
    near(rejected[5000:], 0.025)
    # Sizes are whole numbers here, half a patient more on average.
    assert abs(n.mean() - 0.5 - 333.9177) < 4 * n.std() * np.sqrt(1 / len(n) + 1 / 20_000)
    assert set(np.unique(n)) >= {200, 400}


@pytest.mark.slow
def test_sample_size_reestimation_keeps_the_level_by_the_effect_seen():
    design = SampleSizeReestimation(TWO, "control", 100, 100, 300, promising=(0.2, 0.9), futility=0.0)
    trials = simulate(design, (0.0, 0.0), replicates=8000)
    first, last = design.critical
    # Stages have equal weights whatever the size of the second; futility is not binding, but is followed.
    near(np.asarray(trials.rejected)[:, 1], norm.sf(first) + beyond(0.0, first, lambda z: np.sqrt(2) * last - z))
    near(np.asarray(trials.reason) == 2, 0.5)


@pytest.mark.parametrize(
    ("effect", "z", "grows"),
    [(0.3, 0.1, False), (0.3, 1.2, True), (None, -1.0, False), (None, 1.6, True), (0.6, 1.5, False), (0.4, 1.0, True)],
)
def test_the_second_stage_is_enlarged_in_the_promising_zone_only(effect, z, grows):
    """After 200 patients: with equal weights the second stage needs z2 = sqrt 2 c - z, and 200 are planned for it."""
    design = SampleSizeReestimation(TWO, "control", 200, 200, 300, promising=(0.3, 0.9), effect=effect)
    found = int(design._second(jnp.asarray(z), jnp.asarray(50.0), jnp.asarray(200)))
    needed = np.sqrt(2) * design.critical[1] - z
    used = z / np.sqrt(50.0) if effect is None else effect
    power = norm.cdf(used * np.sqrt(50.0) - needed)
    wanted = np.ceil(4 * ((needed + norm.ppf(0.9)) / used) ** 2) if used > 0 else np.inf
    expected = int(np.clip(wanted, 200, 300)) if 0.3 <= power < 0.9 else 200
    assert found == expected
    assert (found > 200) == grows


def test_seamless_keeps_the_family_wise_level():
    design = Seamless(THREE, (150, 100), "control", futility=-0.5)
    trials = simulate(design, (0.0, 0.0, 0.0), replicates=6000)
    # Dunnett's p of the better arm is uniform, and the test of both arms is the stricter one.
    start = norm.ppf(both_below(-0.5))
    near(np.asarray(trials.rejected).any(1), beyond(start, 9.0, lambda z: np.sqrt(2) * norm.isf(0.025) - z))
    assert not np.asarray(trials.rejected)[np.asarray(trials.reason) == 2].any()


@pytest.mark.slow
def test_seamless_of_one_arm_is_the_pooled_test():
    """With one arm to select, the combination is the z test of all patients."""
    design = Seamless(TWO, (100, 100), "control")
    trials = simulate(design, (0.0, 0.4), replicates=4000)
    near(np.asarray(trials.rejected)[:, 1], norm.sf(norm.ppf(0.975) - 0.4 * np.sqrt(50)))
    strong = simulate(Seamless(THREE, (150, 100), "control"), (0.0, 0.0, 1.0), replicates=200)
    assert (np.asarray(strong.selected) == 2).mean() > 0.99
    assert not (np.asarray(strong.arm)[:, 150:] == 1).any()  # the arm not selected enrols nobody


@pytest.mark.slow
def test_arm_dropping_without_dropping_is_dunnetts_test():
    design = DropArms(THREE, (90, 90), "control", (2,))
    trials = simulate(design, (0.0, 0.0, 0.0), replicates=6000)
    near(np.asarray(trials.rejected).any(1), 0.025)
    assert f"z {critical((0.5, 0.5), 0.025):.3f}" in design.describe()


@pytest.mark.slow
def test_arm_dropping_picks_the_winner():
    design = DropArms(THREE, (90, 90), "control", (1,), futility=-0.5)
    trials = simulate(design, (0.0, 0.0, 0.0), (0.0, 0.0, 1.5), replicates=6000)
    # The winner's patients of both stages, by Dunnett's critical value of two arms; who won had the greater z.
    needed, slope = critical((0.5, 0.5), 0.025), 1e-4

    def part(z):
        density = (both_below(z + slope) - both_below(z - slope)) / (2 * slope)
        return density * norm.sf(np.sqrt(2) * needed - z)

    near(np.asarray(trials.rejected)[:6000].any(1), quad(part, -0.5, 7.0)[0])
    assert (np.asarray(trials.selected)[6000:] == 2).mean() > 0.999
    arm = np.asarray(trials.arm)[6000:][np.asarray(trials.selected)[6000:] == 2]
    assert ((arm[:, 90:] >= 0).sum(1) == 60).all()
    assert not (arm[:, 90:] == 1).any()


@pytest.mark.slow
def test_response_adaptive_keeps_the_level_and_prefers_the_better_arm():
    """What is lost in power by unequal arms is less than 10 points here."""
    design = ResponseAdaptive(TWO, (60,) * 4, "control")
    near(np.asarray(simulate(design, (0.0, 0.0), replicates=4000).rejected)[:, 1], 0.025, floor=0.002)
    trials = simulate(design, (0.0, 0.4), replicates=1000)
    equal = norm.sf(norm.ppf(0.975) - 0.4 * np.sqrt(60))
    assert equal - 0.1 < np.asarray(trials.rejected)[:, 1].mean() < equal + 0.04
    assert (np.asarray(trials.arm) == 1).sum(1).mean() > 130


def binary(responders, patients):
    arm = jnp.repeat(jnp.arange(2), jnp.asarray(patients), total_repeat_length=sum(patients))
    outcome = jnp.concatenate([jnp.arange(n) < r for n, r in zip(patients, responders, strict=True)]).astype(float)
    share = jnp.asarray(responders) / jnp.asarray(patients)
    error = jnp.sqrt(share * (1 - share) / jnp.asarray(patients))
    same = dict(estimate=share, error=error, difference=share - share[0], spread=error, lower=share, upper=share)
    compared = judged(0, count=jnp.asarray(patients), p=jnp.asarray([1.0, 0.3]), code=jnp.zeros(2, int), **same)
    zero = jnp.asarray(0)
    return Look(zero, jnp.asarray(1.0), revealed(arm, outcome), compared, compared.statistic, 0.05, share)


@pytest.mark.parametrize(
    ("control", "drug", "better"), [((4, 20), (7, 20), 0.847118104), ((4, 20), (12, 20), 0.994563896)]
)
def test_beliefs_of_rates(control, drug, better):
    """P(pA > pB): Beta(8, 14) and Beta(13, 9) against Beta(5, 17)."""
    found = BetaBelief().best(binary((control[0], drug[0]), (control[1], drug[1])), jnp.asarray(1.0))
    assert found[1] == pytest.approx(better, abs=2e-9)
    turned = BetaBelief().best(binary((control[0], drug[0]), (control[1], drug[1])), jnp.asarray(-1.0))
    assert turned[0] == pytest.approx(better, abs=2e-9)
    normal = NormalBelief().best(binary((4, 12), (20, 20)), jnp.asarray(1.0))
    assert normal[1] == pytest.approx(norm.cdf(0.4 / np.hypot(*np.sqrt([0.2 * 0.8 / 20, 0.6 * 0.4 / 20]))), abs=1e-9)


@pytest.mark.parametrize("fixed", [None, 0.4])
def test_shares_of_the_arms(fixed):
    design = ResponseAdaptive(THREE, (50, 50), "control", least=0.1, fixed=fixed)
    share = np.asarray(design.shares(jnp.asarray([0.0, 0.2, 0.8]), 50))
    assert share.sum() == pytest.approx(1)
    assert (share >= 0.1 - 1e-9).all() or fixed
    if fixed:  # Thall-Wathen's power is 50 / 200
        np.testing.assert_allclose(share, [0.4, 0.6 / (1 + 4**0.25), 0.6 * 4**0.25 / (1 + 4**0.25)], atol=1e-9)


def test_information_shares_follow_the_timing():
    events = GroupSequential(TWO, (200, 0), "control", OF, timing=Events((60, 100)))
    np.testing.assert_allclose(events.shares, (0.6, 1.0))
    shares = GroupSequential(TWO, (200, 0, 0), "control", OF, timing=Information(LOOKS))
    np.testing.assert_allclose(shares.shares, LOOKS)


@pytest.mark.slow
def test_looks_at_shares_of_the_outcomes_need_no_new_patients():
    """All 200 patients enrol before the first look, whatever is decided."""
    trials = simulate(
        GroupSequential(TWO, (200, 0, 0), "control", OF, timing=Information(LOOKS)), (0.0, 0.0), replicates=20
    )
    assert (enrolled(trials) == 200).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupSequential(TWO, (50, 50), "controll", OF), "no arm. Did you mean 'control'"),
        (lambda: GroupSequential(arms("control"), (50, 50), "control", OF), "at least one other arm"),
        (lambda: GroupSequential(TWO, (2, 50), "control", OF), "sizes"),
        (lambda: GroupSequential(TWO, (50, 0), "control", OF), "go up"),
        (lambda: GroupSequential(TWO, (50, 50), "control", WangTsiatis(0.0), recalculated=True), "by spending"),
        (
            lambda: GroupSequential(
                TWO, (50, 50), "control", OF, futility=FixedFutility((0.0,), True), recalculated=True
            ),
            "not binding",
        ),
        (lambda: GroupSequential(TWO, (50, 50), "control", OF, harm=-1.0), "harm"),
        (lambda: SampleSizeReestimation(THREE, "control", 50, 50, 90), "two arms"),
        (lambda: SampleSizeReestimation(TWO, "control", 50, 100, 90), "planned"),
        (lambda: SampleSizeReestimation(TWO, "control", 50, 50, 90, promising=(0.9, 0.3)), "zone"),
        (lambda: SampleSizeReestimation(TWO, "control", 50, 50, 90, effect=-0.1), "effect"),
        (lambda: Seamless(THREE, (50, 50, 50), "control"), "two stages"),
        (lambda: Seamless(THREE, (50, 50), "control", alpha=0.7), "one-sided"),
        (lambda: DropArms(THREE, (50, 50), "control", (3,)), "keep"),
        (lambda: DropArms(THREE, (50, 50), "control", (1,), alpha=0.7), "one-sided"),
        (lambda: ResponseAdaptive(THREE, (50, 50), "control", least=0.5), "least"),
        (lambda: ResponseAdaptive(THREE, (50, 50), "control", fixed=1.0), "fixed"),
        (lambda: ResponseAdaptive(THREE, (50, 50), "control", superior=0.4), "superior"),
        (lambda: ResponseAdaptive(THREE, (50, 50), "control", alpha=0.7), "one-sided"),
        (lambda: BetaBelief(0.0), "positive"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
