"""Dose proportionality: power against PowerTOST, slopes against plain regression, level by trials."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.design import Arm, Ascending, Crossover, Parallel, revealed
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.statistics import proportionality
from vtrial.statistics.equivalence import sd_from_cv
from vtrial.trial import AtOnce, Clock, DoseProportionality, Greatest, Potential, Rules, conduct, without_effect

ONCE = Arm(Regimen("300 mg", "24 h", 1, "depot"))
DOSES = {"a": 1.0, "b": 2.0, "c": 8.0}
ANALYSIS = DoseProportionality("a", DOSES)
X = np.log(list(DOSES.values()))
slope = jax.jit(proportionality.slope)


def test_sample_size_and_power_are_powertosts():
    """sampleN.dp(CV = 0.20, doses = c(1, 2, 8), beta0 = 1.02) of PowerTOST 1.5-7, printed with 8 digits."""
    assert proportionality.sample_size(0.2, 1.02, 0.8, (1, 2, 8), crossover=True) == (
        18,
        pytest.approx(0.85452798, abs=1e-8),
    )


@pytest.mark.parametrize("periods", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_the_slope_is_plain_regressions(periods):
    """Some unknown; in one period an intercept, in three subjects and periods as columns of the design."""
    random = np.random.default_rng(2)
    y, x = random.normal(size=(9, periods)), X[random.integers(0, 3, (9, periods))]
    y[random.random(y.shape) < 0.2] = np.nan
    found = slope(jnp.asarray(y), jnp.asarray(x))
    i, p = np.nonzero(np.isfinite(y))
    subjects = i[:, None] == np.unique(i)[None, :] if periods > 1 else np.ones((len(i), 1))
    design = np.column_stack([subjects, *(p == k for k in range(1, periods)), x[i, p]]).astype(float)
    beta, residual, rank, _ = np.linalg.lstsq(design, y[i, p])
    assert found.df == len(i) - rank
    error = np.sqrt(residual[0] / (len(i) - rank) * np.linalg.inv(design.T @ design)[-1, -1])
    np.testing.assert_allclose((found.value, found.error), (beta[-1], error), rtol=1e-9)


def outcomes(trials, patients, truth, cv, periods=()):
    """Log-normal exposures under every dose."""
    shape = (trials, patients, 3, *periods)
    logs = sd_from_cv(cv) * np.random.default_rng(4).normal(size=shape)
    return np.exp(logs + truth * X.reshape(-1, *[1] * len(periods)))


@pytest.mark.slow
@pytest.mark.parametrize("crossed", [True, False])
@pytest.mark.parametrize("edge", [True, False])
def test_power_and_level_of_trials(crossed, edge):
    """At a slope of 1.02, and at the limit by the null's own edge, where it is 5 %."""
    arms, trials, cv = dict.fromkeys(DOSES, ONCE), 6000, 0.2 if crossed else 0.15
    design = Crossover(arms, 3, "7 day") if crossed else Parallel(arms, 12)
    delay = np.arange(1.0, 4.0) if crossed else np.asarray(1.0)
    value = outcomes(trials, sum(design.sizes) + 5, 1.02, cv, (3,) if crossed else ())
    table = Potential(value, np.full(value.shape, np.inf), value, {})
    rules = Rules(design, ANALYSIS, Greatest(), AtOnce(), Clock(delay, "value"), "day")
    if edge:
        # Every arm has the reference's errors there, but a patient of parallel groups is in one arm alone.
        value = outcomes(trials, value.shape[1], 1 + math.log(1.25) / math.log(8), cv, value.shape[3:])
        table = Potential(value, table.until, value, {})
    found = conduct(jax.random.key(3), rules, table)
    n, slope = sum(design.sizes), 1 + math.log(1.25) / math.log(8) if edge else 1.02
    expected = proportionality.power(cv, slope, n, (1, 2, 8), crossover=crossed)
    passed = np.asarray(found.rejected)[:, 2].mean()
    assert abs(passed - expected) < 4 * math.sqrt(expected * (1 - expected) / trials)
    if edge:
        assert expected == pytest.approx(0.05, abs=1e-3)
    lower, upper, effect = (np.asarray(a)[:, 2] for a in (found.comparison.lower, found.comparison.upper, found.effect))
    np.testing.assert_array_equal(np.maximum(-lower, upper) < math.log(1.25), np.asarray(found.rejected)[:, 2])
    truth = (slope - 1) * X[2]
    assert abs(((lower <= truth) & (truth <= upper)).mean() - 0.9) < 4 * math.sqrt(0.09 / trials)
    assert effect.mean() == pytest.approx(truth, abs=4 * effect.std() / math.sqrt(trials))


@pytest.mark.slow
def test_the_edge_is_at_the_limit_over_the_range_of_doses():
    value = np.random.default_rng(1).lognormal(size=(1, 5, 3))
    edge = without_effect(Potential(value, np.full(value.shape, np.inf), value, {}), 0, ANALYSIS.null)
    np.testing.assert_allclose(edge.value[0, :, 2] / edge.value[0, :, 0] / 8, 1.25)
    np.testing.assert_array_equal(edge.value[0, :, 0], value[0, :, 0])
    level, effect = ANALYSIS.target(jnp.asarray(edge.target[0]), 0)
    np.testing.assert_allclose(effect, math.log(1.25) * X / X[2], atol=1e-12)
    assert level[1] > level[0]


def test_a_dose_of_nothing_is_left_out_and_what_cannot_be_analysed_is_told():
    analysis = DoseProportionality("low", {"placebo": 0.0, "low": 1.0, "high": 4.0})
    arm = jnp.asarray(np.repeat([0, 1, 2], 6))
    y = jnp.exp(jnp.asarray(np.random.default_rng(3).normal(size=18)) + jnp.log(4.0) * (arm == 2))
    compare = jax.jit(lambda y: analysis.compare(revealed(arm, y), 3, 1))
    found, broken = compare(jnp.where(arm == 0, 0.0, y)), compare(y.at[17].set(0.0))
    assert found.code.tolist() == [1, 0, 0]
    x = np.log([1.0, 4.0])
    expected = np.polyfit(x[np.repeat([0, 1], 6)], np.log(np.asarray(y)[6:]), 1)[0]
    assert float(found.difference[2]) == pytest.approx((expected - 1) * x[1], rel=1e-9)
    assert broken.code.tolist() == [4, 4, 4]
    assert compare(jnp.full(18, 2.0)).code.tolist() == [1, 0, 2]
    assert compare(jnp.where(arm == 2, jnp.nan, y)).code.tolist() == [1, 0, 1]


@pytest.mark.slow
def test_ascending_doses_have_a_slope_at_the_end():
    """Six on each of three doses, exactly proportional but for one patient in ten who has ten per cent more."""
    design = Ascending(dict.fromkeys(DOSES, ONCE), active=6, limit=1e9)
    value = np.exp(np.log(1.1) * (np.arange(40) % 10 == 0)[None, :, None] + X[None, None]) * np.ones((2, 1, 1))
    rules = Rules(design, ANALYSIS, Greatest(), AtOnce(), Clock(np.asarray(1.0), "value"), "day")
    found = conduct(jax.random.key(0), rules, Potential(value, np.full(value.shape, np.inf), value, {}))
    assert (np.asarray(found.comparison.code) == 0).all()
    assert np.abs(np.asarray(found.comparison.difference)[:, 2]).max() < math.log(1.1)
    np.testing.assert_allclose(found.effect, 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DoseProportionality("a", {"a": 1.0, "b": 1.0}), "two of them above 0"),
        (lambda: DoseProportionality("a", {"a": 0.0, "b": 1.0, "c": 2.0}), "no dose above 0"),
        (lambda: ANALYSIS.check_arms(("a", "c", "b")), "in their order"),
        (lambda: proportionality.power(0.2, 1.0, 18, (1, 1), crossover=True), "two doses or more"),
        (lambda: proportionality.power(0.2, 1.0, 2, (1, 2, 8), crossover=False), "leave no degree"),
        (lambda: proportionality.sample_size(0.2, 1.5, 0.8, (1, 2, 8), crossover=True), "no number of subjects"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
