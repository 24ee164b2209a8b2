"""Concentration-QTc in simulated trials: error rate at the limit, power, coverage, and what spoils it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.design import revealed
from vtrial.errors import UserError
from vtrial.statistics.multiplicity import Holm
from vtrial.trial import Adjusted, ConcentrationQtc, Means

TIME = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 24.0])
ARM = np.repeat([0, 1, 2], [12, 12, 12])
PEAK = np.array([0.0, 5.0, 10.0])
TRIALS = 400


def outcomes(key, slope, arm, spread=0.3):
    """QTc [ms] with a daily rhythm, a subject's own level and slope; concentrations that rise to 2 h and fall again."""
    own, level, mine, error = (jax.random.fold_in(key, i) for i in range(4))
    n = len(arm)
    shape = np.exp(-TIME / 8) * (1 - np.exp(-1.5 * TIME))
    concentration = PEAK[arm][:, None] * (shape / shape.max())[None] * jnp.exp(spread * jax.random.normal(own, (n, 1)))
    rhythm = 4 * np.cos(2 * np.pi * (TIME - 1) / 24)[None]
    slopes = slope * (1 + 0.3 * jax.random.normal(mine, (n, 1)))
    qtc = 400 + 15 * jax.random.normal(level, (n, 1)) + rhythm + slopes * concentration
    qtc = qtc + 6 * jax.random.normal(error, qtc.shape)
    return jnp.stack([qtc, jnp.broadcast_to(concentration, qtc.shape)], -1)


@pytest.fixture(scope="module")
def trials():
    """At the highest arm's peak of 10 mg/L the true effect is the slope times 10: 0, 5 and 10 ms."""
    analysis = ConcentrationQtc("placebo", concentration=10.0)

    def one(key, slope):
        return analysis.compare(revealed(jnp.asarray(ARM), outcomes(key, slope, ARM)), 3, 0)

    many = jax.jit(jax.vmap(one, in_axes=(0, None)))
    return {effect: many(jax.random.split(jax.random.key(3), TRIALS), effect / 10) for effect in (0.0, 5.0, 10.0)}


@pytest.mark.slow
def test_ten_ms_are_excluded_wrongly_in_five_percent(trials):
    shares = {effect: float((found.p[:, 2] < 0.1).mean()) for effect, found in trials.items()}
    assert abs(shares[10.0] - 0.05) < 4 * math.sqrt(0.05 * 0.95 / TRIALS)
    assert 0.3 < shares[5.0] < shares[0.0]
    assert shares[0.0] > 0.95
    for found in trials.values():
        assert (np.asarray(found.code) == 0).all()
        below = np.asarray(found.upper[:, 1:]) < 10
        np.testing.assert_array_equal(below, np.asarray(found.p[:, 1:]) < 0.1)
        assert ((np.asarray(found.statistic[:, 1:]) > 1.6448536) == below).all()


@pytest.mark.slow
def test_the_effect_is_unbiased_and_its_interval_covers(trials):
    for effect, found in trials.items():
        difference = np.asarray(found.difference[:, 2])
        assert abs(difference.mean() - effect) < 4 * difference.std() / math.sqrt(TRIALS)
        covered = float(((found.lower[:, 2] <= effect) & (effect <= found.upper[:, 2])).mean())
        assert abs(covered - 0.9) < 4 * math.sqrt(0.09 / TRIALS)


def test_the_true_effect_is_that_of_the_line_at_the_mean_peak():
    arm = np.arange(3)
    table = jax.vmap(lambda key: outcomes(key, 0.8, arm, spread=0.0))(jax.random.split(jax.random.key(1), 20_000))
    level, effect = ConcentrationQtc("placebo").target(table, 0)
    # Of three people per table: changes have an error of 6 sqrt(2) ms in each arm; all have one peak, 5 and 10 mg/L.
    np.testing.assert_allclose(effect, [0.0, 4.0, 8.0], atol=4 * math.sqrt(4 * 36 + 2.4**2) / math.sqrt(20_000))
    np.testing.assert_array_equal(level, effect)


def test_wrappers_are_looked_into():
    assert Adjusted(ConcentrationQtc("a", exposure="plasma"), Holm()).beside == ("plasma",)
    assert Means("a").beside == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit": math.nan}, "the effect to be excluded"),
        ({"concentration": 0.0}, "the concentration of interest is above 0"),
        ({"alpha": 1.0}, "a probability between 0 and 1"),
    ],
)
def test_mistakes(wrong, said):
    with pytest.raises(UserError, match=said):
        ConcentrationQtc("a", **wrong)


def test_at_the_edge_of_the_null_the_effect_is_the_limit():
    arm = np.arange(3)
    table = jax.vmap(lambda key: outcomes(key, 0.8, arm))(jax.random.split(jax.random.key(1), 50))
    peak = np.exp(np.log(np.asarray(table)[:, 1:, 1:, 1].max(2)).mean(0))
    # One line for all arms: at one concentration they have one effect, at their own the greatest has the limit.
    for concentration, lower in ((None, 10 * peak[0] / peak[1]), (7.0, 10.0)):
        analysis = ConcentrationQtc("placebo", concentration=concentration)
        edge = analysis.null.edge(table, 0)
        np.testing.assert_allclose(analysis.target(edge, 0)[1], [0.0, lower, 10.0], rtol=1e-10)
        np.testing.assert_array_equal(edge[:, 0], table[:, 0])
        np.testing.assert_array_equal(edge[..., 1], table[..., 1])
