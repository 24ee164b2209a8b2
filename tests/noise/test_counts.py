"""Counts and categories against SciPy's laws, and samples against probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.helpers import half
from tests.noise.cases import CATEGORIES, COUNTS, VALUES, alone, likelihood, observations, replicate, visits
from vtrial.noise import NegativeBinomial, Ordinal

K = np.arange(60)
CUTS = np.array([0.0, 0.8, 2.3])


def probabilities(noise, f, numbers, values=VALUES):
    seen = observations(numbers, subject=np.arange(len(numbers)))
    return np.exp(np.asarray(likelihood(noise, np.full(len(numbers), f), seen, values=values)))


def zero_inflated(f):
    excess = 0.4 / 1.4
    return excess * (K == 0) + (1 - excess) * stats.poisson(1.4 * f).pmf(K)


@pytest.mark.parametrize("f", [0.01, 0.3, 4.0])
def test_counts_are_scipys_with_mean_f(f):
    size = 1 / 0.6
    expected = {
        "poisson": stats.poisson(f).pmf(K),
        "negative_binomial": stats.nbinom(size, size / (size + f)).pmf(K),
        "zero_inflated": zero_inflated(f),
    }
    for name, noise in COUNTS.items():
        found = probabilities(noise, f, K)
        np.testing.assert_allclose(found, expected[name], rtol=1e-9, atol=1e-300)
        assert found.sum() == pytest.approx(1.0, abs=1e-5)
        assert found @ K == pytest.approx(f, rel=1e-4)


@pytest.mark.parametrize("overdispersion", [1e-10, 1e-7, 2e-5, 1e-4, 0.01, 50.0])
def test_negative_binomial_is_accurate_for_all_overdispersions(overdispersion):
    """The product of its rising factors, one by one, in place of a difference of two large logarithms."""
    numbers, f = np.array([0, 1, 2, 7, 40, 300]), 5.0
    rising = [np.log1p(overdispersion * np.arange(k)).sum() for k in numbers]
    more = np.log1p(overdispersion * f)
    expected = rising + numbers * (np.log(f) - more) - more / overdispersion - special.gammaln(numbers + 1)
    values = {"overdispersion": jnp.asarray(overdispersion)}
    seen = observations(numbers, subject=np.arange(6))
    found = likelihood(NegativeBinomial(half(1.0)), np.full(6, f), seen, values=values)
    np.testing.assert_allclose(found, expected, rtol=3e-8, atol=1e-8)


@pytest.mark.parametrize("f", [-40.0, -1.0, 0.0, 2.0, 40.0])
def test_categories(f):
    np.testing.assert_allclose(probabilities(CATEGORIES["bernoulli"], f, [0, 1]), special.expit([-f, f]), rtol=1e-12)
    found = probabilities(CATEGORIES["ordinal"], f, [0, 1, 2, 3])
    assert found.sum() == pytest.approx(1.0, rel=1e-12)
    above = special.expit(f - CUTS)  # P(Y >= 1), P(Y >= 2), P(Y >= 3)
    np.testing.assert_allclose(np.cumsum(found[::-1])[::-1][1:], above, rtol=1e-9)


def test_a_rare_category_keeps_its_probability():
    """P(Y = 1) of proportional odds far from the cuts is exp(-|f|) times a number, not a difference of two ones."""
    found = np.log(probabilities(CATEGORIES["ordinal"], 600.0, [1]))
    assert found == pytest.approx(-600.0 + np.log(np.exp(0.8) - 1), rel=1e-12)


def test_two_categories_are_bernoulli():
    one = Ordinal((half(1.0),))
    values = {"gap_1": jnp.asarray(1e-9)}  # category 1 has no room
    found = probabilities(one, 0.7, [0, 2], values)
    np.testing.assert_allclose(found, probabilities(CATEGORIES["bernoulli"], 0.7, [0, 1]), rtol=1e-8)


@pytest.mark.parametrize("name", COUNTS | CATEGORIES)
@pytest.mark.parametrize("f", [0.4, 3.0])
def test_samples_have_the_probabilities(name, f):
    """Chi-squared over the numbers that are expected ten times or more; the rest are one."""
    noise, count = (COUNTS | CATEGORIES)[name], 20_000
    drawn = replicate(noise, np.full(count, f), visits(4, alone(count)))
    top = noise.largest()
    numbers = K if top is None else np.arange(top + 1)
    expected = count * probabilities(noise, f, numbers)
    common = expected >= 10
    observed = np.array([np.sum(drawn == k) for k in numbers[common]])
    rest, missing = count - observed.sum(), count - expected[common].sum()
    statistic = np.sum((observed - expected[common]) ** 2 / expected[common])
    if missing > 5:
        statistic += (rest - missing) ** 2 / missing
    assert statistic < stats.chi2(common.sum() - (missing <= 5)).ppf(0.9999)


@pytest.mark.parametrize("f", [-700.0, 700.0])
@pytest.mark.parametrize("name", CATEGORIES)
def test_gradients_far_from_the_cuts(name, f):
    noise = CATEGORIES[name]
    for number in range(noise.largest() + 1):
        seen = observations([number])
        value, slope = jax.value_and_grad(lambda x, seen=seen: noise.log_likelihood(x, {}, VALUES, seen)[0])(
            jnp.asarray([f])
        )
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
