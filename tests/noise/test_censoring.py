"""Censored values: probabilities against closed forms and integrals of the density, and safe in the tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.noise.cases import CONTINUOUS, VALUES, integral, likelihood, observations
from vtrial.noise import Positive

INF = np.inf


def probability(name, f, lower, upper):
    seen = observations([1.0], lower=[lower], upper=[upper])
    return float(np.exp(likelihood(CONTINUOUS[name], [f], seen)[0]))


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("f", [0.4, 1.5])
def test_probability_is_the_integral_of_the_density(name, f):
    """M3 and M4 below, an interval, and the rest above: three integrals, which with the mass at 0 sum to one."""
    whole_line = not any(word in name for word in ("log", "transform", "dynamic", "positive"))
    bottom, top = -1e9 if whole_line else 0.0, 1e30 if "log" in name else 1e9
    below, between, above = (probability(name, f, *ends) for ends in ((-INF, 0.5), (0.5, 2.0), (2.0, INF)))
    assert below + between + above == pytest.approx(1.0, rel=1e-12)
    within = 5e-8 if name == "log_student" else 1e-9
    # A Box-Cox law has what is below its scale at 0: there M3 counts it, a limit above 0 does not.
    start = 0.0 if name in ("transform", "dynamic") else -INF
    assert probability(name, f, start, 0.5) == pytest.approx(integral(CONTINUOUS[name], f, bottom, 0.5), abs=within)
    assert between == pytest.approx(integral(CONTINUOUS[name], f, 0.5, 2.0), abs=1e-9)
    assert above == pytest.approx(integral(CONTINUOUS[name], f, 2.0, top), abs=within)


def test_beals_methods_in_closed_form():
    f, s = 1.5, np.sqrt(0.25 + 0.09)
    law = stats.norm(f, s)
    assert probability("combined", f, -INF, 0.5) == pytest.approx(law.cdf(0.5), rel=1e-12)  # M3
    positive = law.sf(0.0)
    assert probability("positive", f, -INF, 0.5) == pytest.approx((law.cdf(0.5) - law.cdf(0)) / positive, rel=1e-12)
    measured = likelihood(CONTINUOUS["positive"], [f], observations([0.7]))[0]
    assert measured == pytest.approx(law.logpdf(0.7) - np.log(positive), rel=1e-12)  # M4 is of measured values too
    assert probability("combined", f, 2.0, INF) == pytest.approx(law.sf(2.0), rel=1e-12)  # above the upper limit


@pytest.mark.parametrize("name", ["additive", "student", "log_normal", "positive", "autoregressive", "transform"])
@pytest.mark.parametrize(("lower", "upper"), [(-INF, 1e-3), (1e5, INF), (2e4, 2.0001e4), (1e-9, 1e-8)])
@pytest.mark.parametrize("f", [0.0, 1e-6, 1.0, 1e6])
def test_far_tails_are_finite(name, lower, upper, f):
    seen = observations([1.0, 1.0], lower=[np.nan, lower], upper=[np.nan, upper])

    def total(f, values):
        return jnp.sum(CONTINUOUS[name].log_likelihood(jnp.stack([jnp.asarray(1.0), f]), {}, values, seen))

    values = {short: VALUES[short] for short in CONTINUOUS[name].priors()}
    value, slope = jax.value_and_grad(total, argnums=(0, 1))(jnp.asarray(f), values)
    assert np.isfinite(value)
    assert all(np.isfinite(part) for part in jax.tree.leaves(slope))


def test_a_far_tail_is_mills_ratio():
    """log P(Z < -z) = -z^2/2 - log(z sqrt(2 pi)) + O(z^-2): a value 2,000 SD below the limit still has a slope."""
    seen = observations([1.0], lower=[-INF], upper=[1.0])
    z = 2000.0
    found = likelihood(CONTINUOUS["additive"], [1.0 + 0.5 * z], seen)[0]
    assert found == pytest.approx(-z * z / 2 - np.log(z * np.sqrt(2 * np.pi)), abs=1e-6)


def test_positive_conditions_whatever_it_wraps():
    """M4 of an error is its probability between 0 and the limit over that above 0."""
    for name in ("additive", "student", "autoregressive", "transform"):
        limits = (0.0, 0.5)
        seen = observations([0.5], lower=[-INF], upper=[0.5])
        found = float(np.exp(likelihood(Positive(CONTINUOUS[name]), [0.4], seen)[0]))
        expected = probability(name, 0.4, *limits) / probability(name, 0.4, 0.0, INF)
        assert found == pytest.approx(expected, rel=1e-10)
