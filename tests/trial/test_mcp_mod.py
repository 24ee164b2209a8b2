"""MCP-Mod as an analysis of trials: its p-value, its level and power, its estimates, and what it cannot analyse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.design import Arm, DoseRanging, revealed
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.statistics import contrast, maximum
from vtrial.trial import (
    AtOnce,
    Clock,
    EmaxShape,
    LinearShape,
    McpMod,
    Potential,
    Rules,
    SmallestEffective,
    conduct,
)
from vtrial.trial.analyses.base import ALIKE, FEW

DOSES = {"placebo": 0.0, "a": 0.05, "b": 0.2, "c": 0.6, "d": 1.0}
DOSE = np.array(list(DOSES.values()))
ARM = jnp.repeat(jnp.arange(5), 20)
LINE = {"line": LinearShape()}
ANALYSIS = McpMod("placebo", DOSES, {"emax": EmaxShape(0.05), **LINE}, alpha=0.1)
TRIALS = 1000


@jax.jit
def compare(outcome):
    """Analyse many trials; always so many, so that it is compiled once."""
    return jax.vmap(lambda y: ANALYSIS.compare(revealed(ARM, y), 5, 0))(outcome)


def noise(seed):
    return 0.65 * np.random.default_rng(seed).normal(size=(TRIALS, 100))


@pytest.mark.parametrize(("mean", "power"), [(0.0 * DOSE, 0.05), (0.6 * DOSE, 0.95346748987)])
def test_level_and_power(mean, power):
    """One-sided 0.05; DoseFinding's power for a line to 0.6, 20 a dose, SD 0.65."""
    found = compare(jnp.asarray(noise(5) + np.repeat(mean, 20)))
    rejected = np.asarray(found.p) < 0.1
    assert abs(rejected[:, 1].mean() - power) < 4 * np.sqrt(power * (1 - power) / TRIALS)
    assert (rejected[:, 1:] == rejected[:, [1]]).all()
    assert not rejected[:, 0].any()


def test_estimates_and_what_cannot_be_analysed():
    truth = 0.6 * 1.05 * DOSE / (0.05 + DOSE)
    outcome = noise(6) + np.repeat(truth, 20)
    outcome[0], outcome[1], outcome[2] = 1.0, np.nan, np.inf
    outcome[3] = np.repeat(1 + truth, 20) + 1e-4 * noise(7)[0]
    found = compare(jnp.asarray(outcome))
    assert found.code[:4, 1].tolist() == [ALIKE, FEW, 4, 0]
    assert np.isnan(found.p[:3]).all()
    # A curve that is a candidate's is found.
    np.testing.assert_allclose(found.estimate[3], 1 + truth, atol=1e-3)
    np.testing.assert_allclose(found.difference[3], truth, atol=1e-3)


def test_intervals_cover_a_line_as_often_as_they_say():
    analysis = McpMod("placebo", DOSES, LINE, alpha=0.1)
    found = jax.jit(jax.vmap(lambda y: analysis.compare(revealed(ARM, y), 5, 0)))(jnp.asarray(noise(6)))
    covered = (np.asarray(found.lower) <= 0) & (0 <= np.asarray(found.upper))
    assert np.abs(covered[:, 1:].mean(0) - 0.9).max() < 4 * np.sqrt(0.9 * 0.1 / TRIALS)


def test_p_and_direction():
    """A falling line is no rise; where smaller is better, its p is that of the one contrast, Student's t."""
    outcome = jnp.asarray(np.repeat(-0.3 * DOSE, 20) + noise(8)[0])
    p = {}
    for greater in (True, False):
        analysis = McpMod("placebo", DOSES, LINE, greater)
        found = analysis.compare(revealed(ARM, outcome), 5, 0)
        p[greater] = float(found.p[1]) / 2
        assert found.statistic[4] <= 0
    means = np.asarray(outcome).reshape(5, 20).mean(1)
    sd = np.sqrt(((np.asarray(outcome).reshape(5, 20) - means[:, None]) ** 2).sum() / 95)
    best = np.asarray(contrast.optimal(jnp.asarray(DOSE)[None], jnp.eye(5)))
    t = -(best @ means)[0] / sd * np.sqrt(20)
    assert p[False] == pytest.approx(maximum.exceeds(t, 95.0, np.ones((1, 1)), np.zeros(1)), abs=5e-4)
    assert p[True] == 0.5


def test_dose_ranging_selects_the_first_dose_with_the_effect():
    regimen = Arm(Regimen("300 mg", "12 h", 4, "depot"))
    design = DoseRanging(dict.fromkeys(DOSES, regimen), 20, {"placebo": 1.5})
    assert sum(design.sizes) == 110
    analysis = McpMod("placebo", DOSES, LINE)
    rules = Rules(design, analysis, SmallestEffective(0.4), AtOnce(), Clock(np.asarray(1.0), "value"), "week")
    value = 0.05 * np.random.default_rng(7).normal(size=(4, 200, 5)) + DOSE
    value[3] -= DOSE * 1.02  # no effect at all, or the wrong way
    found = conduct(jax.random.key(0), rules, Potential(value, np.full(value.shape, np.inf), value, {}))
    assert (np.asarray(found.arm) == 0).sum(1).tolist() == [30] * 4
    assert found.selected.tolist() == [3, 3, 3, -1]
    assert found.reason.tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: McpMod("a", {"a": 0.0, "b": 1.0}, LINE), "three or more"),
        (lambda: McpMod("a", {"a": 0.0, "b": 2.0, "c": 1.0}, LINE), "going up from 0"),
        (lambda: McpMod("x", DOSES, LINE), "not in analysis.doses"),
        (lambda: McpMod("placebo", DOSES, {}), "candidates is empty"),
        (lambda: EmaxShape(0.0), "positive share"),
        (lambda: ANALYSIS.check_arms(["placebo", "low"]), "but the arms of the design are placebo, low"),
    ],
)
def test_mistakes(mistake, words):
    with pytest.raises(UserError, match=words):
        mistake()
