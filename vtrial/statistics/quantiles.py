"""Tails and quantiles of Student's t and chi-square inside traced code, where degrees of freedom are arrays."""

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, gammainc, gammaln, ndtri
from jaxtyping import Array, Float

_STEPS = 12
"""Newton steps; from the starts used here the slowest case needs nine for 12 digits."""


def student_tail(t: Float[Array, "..."], df: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the upper tail probability of Student's t (Abramowitz and Stegun 26.5.27)."""
    outer = 0.5 * betainc(0.5 * df, jnp.full_like(df, 0.5), df / (df + t * t))
    return jnp.where(t > 0, outer, 1 - outer)


def student_quantile(tail: float, df: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the t with an upper tail probability between 0 and 1/2; not a number for no degrees of freedom.

    By Newton's method on log tail against log t, which is concave and far out a straight line.
    """
    log_scale = gammaln(0.5 * (df + 1)) - gammaln(0.5 * df) - 0.5 * jnp.log(jnp.pi * df)

    def improve(_, x):
        t = jnp.exp(x)
        beyond = student_tail(t, df)
        slope = jnp.exp(x + log_scale - 0.5 * (df + 1) * jnp.log1p(t * t / df)) / beyond
        return x + (jnp.log(beyond) - jnp.log(tail)) / slope

    x = jax.lax.fori_loop(0, _STEPS, improve, jnp.full_like(df, jnp.log(-ndtri(tail))))
    return jnp.where(df > 0, jnp.exp(x), jnp.nan)


def chi_square_quantile(below: float, df: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the chi-square value with the given probability below it; not a number for no degrees of freedom.

    Wilson and Hilferty's approximation, or the power law near 0 where it fails, improved by Newton's method on log
    probability against log value, which is concave.

    Source of the start: Wilson and Hilferty 1931, doi:10.1073/pnas.17.12.684.
    """
    half = 0.5 * df
    cube = 1 - 2 / (9 * df) + ndtri(below) * jnp.sqrt(2 / (9 * df))
    near_zero = (jnp.log(below) + gammaln(half + 1)) / half + jnp.log(2.0)
    start = jnp.where(cube > 0.3, jnp.log(df) + 3 * jnp.log(jnp.maximum(cube, 0.3)), near_zero)

    def improve(_, x):
        value = 0.5 * jnp.exp(x)
        reached = gammainc(half, value)
        slope = jnp.exp(half * jnp.log(value) - value - gammaln(half)) / reached
        return x + (jnp.log(below) - jnp.log(reached)) / slope

    x = jax.lax.fori_loop(0, _STEPS, improve, start)
    return jnp.where(df > 0, jnp.exp(x), jnp.nan)
