"""The test of uniform ranks: its size, its power, and its parts against SciPy."""

import numpy as np
import pytest
from scipy import stats

from vtrial.diagnose.uniform import _tails, band, chi_square, ecdf, holm, p_value

TOP, COUNT = 49, 150


def uniform(samples: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, TOP + 1, (samples, COUNT))


def test_uniform_ranks_are_called_uniform_as_often_as_the_level_says():
    p = np.array([p_value(ranks, TOP) for ranks in uniform(1000)])
    for level in (0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / len(p))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_the_band_holds_the_whole_function_as_often_as_its_level_says(level):
    low, high = band(COUNT, TOP, level)
    curves = np.stack([ecdf(ranks, TOP) for ranks in uniform(2000, seed=4)])
    inside = ((curves >= low - 1e-12) & (curves <= high + 1e-12)).all(1).mean()
    assert inside > level - 4 * np.sqrt(level * (1 - level) / len(curves))  # discrete: never less
    assert inside < level + 0.04


def test_band_and_p_value_say_the_same():
    low, high = band(COUNT, TOP, 0.9)
    for ranks in uniform(300, seed=5):
        curve = ecdf(ranks, TOP)
        outside = bool(((curve < low - 1e-12) | (curve > high + 1e-12)).any())
        assert outside == (p_value(ranks, TOP) < 0.1) or abs(p_value(ranks, TOP) - 0.1) < 2e-3


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (2.0, 2.0), (1.5, 1.0), (1.0, 1.5)])
def test_ranks_that_are_not_uniform_are_found(a, b):
    ranks = (np.random.default_rng(1).beta(a, b, 300) * (TOP + 1)).astype(int)
    assert p_value(ranks, TOP) < 0.001


def test_binomial_tails_are_those_of_scipy():
    share = np.array([0.01, 0.3, 0.98])
    least, most = _tails(60, share)
    number = np.arange(61)[:, None]
    np.testing.assert_allclose(least, stats.binom.cdf(number, 60, share), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(most, stats.binom.sf(number - 1, 60, share), rtol=1e-9, atol=1e-14)


def test_chi_square_is_that_of_scipy():
    ranks = uniform(1)[0]
    bins = np.histogram(ranks, 10, (0, TOP + 1))[0]
    assert chi_square(ranks, TOP) == pytest.approx(stats.chisquare(bins).pvalue, rel=1e-9)
    assert np.isnan(chi_square(ranks[:9], TOP))


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.9, 0.02])), [0.06, 0.04, 0.9, 0.06])
