"""Symmetric positive semidefinite matrices of normal equations, inverted as far as the data determine."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

TOLERANCE = 1e-9
"""Share of its own sum of squares a column must add to those before it, not to count as their combination."""


def invert(
    matrix: Float[Array, "n n"], tolerance: float = TOLERANCE
) -> tuple[Float[Array, "n n"], Float[Array, ""], Bool[Array, " n"]]:
    """Return a generalised inverse, the log determinant of what is inverted, and which columns that is.

    The sweep operator, one column after the other; a column that is a combination of those before it gets zeros, as if
    it were not there. All elementwise, so that mapped over thousands of small matrices it calls no library for each.
    Source: Goodnight 1979, doi:10.1080/00031305.1979.10482685.
    """
    n = len(matrix)
    size = jnp.diagonal(matrix)

    def sweep(k: Int[Array, ""], state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        matrix, logarithm, kept = state
        own = jnp.arange(n) == k
        column = matrix[k]
        good = column[k] > tolerance * size[k]
        pivot = jnp.where(good, column[k], 1.0)
        line = jnp.where(own, -1 / pivot, column / pivot)
        swept = matrix - column[:, None] * column[None] / pivot
        swept = jnp.where(own[:, None], line[None], jnp.where(own[None], line[:, None], swept))
        dropped = jnp.where(own[:, None] | own[None], 0.0, matrix)
        return jnp.where(good, swept, dropped), logarithm + jnp.log(pivot), kept | (own & good)

    start = matrix, jnp.zeros((), matrix.dtype), jnp.zeros(n, bool)
    matrix, logarithm, kept = jax.lax.fori_loop(0, n, sweep, start)
    return -matrix, logarithm, kept
