"""The closed form of any two states, with real, equal or complex rates."""

import jax.numpy as jnp
from jaxtyping import Array, Float

_SERIES = 0.25
"""Below this |q| the hyperbolic functions of sqrt(q) are taken from their power series in q."""
_TERMS = 8
"""Terms of that series: the first one left out is below 1e-18."""


def carry_two(rate: Float[Array, "2 2"], h: Array, y: tuple[Array, ...]) -> tuple[Array, ...]:
    """Apply the exponential of a 2 x 2 matrix A over an interval h.

    exp(Ah) y = exp(mh) [cosh(s) y + sinh(s)/s h (A - m) y], with m the mean of the diagonal and s^2 = -h^2 det(A - m).
    The form has no singularity where the two rates coincide, neither in value nor in derivative (Putzer's formula;
    Moler and Van Loan 2003, doi:10.1137/S00361445024180).
    """
    mean = 0.5 * (rate[0, 0] + rate[1, 1])
    half = 0.5 * (rate[0, 0] - rate[1, 1])
    square = half * half + rate[0, 1] * rate[1, 0]
    q = square * h * h
    # Real rates: written with two decaying exponentials, so that nothing overflows.
    root = jnp.sqrt(jnp.where(q > _SERIES, q, 1.0))
    up, down = jnp.exp(mean * h + root), jnp.exp(mean * h - root)
    # Complex rates: an oscillating model.
    angle = jnp.sqrt(jnp.where(q < -_SERIES, -q, 1.0))
    decay = jnp.exp(mean * h)
    small = jnp.where(jnp.abs(q) <= _SERIES, q, 0.0)
    slow = jnp.where(q < -_SERIES, jnp.cos(angle), _series(small, 0))
    even = jnp.where(q > _SERIES, 0.5 * (up + down), decay * slow)
    turned = jnp.where(q < -_SERIES, jnp.sin(angle) / angle, _series(small, 1))
    odd = jnp.where(q > _SERIES, 0.5 * (up - down) / root, decay * turned) * h
    first = even * y[0] + odd * (half * y[0] + rate[0, 1] * y[1])
    second = even * y[1] + odd * (rate[1, 0] * y[0] - half * y[1])
    return first, second


def _series(q: Array, start: int) -> Array:
    """Return sum over k of q^k / (2k + start)!: cosh sqrt(q) for start 0, sinh sqrt(q) / sqrt(q) for start 1."""
    total = jnp.ones_like(q)
    for k in range(_TERMS, 0, -1):
        total = 1.0 + q / ((2 * k + start) * (2 * k + start - 1)) * total
    return total
