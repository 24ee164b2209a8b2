"""Randomisation: ratios kept in blocks and strata, balance by minimisation, and chance where there should be chance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import finished
from vtrial.design import (
    AbstractRandomisation,
    Blocks,
    Minimisation,
    Seen,
    Shuffled,
    Stratified,
    Unrestricted,
    revealed,
)
from vtrial.errors import UserError

N = 24
WEIGHT = jnp.asarray(np.random.default_rng(0).uniform(50, 100, N))
MAKE = {
    "Unrestricted": Unrestricted(),
    "Shuffled": Shuffled(),
    "Blocks": Blocks(6),
    "Stratified": Stratified({"WT": [70.0, 85.0]}, 6),
    "Minimisation": Minimisation({"WT": [70.0]}, 0.9),
}


def seen(before=0) -> Seen:
    found = revealed(jnp.where(jnp.arange(N) < before, 0, -1), jnp.full(N, jnp.nan), covariates={"WT": WEIGHT})
    return Seen(found.arm, found.outcome, found.event, found.entered, jnp.asarray(before), found.covariates)


@pytest.mark.parametrize("kind", finished(AbstractRandomisation))
def test_contract(kind):
    mine = MAKE[kind.__name__]
    assert mine.describe()
    assert set(mine.covariates()) <= {"WT"}
    keys = jax.random.split(jax.random.key(0), 3000)
    weights = jnp.asarray([1.0, 1.0, 0.0])
    arms = np.asarray(jax.jit(jax.vmap(lambda k: mine.assign(k, weights, seen(), N)))(keys))
    assert set(np.unique(arms)) == {0, 1}  # nobody is given an arm of weight 0
    for patient in (0, 11):  # each patient by chance
        share = (arms[:, patient] == 1).mean()
        assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(3000)


def test_blocks_and_strata_keep_the_ratio():
    weights = jnp.asarray([1.0, 1.0])
    arms = np.asarray(Blocks(6).assign(jax.random.key(1), weights, seen(), N)).reshape(4, 6)
    assert (arms.sum(1) == 3).all()
    twice = np.asarray(Blocks(6).assign(jax.random.key(1), jnp.asarray([1.0, 2.0]), seen(), N)).reshape(4, 6)
    assert (twice.sum(1) == 4).all()
    arms = np.asarray(Stratified({"WT": [75.0]}, 4).assign(jax.random.key(1), weights, seen(), N))
    for heavy in (False, True):
        mine = arms[(np.asarray(WEIGHT) >= 75) == heavy]
        whole = mine[: len(mine) // 4 * 4].reshape(-1, 4)
        assert (whole.sum(1) == 2).all()
    assert (np.asarray(Shuffled().assign(jax.random.key(2), weights, seen(), N)) == 0).sum() == N / 2


def test_minimisation_balances_the_levels_and_counts_who_was_there_before():
    weights, key = jnp.asarray([1.0, 1.0]), jax.random.split(jax.random.key(5), 400)

    def gap(mine):
        arms = np.asarray(jax.vmap(lambda k: mine.assign(k, weights, seen(), N))(key))
        heavy = np.asarray(WEIGHT) >= 70
        return np.abs((arms[:, heavy] == 0).sum(1) - (arms[:, heavy] == 1).sum(1)).mean()

    assert gap(Minimisation({"WT": [70.0]}, 1.0)) <= 1.0  # deterministic but for ties
    assert gap(Minimisation({"WT": [70.0]}, 1.0)) < 0.5 * gap(Unrestricted())
    always = Minimisation({"WT": [60.0]}, 1.0)
    later = np.asarray(always.assign(jax.random.key(0), weights, seen(4), N - 4))
    assert (later[:2] == 1).all()  # four in arm 0 before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Blocks(1), "at least 2"),
        (lambda: Stratified({}, 4), "by is empty"),
        (lambda: Stratified({"WT": [80.0, 70.0]}, 4), "going up"),
        (lambda: Minimisation({"WT": [80.0]}, 0.0), "above 0"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
