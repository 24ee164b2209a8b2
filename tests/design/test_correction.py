"""Estimates corrected for looks and selection, by simulation: median-unbiased, with the coverage they should have."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.design.simulated import arms, near, simulate
from vtrial.design import DropArms, GroupSequential, Information, SampleSizeReestimation, Seamless
from vtrial.design.correction import Own, placed
from vtrial.statistics.boundaries import Spending, WangTsiatis
from vtrial.statistics.futility import BetaSpending
from vtrial.statistics.spending import OBrienFlemingSpending, PocockSpending
from vtrial.trial import Sites

TWO, THREE = arms("control", "drug"), arms("control", "low", "high")
OF, POCOCK = Spending(OBrienFlemingSpending()), Spending(PocockSpending())
FUTILE = BetaSpending(PocockSpending(), 0.2)
REPLICATES = 3000


def corrected(design, trials):
    return jax.jit(jax.vmap(lambda record: design.corrected(record, 0.05)))(trials.record)


def shown(design, trials, effect, arm=1, least=False):
    """Errors of the analysis's own estimates and of the corrected ones, in the better direction, and which cover."""
    sign = -1.0 if least else 1.0
    truth = sign * np.broadcast_to(effect, np.asarray(trials.look).shape)
    both = [
        (np.asarray(c.difference)[:, arm], np.asarray(c.lower)[:, arm], np.asarray(c.upper)[:, arm])
        for c in (trials.comparison, corrected(design, trials))
    ]
    return [(sign * (d - truth), (low <= truth) & (truth <= high)) for d, low, high in both]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "effect", "least"),
    [
        pytest.param(GroupSequential(TWO, (100, 50, 50), "control", POCOCK, futility=FUTILE), 0.3, False, id="pocock"),
        pytest.param(
            GroupSequential(TWO, (100, 50, 50), "control", OF, harm=1.0, recalculated=True),
            0.35,
            True,
            id="recalculated",
        ),
        pytest.param(
            GroupSequential(TWO, (200, 0, 0), "control", WangTsiatis(0.4), timing=Information((0.4, 0.7, 1.0))),
            0.4,
            False,
            id="information",
        ),
        pytest.param(
            SampleSizeReestimation(TWO, "control", 100, 100, 300, futility=0.0), 0.3, False, id="re-estimation"
        ),
        pytest.param(
            SampleSizeReestimation(TWO, "control", 60, 140, 300, promising=(0.1, 0.95)), 0.2, True, id="larger"
        ),
    ],
)  # fmt: skip
def test_corrected_estimates_are_median_unbiased_and_cover(design, effect, least):
    # Ten patients come in the time that an outcome takes: looks do not wait for it.
    trials = simulate(design, (0.0, effect), replicates=REPLICATES, least=least, enrolment=Sites(1, "10 1/h"))
    (own, _), (error, covers) = shown(design, trials, effect, least=least)
    assert np.isfinite(error).all()
    near(error > 0, 0.5)
    near(covers, 0.95)
    # What looks bias is taken off: most of the mean error goes.
    assert abs(error.mean()) < abs(own.mean()) + 4 * error.std() / np.sqrt(REPLICATES)


@pytest.mark.slow
def test_looks_bias_the_own_estimate():
    """Pocock bounds at effect .3: the own estimate is above the truth on average."""
    design = GroupSequential(TWO, (100, 50, 50), "control", POCOCK)
    (own, _), (error, _) = shown(design, simulate(design, (0.0, 0.3), replicates=REPLICATES), 0.3)
    assert own.mean() > 4 * own.std() / np.sqrt(REPLICATES)
    less = own - error
    assert less.mean() > 4 * less.std() / np.sqrt(REPLICATES)
    assert abs(error.mean()) < own.mean()
    assert abs((own > 0).mean() - 0.5) > abs((error > 0).mean() - 0.5)


def test_one_look_changes_nothing():
    """On the scale of the analysis, which here has an uneven interval; of two arms one is worse."""
    own = Own(jnp.asarray([0.0, 2.0, -1.0]), jnp.asarray([0.0, 4.0, -2.0]), *jnp.asarray([[0, 1.0, -6], [0, 9.0, 1]]))
    away = jnp.asarray([-1.959963984540054, 0.0, 1.959963984540054])
    found = placed(own, jnp.broadcast_to(away, (3, 3)), 0.05)
    for mine, its in ((found.difference, own.difference), (found.lower, own.lower), (found.upper, own.upper)):
        np.testing.assert_allclose(mine, its, atol=1e-12)
    turned = eqx.tree_at(lambda o: o.z, own, -own.z)
    again = placed(turned, jnp.broadcast_to(away + jnp.asarray([0.0, 1.0, 0.0]), (3, 3)), 0.05)
    assert float(again.difference[1]) == pytest.approx(4.0 - 3.0 / 1.959963984540054)


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [Seamless(THREE, (150, 100), "control"), DropArms(THREE, (150, 0), "control", (1,))],
    ids=["seamless", "winner"],
)
def test_the_winner_of_alike_arms_is_estimated_right(design):
    """The one arm that is left; the lower limit keeps one half of alpha, the upper one is safe."""
    trials = simulate(design, (0.0, 0.0, 0.0), replicates=REPLICATES)
    found = corrected(design, trials)
    middle, lower, upper = (np.asarray(x) for x in (found.difference, found.lower, found.upper))
    assert (np.isfinite(middle).sum(1) == 1 + isinstance(design, DropArms)).all()  # there the control, by itself, too
    left = np.isfinite(middle) & (np.arange(3) > 0)
    near(middle[left] > 0, 0.5)
    near(lower[left] > 0, 0.025)
    assert (upper[left] < 0).mean() < 0.025 + 4 * np.sqrt(0.025 * 0.975 / REPLICATES)
    own = np.asarray(trials.comparison.difference)[left]
    assert own.mean() > 4 * own.std() / np.sqrt(REPLICATES)


@pytest.mark.slow
def test_limits_of_a_selected_arm_hold_where_arms_differ():
    for design in (Seamless(THREE, (150, 100), "control", futility=0.0), DropArms(THREE, (120, 90), "control", (1,))):
        trials = simulate(design, (0.0, 0.1, 0.3), replicates=REPLICATES)
        found = corrected(design, trials)
        lower, upper = np.asarray(found.lower), np.asarray(found.upper)
        truth = np.asarray([0.0, 0.1, 0.3])
        left = np.isfinite(lower) & (np.arange(3) > 0)
        allowed = 0.025 + 4 * np.sqrt(0.025 * 0.975 / REPLICATES)
        assert (lower > truth)[left].mean() < allowed
        assert (upper < truth)[left].mean() < allowed
