"""Compiled programs as functions that JAX can trace and batch."""

import ctypes
from collections.abc import Sequence
from functools import cache

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vtrial.solve.lanes.batching import joined
from vtrial.solve.lanes.emit import type_of
from vtrial.solve.lanes.engine import address, digest, wide
from vtrial.solve.lanes.handler import handler
from vtrial.solve.lanes.kernel import Block, Traced, trace
from vtrial.solve.lanes.program import Program

LANES = {"double": 8, "float": 16}
"""Persons solved at once: a 512-bit register's worth, which LLVM splits where registers are narrower."""
_FEW_CARRIED = 40
"""Scalars that a step may carry on if each is to take two such registers, of which there are 32."""


def module(program: Program, width: int | None = None) -> str:
    """Return a program's whole module as LLVM IR."""
    kind, traced = type_of(jnp.result_type(float)), trace(program)
    width = width or _width(kind, traced)
    return Block(program, traced, width).write() + handler(
        width, kind, program.columns, program.fixed, program.finals, program.tables
    )


def _width(kind: str, traced: Traced) -> int:
    """Return how many lanes are quickest: a step is one long chain, and two registers at once fill its waiting."""
    return LANES[kind] * (2 if wide() and len(traced.carried) <= _FEW_CARRIED else 1)


@cache
def registered(text: str) -> str:
    """Compile a module and return the name under which XLA finds its handler."""
    name = f"vtrial_lanes_{digest(text)}"
    function = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address(text, "handler"))
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(function), platform="cpu", api_version=1)
    return name


class Kernel:
    """A compiled program: call it for one person, batch it with `jax.vmap`."""

    def __init__(self, program: Program, text: str):
        self.program = program
        self.name = registered(text)
        self._kinds = {"f": jnp.result_type(float), "i": jnp.dtype("int32")}

    def __call__(
        self, fixed: Float[Array, " fixed"], *tables: Float[Array, "_"] | Int[Array, "_"], samples: int
    ) -> tuple[Float[Array, "sample column"], Int[Array, " final"]]:
        """Return the samples, NaN in rows never written, and what `finish` returned."""
        kinds = self._kinds
        checked(self.program, fixed, tables)
        name, columns, finals = self.name, self.program.columns, self.program.finals

        def run(fixed: Array, *tables: Array) -> tuple[Array, Array]:
            persons = len(fixed)
            shapes = (
                jax.ShapeDtypeStruct((persons, samples, columns), kinds["f"]),
                jax.ShapeDtypeStruct((persons, finals), kinds["i"]),
            )
            found = jax.ffi.ffi_call(name, shapes)(fixed, *tables)
            return found[0], found[1]

        rows, last = joined(run)(fixed[None], *(table[None] for table in tables))
        return rows[0], last[0]


def checked(program: Program, fixed: Array, tables: Sequence[Array]) -> None:
    """Refuse arrays that a kernel of this program is not made for.

    Raises:
        TypeError: their number, type or shape is another.
    """
    kinds = {"f": jnp.result_type(float), "i": jnp.dtype("int32")}
    arrays = [fixed, *tables]
    expected = [((program.fixed,), kinds["f"]), *((None, kinds[kind]) for kind in program.tables)]
    if len(arrays) != len(expected):
        raise TypeError(f"The kernel takes {len(expected) - 1} tables, not {len(arrays) - 1}.")
    for number, (array, (shape, dtype)) in enumerate(zip(arrays, expected, strict=True)):
        if array.dtype != dtype or array.ndim != 1 or (shape is not None and array.shape != shape):
            wanted = f"{dtype}{list(shape) if shape else '[rows]'}"
            raise TypeError(f"Operand {number} of the kernel is {wanted}, not {array.dtype}{list(array.shape)}.")


def compile(program: Program) -> Kernel:
    """Compile a program in the float type that JAX has as its default."""
    return Kernel(program, module(program))
