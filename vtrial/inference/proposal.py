"""Heavy-tailed proposals of a subject's random effects: the multivariate t distribution, standardised."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial import keys

_FREEDOM = 5.0
"""Degrees of freedom."""


def draw_t(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*row latent"]:
    """Draw from the standard multivariate t distribution, rows of `latent` numbers each."""
    normal = jax.random.normal(keys.named(key, "normal"), shape)
    wide = jax.random.chisquare(keys.named(key, "tails"), _FREEDOM, shape[:-1]) / _FREEDOM
    return normal / jnp.sqrt(wide)[..., None]


def log_t(x: Float[Array, "*row latent"]) -> Float[Array, "*row"]:
    """Return the log density of the standard multivariate t distribution."""
    n = x.shape[-1]
    half = 0.5 * (_FREEDOM + n)
    constant = jax.lax.lgamma(half) - jax.lax.lgamma(0.5 * _FREEDOM) - 0.5 * n * jnp.log(_FREEDOM * jnp.pi)
    return constant - half * jnp.log1p((x**2).sum(-1) / _FREEDOM)
