"""AR(1) in continuous time against the joint normal law, and censored values in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.helpers import half
from tests.noise.cases import VALUES, likelihood, observations, replicate, visits
from vtrial import keys
from vtrial.noise import Additive, Autoregressive, LogNormal, Positive, Visits

NOISE = Autoregressive(Additive(half(1.0)), half(1.0))
TIME = np.array([0.5, 1.0, 3.0, 3.2, 9.0])
F = np.array([2.0, 3.0, 2.5, 2.4, 1.0])
Y = np.array([2.4, 3.9, 2.2, 2.3, 0.7])
CORRELATION = np.exp(-np.abs(TIME[:, None] - TIME) / 2.0)


def test_likelihood_is_the_joint_normal_density():
    found = likelihood(NOISE, F, observations(Y, time=TIME))
    assert found.sum() == pytest.approx(stats.multivariate_normal(F, 0.25 * CORRELATION).logpdf(Y), rel=1e-11)


def test_on_a_log_scale_too_and_subject_by_subject():
    noise = Autoregressive(LogNormal(half(1.0)), half(1.0))
    seen = observations(np.tile(Y, 2), time=np.tile(TIME, 2), subject=np.repeat([0, 1], 5))
    joint = stats.multivariate_normal(np.log(F), 0.16 * CORRELATION).logpdf(np.log(Y)) - np.log(Y).sum()
    found = np.asarray(likelihood(noise, np.tile(F, 2), seen)).reshape(2, 5).sum(1)
    np.testing.assert_allclose(found, [joint, joint], rtol=1e-11)


def censored(which, limit):
    lower, upper = np.full(5, np.nan), np.full(5, np.nan)
    lower[which], upper[which] = -np.inf, limit
    return observations(np.where(np.isnan(upper), Y, limit), lower=lower, upper=upper, time=TIME)


def test_a_censored_last_value_is_exact():
    """P(Y5 < 1 | Y1..Y4) from the conditional normal law."""
    found = likelihood(NOISE, F, censored([4], 1.0))
    s = 0.25 * CORRELATION
    gain = np.linalg.solve(s[:4, :4], s[:4, 4])
    law = stats.norm(F[4] + gain @ (Y[:4] - F[:4]), np.sqrt(s[4, 4] - gain @ s[:4, 4]))
    assert found[4] == pytest.approx(law.logcdf(1.0), rel=1e-10)


def test_values_after_censored_ones_depend_on_the_last_measured():
    """The measured ones together have the joint density of the measured ones."""
    found, kept = likelihood(NOISE, F, censored([1, 2], 1.0)), [0, 3, 4]
    joint = stats.multivariate_normal(F[kept], 0.25 * CORRELATION[np.ix_(kept, kept)]).logpdf(Y[kept])
    assert found[np.array(kept)].sum() == pytest.approx(joint, rel=1e-11)


def test_a_traced_dataset_finds_the_same_predecessors():
    seen = censored([0, 1, 3], 1.0)
    traced = jax.jit(lambda seen: NOISE.log_likelihood(jnp.asarray(F), {}, VALUES, seen))(seen)
    np.testing.assert_allclose(traced, likelihood(NOISE, F, seen), rtol=1e-12)


def drawn(noise, f, count=4000):
    """Errors of many subjects at the five times [subject time]."""
    seen = observations(np.tile(Y, count), time=np.tile(TIME, count), subject=np.repeat(np.arange(count), 5))
    return replicate(noise, np.tile(f, count), visits(2, seen)).reshape(count, 5)


def test_samples_have_the_covariance():
    count = 4000
    found = np.cov(drawn(NOISE, F, count).T) / 0.25
    # The variance of a sample correlation-like entry is (1 + r^2) / n.
    assert (np.abs(found - CORRELATION) < 4 * np.sqrt((1 + CORRELATION**2) / count)).all()


def test_samples_have_the_likelihood():
    """Whitened by the conditional laws, samples are independent standard normals."""
    made = drawn(NOISE, F, 800)
    seen = observations(made.ravel(), time=np.tile(TIME, 800), subject=np.repeat(np.arange(800), 5))
    white = np.asarray(NOISE.residual(jnp.tile(F, 800), VALUES, seen))
    assert stats.kstest(white, stats.norm.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(white.reshape(800, 5).T) - np.eye(5)).max() < 4 / np.sqrt(800)


def test_conditional_on_positive_values_samples_are_positive():
    assert (drawn(Positive(NOISE), 0.1 * F, 500) > 0).all()


def test_a_longer_subject_begins_alike():
    key = jax.random.key(0)

    def first(count):
        own = keys.numbered(key, count)
        return replicate(NOISE, F[:count], Visits(TIME[:count], np.arange(-1, count - 1), own, own))

    np.testing.assert_allclose(first(5)[:3], first(3), rtol=1e-12)
