"""Every design, found by listing, keeps the contract; and what is special to each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import finished
from vtrial import schema
from vtrial.design import (
    BOIN,
    CRM,
    AbstractDesign,
    Arm,
    Ascending,
    Crossover,
    DoseRanging,
    DropArms,
    GroupSequential,
    Look,
    Parallel,
    ResponseAdaptive,
    SampleSizeReestimation,
    Seamless,
    ThreePlusThree,
    revealed,
)
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.statistics.boundaries import Spending, WangTsiatis
from vtrial.statistics.spending import PocockSpending
from vtrial.trial import AtOnce, Clock, Equivalence, Greatest, Means, Potential, Rules, conduct

REGIMEN = Regimen("300 mg", "12 h", 4, "depot")
THREE = {"low": Arm(REGIMEN), "middle": Arm(REGIMEN), "high": Arm(REGIMEN)}
TWO = {"low": Arm(REGIMEN), "high": Arm(REGIMEN)}
MAKE = {
    "Parallel": lambda: Parallel(THREE, 6),
    "GroupSequential": lambda: GroupSequential(THREE, (9, 9), "low", Spending(PocockSpending()), recalculated=True),
    "SampleSizeReestimation": lambda: SampleSizeReestimation(TWO, "low", 8, 6, 12, boundary=WangTsiatis(0.5)),
    "ResponseAdaptive": lambda: ResponseAdaptive(THREE, (9, 9), "low", superior=0.9),
    "DropArms": lambda: DropArms(THREE, (9, 9), "low", (1,)),
    "Seamless": lambda: Seamless(THREE, (9, 8), "low"),
    "Crossover": lambda: Crossover(THREE, 3, "7 day"),
    "ThreePlusThree": lambda: ThreePlusThree(THREE),
    "BOIN": lambda: BOIN(THREE, 0.3, cohorts=6),
    "CRM": lambda: CRM(THREE, 0.3, cohorts=6),
    "Ascending": lambda: Ascending(THREE, placebo="low", active=3, controls=1),
    "DoseRanging": lambda: DoseRanging(THREE, 6, {"high": 2.0}),
}
"""A small instance of each design; a new design adds its line here."""
NOBODY = revealed(jnp.full(18, -1), jnp.full(18, jnp.nan))


def look(design, arm, outcome, number=0):
    """A look at which everything is known, analysed against the first arm."""
    seen = revealed(arm, outcome)
    compared = Means(design.names[0]).compare(seen, len(design.arms), 0)
    merit = Greatest().merit(compared.estimate, compared.difference)
    return Look(jnp.asarray(number), jnp.asarray(1.0), seen, compared, compared.statistic, 0.05, merit)


@pytest.mark.parametrize("kind", finished(AbstractDesign))
def test_contract(kind):
    design = MAKE[kind.__name__]()
    assert len(design.names) == len(design.arms)
    assert design.describe()
    design.timing.check(len(design.sizes))
    periods = (design.periods,) if design.periods > 1 else ()
    analysis = Equivalence(design.names[0]) if periods else Means(design.names[0])
    clock = Clock(np.asarray(np.arange(1.0, 1.0 + design.periods) if periods else 1.0), "value")
    rules = Rules(design, analysis, Greatest(), AtOnce(), clock, "h")
    needed, arms = sum(design.sizes), len(design.arms)
    value = np.random.default_rng(1).lognormal(size=(5, needed + 10, arms, *periods))
    # Outcomes that are missing, infinite or constant are no exception.
    value[1], value[2], value[3] = np.nan, np.inf, 1.0

    def first(n):
        until = np.full((n, *value.shape[1:]), np.inf)
        return conduct(jax.random.key(0), rules, Potential(value[:n], until, value[:n], {}))

    many = first(5)
    assert ((np.asarray(many.arm) >= -1) & (np.asarray(many.arm) < arms)).all()
    assert ((np.asarray(many.selected) >= -1) & (np.asarray(many.selected) < arms)).all()
    assert set(np.asarray(many.reason).tolist()) <= set(schema.STOP_REASONS)
    assert np.isfinite(many.duration).all()
    assert not np.asarray(many.rejected)[[1, 3]].any()  # nothing is claimed from nothing
    one = first(1)  # batching equals looping
    np.testing.assert_array_equal(one.arm[0], many.arm[0])
    np.testing.assert_array_equal(one.selected[0], many.selected[0])


def test_parallel_allocates_equally_and_in_random_order():
    design = MAKE["Parallel"]()
    arms = np.asarray(
        jax.vmap(lambda k: design.allocate(k, design.init(), NOBODY, 18))(jax.random.split(jax.random.key(2), 2000))
    )
    assert (np.sort(arms, axis=1) == np.repeat([0, 1, 2], 6)).all()
    share = (arms == 0).mean(0)
    assert np.abs(share - 1 / 3).max() < 4 * np.sqrt(2 / 9 / 2000)


@pytest.mark.parametrize(
    ("outcome", "selected"),
    [([1, 1, 5, 5, 3, 3], 1), ([9, np.nan, 2, 2, 3, 3], 0), ([np.nan] * 6, -1), ([np.nan, np.nan, -5, -5, -6, -6], 1)],
)
def test_parallel_selects_the_best_mean_known(outcome, selected):
    design = MAKE["Parallel"]()
    seen = look(design, jnp.asarray([0, 0, 1, 1, 2, 2]), jnp.asarray(outcome, float))
    assert design.decide(jax.random.key(0), design.init(), seen).selected == selected


def test_parallel_breaks_ties_by_lot():
    design = MAKE["Parallel"]()
    seen = look(design, jnp.asarray([0, 0, 1, 1, 2, 2]), jnp.asarray([3.0, 3, 1, 1, 3, 3]))
    keys = jax.random.split(jax.random.key(4), 2000)
    selected = np.asarray(jax.vmap(lambda k: design.decide(k, design.init(), seen).selected)(keys))
    assert set(selected.tolist()) == {0, 2}
    assert abs((selected == 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_mistakes():
    with pytest.raises(UserError, match="arms is empty"):
        Parallel({}, 10)
    with pytest.raises(UserError, match="at least 2"):
        Parallel({"a": Arm(REGIMEN)}, 1)
