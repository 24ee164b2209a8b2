"""Crossover designs: balance of the sequences, allocation, and whether periods are long enough."""

from collections import Counter
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from vtrial.design import Arm, Crossover, Parallel, revealed, washout_note, williams
from vtrial.design.washout import longest_half_life
from vtrial.dosing import Regimen
from vtrial.errors import UserError

ONCE = Arm(Regimen("300 mg", "24 h", 1, "depot"))
PAIR = {"test": ONCE, "reference": ONCE}
MODEL, TYPICAL = OneCompartmentOral(), {"CL": 2.8, "VC": 32.0, "KA": 1.5}
HALF_LIFE = np.log(2) * 32 / 2.8


@pytest.mark.parametrize("arms", [2, 3, 4, 5, 6])
def test_williams_designs_are_balanced_for_carry_over(arms):
    """Each arm is in each period, and follows each other arm, equally often; never itself."""
    rows = williams(arms)
    assert len(rows) == (arms if arms % 2 == 0 else 2 * arms)
    assert len(set(rows)) == len(rows)
    places = Counter((period, arm) for row in rows for period, arm in enumerate(row))
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert set(places.values()) == {len(rows) // arms}
    assert len(places) == arms**2
    assert set(follows.values()) == {len(rows) // arms}
    assert len(follows) == arms * (arms - 1)


def test_sequences_are_given_equally_often():
    design = Crossover(PAIR, 5, "7 day", [["test", "reference", "reference"], ["reference", "test", "test"]])
    assert design.periods == 3
    seen = revealed(jnp.full((10, 3), -1), jnp.full((10, 3), jnp.nan))
    arm = np.asarray(design.allocate(jax.random.key(0), design.init(), seen, 10))
    assert Counter(map(tuple, arm.tolist())) == {(0, 1, 1): 5, (1, 0, 0): 5}
    assert "test-reference-reference" in design.describe()


@pytest.mark.parametrize(
    ("sequences", "said"),
    [
        ([["test", "reference"], ["test"]], "same number of periods"),
        ([["test", "refrence"]], "Did you mean 'reference'"),
        ([["test", "test"]], "never give arm 'reference'"),
    ],
)
def test_wrong_sequences(sequences, said):
    with pytest.raises(UserError, match=said):
        Crossover(PAIR, 5, "7 day", sequences)


def test_wrong_sizes():
    with pytest.raises(UserError, match="at least two arms"):
        Crossover({"test": ONCE}, 5, "7 day")
    with pytest.raises(UserError, match="per_sequence must be at least 1"):
        Crossover(PAIR, 0, "7 day")


def test_the_longest_half_life_is_that_of_elimination_or_absorption():
    assert longest_half_life(MODEL, TYPICAL) == pytest.approx(HALF_LIFE)
    assert longest_half_life(MODEL, TYPICAL | {"KA": 0.01}) == pytest.approx(np.log(2) / 0.01)


def test_periods_that_are_too_short_are_told():
    """Five half-lives are 39.6 h; counted from the last dose of a period."""
    assert washout_note(Crossover(PAIR, 5, "40 h"), MODEL, TYPICAL) == ""
    said = washout_note(Crossover(PAIR, 5, "39 h"), MODEL, TYPICAL)
    assert "make it 39.6 h or more" in said
    twice = {"test": ONCE, "reference": Arm(Regimen("300 mg", "24 h", 2, "depot"))}
    assert "make it 63.6 h or more" in washout_note(Crossover(twice, 5, "40 h"), MODEL, TYPICAL)
    assert washout_note(Parallel(PAIR, 5), MODEL, TYPICAL) == ""
