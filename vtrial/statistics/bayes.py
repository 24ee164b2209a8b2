"""Posterior probability of benefit, traceable: normal and binary endpoints."""

import jax.numpy as jnp
from jax.scipy.special import betainc, digamma, gammaln, polygamma
from jax.scipy.stats import norm
from jaxtyping import Array, Float

_NODES = 129
_REACH = 15.0
"""Standard deviations of the log odds the quadrature goes from its mean."""


def log_beta(a: Float[Array, "*shape"], b: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the logarithm of the beta function; that of jax is off in the seventh digit."""
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def normal_posterior(
    estimate: Float[Array, "*shape"], error: Float[Array, "*shape"], mean: float, sd: float
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Return mean and standard deviation of a normal prior updated by an estimate; an infinite `sd` adds nothing."""
    weight = 1 / error**2 + 1 / sd**2
    return (estimate / error**2 + mean / sd**2) / weight, 1 / jnp.sqrt(weight)


def normal_above(mean: Float[Array, "*shape"], sd: Float[Array, "*shape"], threshold: float) -> Float[Array, "*shape"]:
    """Return the probability that a normal quantity exceeds a threshold."""
    return norm.sf((threshold - mean) / sd)


def beta_above(
    a: Float[Array, ""] | float,
    b: Float[Array, ""] | float,
    a_other: Float[Array, ""] | float,
    b_other: Float[Array, ""] | float,
    margin: Float[Array, ""] | float = 0.0,
) -> Float[Array, ""]:
    """Return the probability that Beta(a, b) exceeds Beta(a_other, b_other) by more than a margin.

    The trapezoidal rule over the log odds of the narrower one, which converges geometrically; good to 1e-9 for
    parameters of 1 and more, and to 1e-6 for those of 0.5.
    """
    a, b, c, d = (jnp.asarray(value, float) for value in (a, b, a_other, b_other))
    # X > Y + m says the same as 1 - Y > 1 - X + m: the narrower one can always stand first.
    wide = a + b < c + d
    a, b, c, d = (jnp.where(wide, x, y) for x, y in ((d, a), (c, b), (b, c), (a, d)))
    sd = jnp.sqrt(polygamma(1, a) + polygamma(1, b))
    odds = digamma(a) - digamma(b) + sd * jnp.linspace(-_REACH, _REACH, _NODES)
    low, high = jnp.logaddexp(0.0, -odds), jnp.logaddexp(0.0, odds)
    density = jnp.exp(-a * low - b * high - log_beta(a, b))
    below = betainc(c, d, jnp.clip(jnp.exp(-low) - margin, 0.0, 1.0))
    return jnp.clip((density * below).sum() * sd * (2 * _REACH / (_NODES - 1)), 0.0, 1.0)
