"""Real eigenvalues of one, two or three compartments that exchange, with derivatives where they coincide."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

_APART = 1e-16
"""Added to the squared half distance of two eigenvalues, relative to their size: changes no digit of a symmetric
function of the two, and keeps their derivatives finite."""

type Rows = Sequence[Sequence[Array]]


def eigenvalues(rows: Rows) -> tuple[Array, ...]:
    """Return the eigenvalues in ascending order; NaN where they are complex.

    Args:
        rows: the matrix; one of three rows has its middle state first, and no rates between the other two.
    """
    if len(rows) == 1:
        return (rows[0][0],)
    if len(rows) == 2:
        (a, b), (c, d) = rows
        return _pair(0.5 * (a + d), 0.25 * (a - d) ** 2 + b * c)
    return _three(rows)


def _three(rows: Rows) -> tuple[Array, ...]:
    (a, b1, b2), (c1, d1, _), (c2, _, d2) = rows
    exchanged, exchanged2 = b1 * c1, b2 * c2
    trace, middle = a + d1 + d2, (a + d1 + d2) / 3
    minors = (a * d1 - exchanged) + (a * d2 - exchanged2) + d1 * d2
    determinant = (a * d1 - exchanged) * d2 - exchanged2 * d1
    # The characteristic polynomial about the mean of the eigenvalues: x^3 + linear x + constant.
    u, v, w = a - middle, d1 - middle, d2 - middle
    linear = u * v + u * w + v * w - exchanged - exchanged2
    constant = -u * v * w + exchanged * w + exchanged2 * v
    centred = _single(linear, constant)
    single = middle + centred
    # Sum and product of the other two: by quotients where the single one is large, so that slow rates beside a fast one
    # keep their digits, and by differences where it is small.
    fast = 2 * jnp.abs(single) > jnp.abs(trace - single)
    safe = jnp.where(fast, single, 1.0)
    product = jnp.where(fast, determinant / safe, minors - single * (trace - single))
    total = jnp.where(fast, (minors - determinant / safe) / safe, trace - single)
    low, high = _pair(0.5 * total, 0.25 * total**2 - product)
    above = centred > 0
    return (jnp.where(above, low, single), jnp.where(above, high, low), jnp.where(above, single, high))


def _pair(mean: Array, square: Array) -> tuple[Array, Array]:
    """Return mean -+ sqrt(square)."""
    size = jax.lax.stop_gradient(mean**2 + jnp.abs(square)) + 1e-200
    # Below zero by rounding: the root is as good at zero.
    root = jnp.sqrt(jnp.where(square > -0.5 * _APART * size, square, 0.0) + _APART * size)
    root = jnp.where(square < -1e-10 * size, jnp.nan, root)
    return mean - root, mean + root


@jax.custom_jvp
def _single(linear: Array, constant: Array) -> Array:
    """Return the root of x^3 + linear x + constant that is farthest from the other two; all three are real.

    By the trigonometric form of Viete's solution and a Newton step, which restores the digits lost to the arc cosine.
    """
    radius = 2 * jnp.sqrt(jnp.maximum(-linear, 0.0) / 3 + 1e-200)
    part = jnp.minimum(4 * jnp.abs(constant) / radius**3, 1.0)
    x = -jnp.sign(jnp.where(constant == 0, -1.0, constant)) * radius * jnp.cos(jnp.arccos(part) / 3)
    return x - (x**3 + linear * x + constant) / _slope(linear, x)


def _slope(linear: Array, x: Array) -> Array:
    slope = 3 * x**2 + linear
    return jnp.where(slope > 0, slope, 1.0)


@_single.defjvp
def _(primals, tangents):
    linear, constant = primals
    x = _single(linear, constant)
    return x, -(x * tangents[0] + tangents[1]) / _slope(linear, x)
