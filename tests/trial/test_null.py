"""What is rejected: the world at the edge of the null hypothesis, and which way benefit points."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.design import Arm, Parallel, ThreePlusThree
from vtrial.dosing import Regimen
from vtrial.statistics.equivalence import EMA, FDA, NARROW
from vtrial.statistics.multiplicity import Holm
from vtrial.trial import (
    Adjusted,
    AtOnce,
    Clock,
    Closest,
    Equivalence,
    ExpandingLimits,
    Greatest,
    Least,
    Means,
    NarrowIndex,
    Potential,
    Proportions,
    ReferenceScaled,
    Rules,
    conduct,
    contributions,
    judge,
    without_effect,
)

ARM = Arm(Regimen("300 mg", "12 h", 4, "depot"))
RANDOM = np.random.default_rng(6)


def table(value):
    return Potential(value, np.full(value.shape[:3], np.inf), value, {})


def test_the_error_of_equivalence_is_at_its_limit():
    """TOST of two groups of 25 with SD 0.2 of the logarithm: 5 % at a ratio of 1.25, and power with equal arms."""
    value = np.exp(RANDOM.normal(0, 0.2, (3000, 54, 2)))
    design, analysis = Parallel({"r": ARM, "t": ARM}, 25), Equivalence("r")
    rules = Rules(design, analysis, Least(), AtOnce(), Clock(np.asarray(1.0), "value"), "h")
    null = without_effect(table(value), 0, analysis.null)
    trials, none = (conduct(jax.random.key(0), rules, world) for world in (table(value), null))
    found = contributions(judge(trials, none, rules, primary="y", unit=""))
    assert abs(found["type_one_error"].value[:, 1].mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 3000)
    assert found["power"].value[:, 1].mean() > 0.8
    np.testing.assert_allclose(null.target[..., 1], 1.25 * value[..., 0])
    np.testing.assert_array_equal(null.value[..., 0], value[..., 0])


@pytest.mark.parametrize("sign", [Greatest.sign, Least.sign])
def test_equivalence_is_a_benefit_whichever_way_outcomes_should_go(sign):
    statistic = jnp.array([2.0, -1.0])
    for analysis in (Equivalence("r"), Adjusted(Equivalence("r"), Holm()), ReferenceScaled("r")):
        np.testing.assert_array_equal(analysis.null.benefit(statistic, sign), statistic)
    np.testing.assert_array_equal(Means("r").null.benefit(statistic, sign), sign * statistic)


@pytest.mark.parametrize(
    ("analysis", "sd", "limit"),
    [
        (ExpandingLimits("r"), 0.2, 1.25),
        (ExpandingLimits("r"), 0.4, math.exp(EMA.slope * 0.4)),
        (ReferenceScaled("r"), 0.2, 1.25),
        (ReferenceScaled("r"), 0.4, math.exp(FDA.slope * 0.4)),
        (NarrowIndex("r"), 0.1, math.exp(NARROW.slope * 0.1)),
        (NarrowIndex("r"), 0.4, 1.25),
    ],
)
def test_scaled_limits_go_by_the_true_variability_within_patients(analysis, sd, limit):
    patient = RANDOM.normal(0, 1.0, (20_000, 1))
    outcome = np.exp(patient + RANDOM.normal(0, sd, (20_000, 2)))
    # The SD has a standard error of sd / sqrt(2 x 20,000).
    slope = {ExpandingLimits: EMA.slope, ReferenceScaled: FDA.slope, NarrowIndex: NARROW.slope}[type(analysis)]
    edge = analysis.null.edge(jnp.stack([jnp.asarray(outcome)] * 2, 1), 0)
    np.testing.assert_array_equal(edge[:, 0], outcome)
    assert abs(math.log(float(edge[0, 1, 0] / outcome[0, 0])) - math.log(limit)) < 4 * slope * sd / 200


def test_toxicities_and_overdoses_of_an_escalation():
    """3+3: nobody of doses a and b has a toxicity, everybody of c; the dose to find is a, of b 60 % would have one."""
    design = ThreePlusThree({n: ARM for n in "abc"}, spare=0)
    value = np.zeros((5, 118, 3))
    value[:, :, 2] = 1.0
    value[:, sum(design.sizes) :: 5, 1] = value[:, sum(design.sizes) + 1 :: 5, 1] = 1.0
    value[:, sum(design.sizes) + 2 :: 5, 1] = 1.0
    rules = Rules(design, Proportions("a"), Closest(0.2), AtOnce(), Clock(np.asarray(1.0), "value"), "day")
    trials = conduct(jax.random.key(0), rules, table(value))
    found = contributions(judge(trials, trials, rules, primary="y", unit=""))
    assert found["patients"].value.tolist() == [[3.0, 3.0, 3.0]] * 5
    assert found["toxicities"].value.tolist() == [[0.0, 0.0, 3.0]] * 5
    assert found["toxicities_all"].value.tolist() == [3.0] * 5
    np.testing.assert_allclose(found["overdosed"].value, 6 / 9)
    assert found["probability_correct"].value.tolist() == [0.0] * 5  # it selects b
