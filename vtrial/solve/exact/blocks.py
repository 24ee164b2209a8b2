"""Batches in blocks that fit the processor's cache: the same numbers as one large batch, several times faster."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


def in_blocks(function: Callable, differentiable: Callable, size: int) -> Callable:
    """Return a function that `jax.vmap` batches in blocks of at most `size`, one after the other, on a CPU.

    Nested batches are joined before they are divided. A derivative is batched as a whole: there the blocks would hide
    the linear part from the transposition.

    Args:
        function: takes and returns arrays in any nesting, closes over none that is traced.
        differentiable: the same, perhaps slower, but quick to differentiate; it is what derivatives are taken of.
        size: what one block holds at most.
    """

    @jax.custom_jvp
    def call(*arguments):
        return _once(function, size)(*arguments)

    @call.defjvp
    def _(primals, tangents):
        return jax.jvp(differentiable, primals, tangents)

    return call


def _once(function: Callable, size: int) -> Callable:
    @custom_vmap
    def call(*arguments):
        return function(*arguments)

    @call.def_vmap
    def _(length, batched, *arguments):
        out = _many(function, tuple(batched), length, size)(*arguments)
        return out, jax.tree.map(lambda _: True, out)

    return call


def _many(function: Callable, batched: tuple, length: int, size: int) -> Callable:
    """Return the function over a batch; a batch of batches becomes a longer one."""

    @custom_vmap
    def call(*arguments):
        return _in_turn(function, batched, length, size, arguments)

    @call.def_vmap
    def _(outer, again, *arguments):
        def join(x, new, old):
            if not new:
                return jnp.tile(x, (outer, *(1,) * (x.ndim - 1))) if old else x
            return x.reshape(outer * length, *x.shape[2:]) if old else jnp.repeat(x, length, axis=0)

        joined = jax.tree.map(join, arguments, tuple(again), batched)
        either = jax.tree.map(lambda new, old: new or old, tuple(again), batched)
        out = _many(function, either, outer * length, size)(*joined)
        out = jax.tree.map(lambda x: x.reshape(outer, length, *x.shape[1:]), out)
        return out, jax.tree.map(lambda _: True, out)

    return call


def _in_turn(function: Callable, batched: tuple, length: int, size: int, arguments: tuple):
    """Apply the function to one block after the other; the last block is filled up with copies of the last member."""
    leaves, structure = jax.tree.flatten(arguments)
    divided = jax.tree.leaves(batched)
    count = -(-length // size)
    each = -(-length // count)

    def block(parts):
        rest = iter(parts)
        mixed = [next(rest) if own else x for x, own in zip(leaves, divided, strict=True)]
        axes = [0 if own else None for own in divided]
        over = jax.vmap(lambda *x: function(*jax.tree.unflatten(structure, x)), in_axes=tuple(axes))
        return over(*mixed)

    own = [x for x, mine in zip(leaves, divided, strict=True) if mine]
    if count == 1 or jax.default_backend() != "cpu":
        return block(own)
    missing = count * each - length
    if missing:
        own = [jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)]) for x in own]
    out = jax.lax.map(block, [x.reshape(count, each, *x.shape[1:]) for x in own])
    return jax.tree.map(lambda x: x.reshape(count * each, *x.shape[2:])[:length], out)
