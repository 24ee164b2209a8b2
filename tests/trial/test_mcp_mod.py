"""MCP-Mod as an analysis of trials: its p-value, its level and power, its estimates, and what it cannot analyse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.design import Arm, DoseRanging, revealed
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.trial import (
    AtOnce,
    Clock,
    EmaxShape,
    LinearShape,
    McpMod,
    Potential,
    QuadraticShape,
    Rules,
    SmallestEffective,
    conduct,
)
from vtrial.trial.analyses.base import ALIKE, FEW

DOSES = {"placebo": 0.0, "a": 0.05, "b": 0.2, "c": 0.6, "d": 1.0}
ARM = jnp.repeat(jnp.arange(5), 20)
SHAPES = {"emax": EmaxShape(0.05), "line": LinearShape()}
ANALYSIS = McpMod("placebo", DOSES, SHAPES, alpha=0.1)
# Of the data `biom` in DoseFinding, by dose.
MEAN = np.array([0.344905396465, 0.456754284895, 0.81031577158, 0.934436926255, 0.948711416565])
WITHIN = 48.2088429276759


def groups(mean, within):
    """Twenty outcomes a dose with these means, and this sum of squares within doses."""
    noise = np.tile([1.0, -1.0], 50) * np.sqrt(within / 100)
    return jnp.asarray(np.repeat(mean, 20) + noise)


def compare(outcome, arm=ARM, analysis=ANALYSIS):
    return analysis.compare(revealed(arm, outcome), 5, 0)


COMPARE = jax.jit(compare)


def test_p_is_dose_findings():
    """Emax 0.2 is the greatest of six contrasts: two-sided twice 0.00134473; integrated there to 1e-3."""
    six = SHAPES | {"emax2": EmaxShape(0.2), "quadratic": QuadraticShape(-0.85)}
    found = compare(groups(MEAN, WITHIN), analysis=McpMod("placebo", DOSES, six))
    # With four of the six shapes it is a little smaller.
    assert 0.5 * float(found.p[1]) == pytest.approx(0.0013, abs=1e-4)
    assert (found.p[1:] == found.p[1]).all()
    assert found.p[0] == 1
    assert (found.statistic[1:] > 0).all()


def test_estimates_follow_a_curve_that_is_a_candidate():
    dose = np.array(list(DOSES.values()))
    mean = 1 + 2 * dose / (0.1 + dose)
    found = COMPARE(groups(mean, 1e-6))
    np.testing.assert_allclose(found.estimate, mean, atol=1e-3)
    np.testing.assert_allclose(found.difference, mean - 1, atol=1e-3)
    assert (found.code == 0).all()


def test_level_and_power_are_what_they_should_be():
    """One-sided 0.05; DoseFinding's power is 0.9535 for a line to 0.6, SD 0.65."""
    noise = 0.65 * np.random.default_rng(5).normal(size=(2000, 100))
    line = np.repeat(0.6 * np.array(list(DOSES.values())), 20)
    test = jax.jit(jax.vmap(lambda y: compare(y).p[1]))
    for mean, expected in ((0.0, 0.05), (line, 0.95346748987)):
        rejected = np.asarray(test(jnp.asarray(noise + mean)) < 0.1)
        assert abs(rejected.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000)


def test_intervals_cover_about_as_often_as_they_say():
    noise = 0.65 * np.random.default_rng(6).normal(size=(1000, 100))
    dose = np.array(list(DOSES.values()))
    truth = 0.6 * 1.05 * dose / (0.05 + dose)
    found = jax.jit(jax.vmap(compare))(jnp.asarray(noise + np.repeat(truth, 20)))
    covered = (np.asarray(found.lower) <= truth) & (truth <= np.asarray(found.upper))
    # Averaging is biased towards the wrong shape, and its intervals allow for that: a wide band.
    assert ((covered[:, 1:].mean(0) > 0.8) & (covered[:, 1:].mean(0) < 0.99)).all()


@pytest.mark.parametrize(
    ("outcome", "code"), [(np.full(100, 1.0), ALIKE), (np.full(100, np.nan), FEW), (np.full(100, np.inf), 4)]
)
def test_what_cannot_be_analysed(outcome, code):
    found = COMPARE(jnp.asarray(outcome))
    assert (found.code == code).all()
    assert np.isnan(found.p).all()


def test_direction():
    mean = -MEAN
    up, down = (compare(groups(mean, WITHIN), analysis=McpMod("placebo", DOSES, SHAPES, g)) for g in (True, False))
    assert up.p[1] > 0.9
    assert down.p[1] < 0.01
    assert (down.statistic[1:] < 0).all()


def test_dose_ranging_selects_the_first_dose_with_the_effect():
    regimen = Arm(Regimen("300 mg", "12 h", 4, "depot"))
    design = DoseRanging(dict.fromkeys(DOSES, regimen), 20, {"placebo": 1.5})
    assert sum(design.sizes) == 110
    rules = Rules(design, ANALYSIS, SmallestEffective(0.4), AtOnce(), Clock(np.asarray(1.0), "value"), "week")
    value = 0.05 * np.random.default_rng(7).normal(size=(4, 200, 5)) + np.array(list(DOSES.values()))
    value[3] = value[3, :, :1]  # no effect at all
    until = np.full(value.shape, np.inf)
    found = conduct(jax.random.key(0), rules, Potential(value, until, value, {}))
    assert (np.asarray(found.arm) == 0).sum(1).tolist() == [30] * 4
    assert found.selected[:3].tolist() == [3, 3, 3]
    assert found.selected[3] == -1
    assert found.reason.tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: McpMod("a", {"a": 0.0, "b": 1.0}, SHAPES), "three or more"),
        (lambda: McpMod("a", {"a": 0.0, "b": 2.0, "c": 1.0}, SHAPES), "going up from 0"),
        (lambda: McpMod("x", DOSES, SHAPES), "not in analysis.doses"),
        (lambda: McpMod("placebo", DOSES, {}), "candidates is empty"),
        (lambda: EmaxShape(0.0), "positive share"),
        (lambda: ANALYSIS.compare(revealed(ARM, jnp.zeros(100)), 4, 0), "5 doses, but the design 4"),
    ],
)
def test_mistakes(mistake, words):
    with pytest.raises(UserError, match=words):
        mistake()
