"""Student's t distribution, traceable: tails, quantiles, and the normal deviate of the same tail."""

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, gammaln
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int

_MOST = 1e8
"""Degrees of freedom above which t is normal to eight digits and the incomplete beta function loses its own."""
_LEAST = 1e-300
"""Smallest tail that has a normal deviate: about 37."""
_STEPS = 8


def tail(t: Float[Array, "*shape"], df: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the two-sided tail probability (Abramowitz and Stegun 26.5.27)."""
    df = jnp.minimum(df, _MOST)
    return betainc(0.5 * df, 0.5, df / (df + t * t))


def upper_tail(t: Float[Array, "*shape"], df: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the upper tail probability."""
    outer = 0.5 * tail(t, df)
    return jnp.where(t > 0, outer, 1 - outer)


def quantile(alpha: float | Float[Array, ""], df: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return t with two-sided tail `alpha`; not a number for no degrees of freedom.

    Newton's method for the logarithm of the tail in log t: it falls and bends down, so that from the second step on the
    iterates close in from above, whatever the start.
    """
    df = jnp.minimum(df, _MOST)
    constant = gammaln(0.5 * (df + 1)) - gammaln(0.5 * df) - 0.5 * jnp.log(jnp.pi * df)

    def step(_: Int[Array, ""], u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        t = jnp.exp(u)
        area = tail(t, df)
        slope = 2 * t * jnp.exp(constant - 0.5 * (df + 1) * jnp.log1p(t * t / df)) / area
        return u + (jnp.log(area) - jnp.log(alpha)) / slope

    start = jnp.full_like(df, jnp.log(norm.isf(0.5 * jnp.asarray(alpha))))
    return jnp.where(df > 0, jnp.exp(jax.lax.fori_loop(0, _STEPS, step, start)), jnp.nan)


def deviate(t: Float[Array, "*shape"], df: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the standard normal deviate with the one-sided tail of t; at most 37 in size."""
    return jnp.sign(t) * norm.isf(0.5 * jnp.clip(tail(t, df), _LEAST, 1.0))
