import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from vtrial.statistics import bayes

beta_above = jax.jit(bayes.beta_above)


def direct(a, b, c, d, margin):
    """Integrate with the distributions of scipy."""
    return integrate.quad(lambda p: stats.beta.pdf(p, c, d) * stats.beta.sf(p + margin, a, b), 0, 1, epsabs=1e-12)[0]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        # Exact sums, as in tables of response-adaptive designs.
        ((8, 14, 5, 17, 0), 0.847118104),
        ((13, 9, 5, 17, 0), 0.99456389567),
        ((2, 2, 2, 2, 0), 0.5),
        ((30, 400, 2, 3, 0.05), None),
        ((3, 4, 30, 20, -0.1), None),
    ],
)
def test_beta(numbers, expected):
    expected = direct(*numbers) if expected is None else expected
    assert float(beta_above(*map(float, numbers))) == pytest.approx(expected, abs=1e-8)


def test_normal():
    mean, sd = bayes.normal_posterior(jnp.array([2.0, 2.0]), jnp.array([1.0, 0.5]), 0.0, 1.0)
    np.testing.assert_allclose(mean, [1.0, 1.6])
    np.testing.assert_allclose(sd, [np.sqrt(0.5), np.sqrt(0.2)])
    vague = bayes.normal_posterior(jnp.array(1.96), jnp.array(1.0), 0.0, np.inf)
    np.testing.assert_allclose(bayes.normal_above(*vague, 0.0), stats.norm.cdf(1.96))
