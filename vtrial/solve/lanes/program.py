"""What a lane kernel computes: a scalar program for one person, written in plain JAX.

A program runs one person: `init`, then `step` until it is no longer active, `emit` after each step that says so,
`finish` at the end. Every value it handles is a scalar (float, int32 or bool). It reads the person's numbers in two
ways: the `fixed` floats come as scalars; a table, whose length is known only when the kernel runs, by `lane_load`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend import core
from jax.interpreters import ad
from jaxtyping import Array, Float, Int

Fixed = tuple[Any, ...]
"""A person's fixed floats, as scalars."""
Carry = Any
"""What one step hands to the next: a pytree of scalars."""


class Step(NamedTuple):
    """What one step leaves."""

    carry: Carry
    active: Any
    """Whether there is more to do."""
    emit: Any
    """Whether `emit` is to be called with `arguments`, and its result written to row `row` of the samples."""
    row: Any
    arguments: Any
    """A pytree of scalars."""


class Program(NamedTuple):
    """A scalar program and the shape of what it reads and writes."""

    fixed: int
    """Number of fixed floats."""
    tables: tuple[str, ...]
    """Kind of each table: "f" for floats, "i" for int32."""
    columns: int
    """Number of floats in each row of the samples."""
    finals: int
    """Number of int32 values that `finish` returns."""
    init: Callable[[Fixed], Carry]
    step: Callable[[Fixed, Carry], Step]
    emit: Callable[[Fixed, Any], tuple[Any, ...]]
    finish: Callable[[Fixed, Carry], tuple[Any, ...]]


lane_load_p = core.Primitive("lane_load")
"""Reads one entry of a table; parameters `table` (its number) and `kind`."""
lane_rows_p = core.Primitive("lane_rows")
"""The number of entries of a table, as int32; parameter `table`."""


@lane_load_p.def_abstract_eval
def _(row, *, table, kind):
    dtype = jnp.result_type(float) if kind == "f" else jnp.dtype("int32")
    return ShapedArray((), dtype)


@lane_rows_p.def_abstract_eval
def _(*, table):
    return ShapedArray((), jnp.dtype("int32"))


ad.defjvp(lane_load_p, None)  # an index has no tangent


def lane_load(table: int, row: Int[Array, ""] | int, kind: str = "f") -> Float[Array, ""] | Int[Array, ""]:
    """Return entry `row` of table number `table` of the person at hand; beyond its ends the nearest."""
    return lane_load_p.bind(jnp.asarray(row, jnp.int32), table=table, kind=kind)


def lane_rows(table: int) -> Int[Array, ""]:
    """Return how many entries table number `table` has: the same for all persons of one call."""
    return lane_rows_p.bind(table=table)
