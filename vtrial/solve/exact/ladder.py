"""Any linear model: matrix exponentials over 1, 2, 4, 8... small steps, applied by the binary digits of an interval."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LEVELS = 26
"""Rungs: intervals may be so many powers of two longer than the smallest step."""
_DEGREE = 8
"""Of the Taylor polynomial within the smallest step."""
_REACH = 0.125
"""Largest norm of rates times smallest step: there the polynomial's error is below 1e-13 of the exponential less 1."""


class Ladder(NamedTuple):
    """What carries one person's states while parameters are constant."""

    step: Float[Array, ""]
    """The smallest step d, a power of two, so that its multiples are exact."""
    rate: Float[Array, "all all"]
    """A d: the rates per smallest step; NaN where they are too fast for the ladder."""
    rungs: Float[Array, "rung all all"]
    """exp(A d 2^k) - 1. Less 1, because slow rates would drown in the rounding of the 1 (Higham 2008,
    doi:10.1137/1.9780898717778, chapter 10, on squaring)."""


def smallest_step(longest: Float[Array, ""]) -> Float[Array, ""]:
    """Return the smallest step for intervals up to the longest."""
    longest = jax.lax.stop_gradient(longest)
    _, exponent = jnp.frexp(jnp.where(longest > 0, longest, 1.0))
    return jnp.ldexp(jnp.ones(()), exponent - LEVELS)


def ladder(rate: Float[Array, "all all"], step: Float[Array, ""]) -> Ladder:
    """Return the ladder of a rate matrix."""
    small = rate * step
    norm = jax.lax.stop_gradient(jnp.max(jnp.sum(jnp.abs(small), axis=0)))
    small = jnp.where(norm <= _REACH, small, jnp.nan)
    # Horner's scheme for exp(small) - 1.
    rung = jnp.zeros_like(small)
    for j in range(_DEGREE, 0, -1):
        rung = (small + small @ rung) / j

    def double(rung: Array, _: None) -> tuple[Array, Array]:
        return 2.0 * rung + rung @ rung, rung

    return Ladder(step, small, jax.lax.scan(double, rung, None, length=LEVELS)[1])


def digits(step: Float[Array, ""], h: Float[Array, " any"]) -> tuple[Int[Array, " any"], Float[Array, " any"]]:
    """Return how many smallest steps each interval has, and the part of one that is left."""
    count = jnp.floor(jax.lax.stop_gradient(h) / step)
    return count.astype(jnp.int32), h / step - count


def climb(steps: Ladder, h: Float[Array, " any"], y: Float[Array, "all any"]) -> Float[Array, "all any"]:
    """Return the states after an interval, of many columns with an interval each."""
    count, left = digits(steps.step, h)

    def up(y: Array, rung: tuple[Array, Array]) -> tuple[Array, None]:
        matrix, k = rung
        return y + jnp.where((count >> k & 1)[None] == 1, matrix @ y, 0.0), None

    y, _ = jax.lax.scan(up, y, (steps.rungs, jnp.arange(LEVELS)))
    result = y
    for j in range(_DEGREE, 0, -1):
        result = y + (left / j)[None] * (steps.rate @ result)
    return result


def matrices(steps: Ladder, h: Float[Array, " any"]) -> Float[Array, "any all all"]:
    """Return the matrix exponential over each interval."""
    size = len(steps.rate)
    columns = climb(steps, jnp.repeat(h, size), jnp.tile(jnp.eye(size), (1, len(h))))
    return jnp.moveaxis(columns.reshape(size, len(h), size), 1, 0)
