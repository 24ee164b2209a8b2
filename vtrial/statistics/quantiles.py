"""Quantiles of many columns at once, as `jnp.nanquantile` has them, sorted in the lanes of a vector register."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vtrial.solve.lanes.sorting import in_order

_SIGNLESS = 2**63 - 1
"""All bits of a double but that of its sign."""


def quantiles(value: Float[Array, "number column"], q: Float[Array, " quantile"]) -> Float[Array, "quantile column"]:
    """Return quantiles of each column over its numbers that are known; linear between two of them.

    A column without any has none: not a number. These are the numbers of `jnp.nanquantile`, bit for bit.
    """
    if value.dtype != jnp.float64:
        return jnp.nanquantile(value, q, axis=0)
    known = ~jnp.isnan(value)
    rows = jax.vmap(lambda column: _number(in_order(_place(column))))(jnp.where(known, value, jnp.nan).T)
    last = (known.sum(0).astype(q.dtype) - 1)[None]
    at = q[:, None] * last
    low, high = jnp.floor(at), jnp.ceil(at)
    above = at - low
    column = jnp.arange(value.shape[1])[None]
    lower, upper = (rows[column, jnp.maximum(0, jnp.minimum(place, last)).astype(int)] for place in (low, high))
    return lower * (1 - above) + upper * above


def _place(value: Float[Array, " number"]) -> Int[Array, " number"]:
    """Return whole numbers in the order of doubles; what is not a number comes last.

    The bits of a positive double are in the order of its value, those of a negative one in the opposite order.
    """
    bits = jax.lax.bitcast_convert_type(value, jnp.int64)
    return jnp.where(bits < 0, bits ^ _SIGNLESS, bits)


def _number(place: Int[Array, " number"]) -> Float[Array, " number"]:
    """Return the doubles again."""
    return jax.lax.bitcast_convert_type(jnp.where(place < 0, place ^ _SIGNLESS, place), jnp.float64)
