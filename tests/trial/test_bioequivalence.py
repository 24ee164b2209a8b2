"""Bioequivalence trials: error rates and power against exact and published ones, from patients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.design import Arm, Crossover, Parallel, revealed
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.statistics.equivalence import sd_from_cv
from vtrial.trial import (
    AtOnce,
    Clock,
    Equivalence,
    ExpandingLimits,
    Greatest,
    NarrowIndex,
    Potential,
    ReferenceScaled,
    Rules,
    conduct,
)

ONCE = Arm(Regimen("300 mg", "24 h", 1, "depot"))
ARMS = {"test": ONCE, "reference": ONCE}
TRIALS = 2000


def conducted(design, cv, ratio):
    """Log-normal outcomes: subjects differ, periods too, and each measurement has the CV within subjects."""
    random = np.random.default_rng(13)
    periods = (design.periods,) if design.periods > 1 else ()
    shape = (TRIALS, sum(design.sizes) + 10, 2)
    logs = sd_from_cv(cv) * random.normal(size=(*shape, *periods))
    if periods:
        logs += 0.5 * random.normal(size=(*shape[:2], 1, 1)) + 0.1 * np.arange(design.periods)
    logs[:, :, 0] += math.log(ratio)
    delay = np.arange(1.0, 1.0 + design.periods) if periods else np.asarray(1.0)
    clock = Clock(np.asarray(delay), "value")
    rules = Rules(design, Equivalence("reference"), Greatest(), AtOnce(), clock, "day")
    return conduct(jax.random.key(5), rules, Potential(np.exp(logs), np.full(shape, np.inf), np.exp(logs), {}))


@pytest.mark.parametrize(
    ("design", "cv", "ratio", "expected"),
    [
        pytest.param(Crossover(ARMS, 20, "7 day"), 0.3, 0.95, 0.81584528, id="PowerTOST"),
        pytest.param(Crossover(ARMS, 20, "7 day"), 0.3, 1.25, 0.05, id="level"),  # the ratio is at the limit
        pytest.param(Parallel(ARMS, 65), 0.4, 0.95, 0.80351196, id="PowerTOST parallel", marks=pytest.mark.slow),
    ],
)
def test_average_bioequivalence_has_the_exact_power(design, cv, ratio, expected):
    found = conducted(design, cv, ratio)
    passed = np.asarray(found.rejected)[:, 0].mean()
    assert abs(passed - expected) < 4 * math.sqrt(expected * (1 - expected) / TRIALS)
    np.testing.assert_allclose(np.asarray(found.effect)[:, 0].mean(), math.log(ratio), atol=0.01)
    inside = np.asarray(jnp.maximum(jnp.abs(found.comparison.lower), jnp.abs(found.comparison.upper)))[:, 0]
    np.testing.assert_array_equal(inside < math.log(1.25), np.asarray(found.rejected)[:, 0])


SCALED = [
    pytest.param(ExpandingLimits("reference"), 28, 0.45, 0.9, 0.81116, id="abel", marks=pytest.mark.slow),
    pytest.param(ReferenceScaled("reference"), 24, 0.45, 0.9, 0.8245, id="rsabe", marks=pytest.mark.slow),
    pytest.param(NarrowIndex("reference"), 18, 0.1, 0.975, 0.84179, id="narrow", marks=pytest.mark.slow),
]
"""Simulated by PowerTOST 1.5-7 with 1e5 trials from key statistics, error .0013."""


@pytest.mark.parametrize(("analysis", "n", "cv", "ratio", "power"), SCALED)
def test_power_of_scaled_rules_is_powertosts(analysis, n, cv, ratio, power):
    arm = jnp.asarray(np.repeat([[0, 1, 0, 1], [1, 0, 1, 0]], n // 2, axis=0))

    def trial(key):
        logs = sd_from_cv(cv) * jax.random.normal(key, (n, 4)) + math.log(ratio) * (arm == 0)
        return analysis.compare(revealed(arm, jnp.exp(logs)), 2, 1).p[0] < analysis.alpha

    passed = jax.jit(jax.vmap(trial))(jax.random.split(jax.random.key(7), 10_000))
    assert abs(float(passed.mean()) - power) < 4 * math.sqrt(power * (1 - power) / 10_000 + 0.0013**2)


def test_outcomes_without_logarithm_are_told():
    arm = jnp.asarray(np.repeat([[0, 1], [1, 0]], 5, axis=0))
    outcome = jnp.asarray(np.random.default_rng(1).lognormal(size=(10, 2)))
    found = jax.jit(lambda y: Equivalence("reference").compare(revealed(arm, y), 2, 1).code)(outcome.at[0, 0].set(0.0))
    assert found.tolist() == [4, 0]


def test_one_period_of_each_arm_leaves_nothing_to_scale_by():
    arm = jnp.asarray(np.repeat([[0, 1], [1, 0]], 5, axis=0))
    outcome = jnp.asarray(np.random.default_rng(1).lognormal(size=(10, 2)))
    for analysis in (ExpandingLimits("reference"), ReferenceScaled("reference"), NarrowIndex("reference")):
        found = jax.jit(lambda y, a=analysis: a.compare(revealed(arm, y), 2, 1).code)(outcome)
        assert found.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Equivalence("a", limit=0.8), "above 1"),
        (lambda: ExpandingLimits("a", switch=0.6), "0 < switch <= most"),
        (lambda: NarrowIndex("a", variability=0.5), "a ratio of SDs above 1"),
    ],
)
def test_mistakes(wrong, said):
    with pytest.raises(UserError, match=said):
        wrong()
