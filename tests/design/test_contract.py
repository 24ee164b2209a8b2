"""Every design, found by listing, keeps the contract; and what is special to each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import finished
from vtrial.design import AbstractDesign, Arm, Parallel, Seen
from vtrial.dosing import Regimen
from vtrial.errors import UserError

REGIMEN = Regimen("300 mg", "12 h", 4, "depot")
MAKE = {"Parallel": lambda: Parallel({"low": Arm(REGIMEN), "middle": Arm(REGIMEN), "high": Arm(REGIMEN)}, 6)}
"""A small instance of each design; a new design adds its line here."""


@pytest.mark.parametrize("kind", finished(AbstractDesign))
def test_contract(kind):
    design = MAKE[kind.__name__]()
    assert len(design.names) == len(design.arms)
    assert design.describe()
    state, n = design.init(), design.enrolled()

    def trial(key, outcome):
        arm = design.allocate(key, state, n)
        return arm, design.decide(key, state, Seen(arm, outcome)).selected

    keys = jax.random.split(jax.random.key(0), 5)
    outcome = jax.random.normal(jax.random.key(1), (5, n))
    arm, selected = jax.jit(jax.vmap(trial))(keys, outcome)
    assert ((np.asarray(arm) >= -1) & (np.asarray(arm) < len(design.arms))).all()
    assert ((np.asarray(selected) >= -1) & (np.asarray(selected) < len(design.arms))).all()
    for i in range(5):  # batching equals looping
        one_arm, one_selected = trial(keys[i], outcome[i])
        assert (one_arm == arm[i]).all()
        assert one_selected == selected[i]
    # Outcomes that are missing, infinite or constant are no exception.
    for bad in (np.nan, np.inf, 0.0):
        trial(keys[0], jnp.full(n, bad))


def test_parallel_allocates_equally_and_in_random_order():
    design = MAKE["Parallel"]()
    arms = np.asarray(
        jax.vmap(lambda k: design.allocate(k, design.init(), 18))(jax.random.split(jax.random.key(2), 2000))
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
    seen = Seen(jnp.asarray([0, 0, 1, 1, 2, 2]), jnp.asarray(outcome, float))
    assert design.decide(jax.random.key(0), design.init(), seen).selected == selected


def test_parallel_breaks_ties_by_lot():
    design = MAKE["Parallel"]()
    seen = Seen(jnp.asarray([0, 0, 1, 1, 2, 2]), jnp.asarray([3.0, 3, 1, 1, 3, 3]))
    keys = jax.random.split(jax.random.key(4), 2000)
    selected = np.asarray(jax.vmap(lambda k: design.decide(k, design.init(), seen).selected)(keys))
    assert set(selected.tolist()) == {0, 2}
    assert abs((selected == 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_mistakes():
    with pytest.raises(UserError, match="arms is empty"):
        Parallel({}, 10)
    with pytest.raises(UserError, match="at least 2"):
        Parallel({"a": Arm(REGIMEN)}, 1)
