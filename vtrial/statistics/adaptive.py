"""Which arm is better, as a probability, and the allocation that follows from it; traceable.

Source: Thompson 1933, doi:10.1093/biomet/25.3-4.285; Thall and Wathen 2007, doi:10.1016/j.ejca.2007.01.006.
"""

import jax.numpy as jnp
from jax.scipy.special import betainc, digamma, ndtr, polygamma
from jaxtyping import Array, Float

from vtrial.statistics.recursion import gauss_legendre

_POINTS = 129
_REACH = 12.0
"""Standard deviations of the logit that are integrated over."""
_NODES = 96


def best_of_betas(a: Float[Array, " arm"], b: Float[Array, " arm"]) -> Float[Array, " arm"]:
    """Return the probability that each arm has the greatest rate, the rates being Beta(a, b).

    By the trapezoidal rule in the logit of the rate, where the density of a Beta is smooth and falls off at both ends.
    """
    mean, sd = digamma(a) - digamma(b), jnp.sqrt(polygamma(1, a) + polygamma(1, b))
    u = mean[:, None] + sd[:, None] * jnp.linspace(-_REACH, _REACH, _POINTS)[None, :]
    # log x and log (1 - x) of the rate x = 1 / (1 + exp(-u)), without cancellation.
    log_x, log_y = -jnp.logaddexp(0.0, -u), -jnp.logaddexp(0.0, u)
    log_density = a[:, None] * log_x + b[:, None] * log_y
    density = jnp.exp(log_density - log_density.max(1, keepdims=True))
    others = betainc(a[None, None, :], b[None, None, :], jnp.exp(log_x)[:, :, None])
    own = jnp.eye(a.shape[0], dtype=bool)[:, None, :]
    below = jnp.prod(jnp.where(own, 1.0, others), axis=2)
    return (density * below).sum(1) / density.sum(1)


def best_of_normals(mean: Float[Array, " arm"], sd: Float[Array, " arm"]) -> Float[Array, " arm"]:
    """Return the probability that each arm has the greatest mean, the means being normal."""
    x, w = (jnp.asarray(v) for v in gauss_legendre(_NODES))
    x, w = 8.5 * x, 8.5 * w * jnp.exp(-0.5 * (8.5 * x) ** 2) / jnp.sqrt(2 * jnp.pi)
    value = mean[:, None] + sd[:, None] * x[None, :]
    others = ndtr((value[:, :, None] - mean[None, None, :]) / sd[None, None, :])
    own = jnp.eye(mean.shape[0], dtype=bool)[:, None, :]
    return jnp.prod(jnp.where(own, 1.0, others), axis=2) @ w


def tempered(probability: Float[Array, " arm"], exponent: Float[Array, ""] | float) -> Float[Array, " arm"]:
    """Return allocation shares: probabilities to a power, scaled to sum to 1.

    Thall and Wathen's exponent is n / (2 N), n of N patients being in: equal at the start, p**(1/2) at the end.
    """
    powered = jnp.maximum(probability, 0.0) ** exponent
    return powered / powered.sum()
