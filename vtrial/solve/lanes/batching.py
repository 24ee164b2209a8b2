"""How batches become persons: what `jax.vmap` adds on any level, a kernel sees as more persons."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array


def joined(run: Callable[..., tuple[Array, Array]]) -> Callable[..., tuple[Array, Array]]:
    """Return a function whose batches are joined into one axis of persons.

    Its operands are the fixed floats [person, fixed] and tables [some, rows]: a table may be for a number of persons
    that divides that of all, and is then read in turns. So a table that all share is never copied.
    """

    @custom_vmap
    def call(*operands: Array) -> tuple[Array, Array]:
        return run(*operands)

    @call.def_vmap
    def _(size: int, batched: Sequence[bool], fixed: Array, *tables: Array):
        if not batched[0]:
            fixed = jnp.broadcast_to(fixed[None], (size, *fixed.shape))
        persons = fixed.shape[1]
        pairs = zip(tables, batched[1:], strict=True)
        several = [_joined(table, persons) if already else table for table, already in pairs]
        found = call(fixed.reshape(size * persons, fixed.shape[2]), *several)
        return tuple(one.reshape(size, persons, *one.shape[1:]) for one in found), (True, True)

    return call


def _joined(table: Array, persons: int) -> Array:
    """Join the first two axes of a table, which must then be for everybody."""
    size, some, rows = table.shape
    table = jnp.tile(table, (1, persons // some, 1)) if some < persons else table
    return table.reshape(size * persons, rows)
