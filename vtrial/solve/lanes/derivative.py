"""Kernels as JAX functions with derivatives: `jax.grad`, `jacfwd`, `vmap` and `jit` work on what they return."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

from vtrial.errors import UserError
from vtrial.solve.exact.paths import Paths
from vtrial.solve.exact.rational import Rational
from vtrial.solve.lanes.call import Kernel, compile
from vtrial.solve.lanes.driver import program
from vtrial.solve.lanes.forward import reach
from vtrial.solve.lanes.leap import leap
from vtrial.solve.lanes.problem import KINDS, SPAN_KINDS, Equations, Settings, Span, Table
from vtrial.solve.lanes.ptx import PtxKernel
from vtrial.solve.lanes.sensitivity import sensitivity
from vtrial.solve.lanes.traced import Traced
from vtrial.solve.lanes.walk import walk


class Moving(NamedTuple):
    """What a kernel reads of one person and what may have derivatives, beside scalar parameters."""

    start: tuple[Float[Array, ""], ...]
    """Initial states."""
    time: Float[Array, " entry"]
    amount: Float[Array, " entry"]
    rate: Float[Array, " entry"]
    sample: Float[Array, " sample"]
    bounds: tuple[Float[Array, " span"], ...] = ()
    """When the spans of varying parameters start and end, or nothing."""
    ends: tuple[Float[Array, " span"], ...] = ()
    """Left and right values of each varying parameter, in turn."""


def _tables(moving: Moving) -> tuple[Any, ...]:
    """Return all but the initial states: four tables of every person, then those of varying parameters."""
    return moving.time, moving.amount, moving.rate, moving.sample, *moving.bounds, *moving.ends


class Person(NamedTuple):
    """All that a kernel reads of one person."""

    parameters: Float[Array, " parameter"]
    """In the order of the equations; those that vary are not read."""
    moving: Moving
    state: Int[Array, " entry"]
    reset: Int[Array, " entry"]
    after: Int[Array, " sample"]
    spans: tuple[Array, ...]
    """The tables of `Span` that say which, or none."""
    ready: Any
    """Whatever else is to be handed through."""


class Lane(NamedTuple):
    """What is to be compiled; hashable."""

    equations: Equations
    settings: Settings
    places: tuple[int | None, ...]
    """For each argument of `prepare` the number of the parameter it is, or `None`."""
    exact: Paths | Rational | None = None
    """What linear equations are carried by instead of being integrated."""


class _Derivatives(NamedTuple):
    """Which derivatives a kernel computes; see `sensitivity`."""

    directions: tuple[int | None, ...]
    initial: tuple[tuple[int, int], ...]
    tables: tuple[int, ...]


@cache
def _made(lane: Lane, wanted: _Derivatives | None, dtype: str, device: str) -> Kernel | PtxKernel | Traced:
    """Make a kernel once for each use: compiled for a CPU or, if asked, a GPU; `dtype` is JAX's float."""
    moves = wanted is not None and Table.TIME in wanted.tables
    if isinstance(lane.exact, Rational):
        made = leap(lane.equations, lane.settings, differentiable=wanted is not None)
    elif lane.exact:
        made = walk(lane.equations, lane.settings, lane.exact)
    else:
        made = program(lane.equations, lane.settings, differentiable=wanted is not None, moves=moves)
    if wanted is not None:
        more = {"initial_tangents": wanted.initial, "table_tangents": wanted.tables}
        made = sensitivity(made, lane.equations, wanted.directions, **more)
    if device == "cpu":
        return compile(made)
    return PtxKernel(made) if lane.settings.ptx else Traced(made)


def _kernel(lane: Lane, wanted: _Derivatives | None = None) -> Kernel | PtxKernel | Traced:
    return _made(lane._replace(places=()), wanted, str(jnp.result_type(float)), jax.default_backend())


def _arguments(person: Person) -> tuple[list[Array], list[Array]]:
    """Return a person's fixed floats, in parts, and tables."""
    moving = person.moving
    tables = [moving.time, moving.amount, moving.rate, person.state, person.reset, moving.sample, person.after]
    tables += [*person.spans, *moving.bounds, *moving.ends]
    kinds = KINDS + SPAN_KINDS * bool(person.spans) + ("f",) * len(moving.ends)
    types = {"f": jnp.result_type(float), "i": jnp.int32}
    return [person.parameters, jnp.stack(moving.start)], [
        t.astype(types[k]) for t, k in zip(tables, kinds, strict=True)
    ]


def solve(
    lane: Lane, prepare: Callable[..., Person], arguments: Sequence[Array]
) -> tuple[Float[Array, "sample output"], Int[Array, " 2"], Any]:
    """Return one person's outputs at the samples, the code and the number of steps, and what `prepare` handed through.

    Args:
        lane: the equations and how they are solved.
        prepare: from `arguments` to the person; it must not close over anything traced.
        arguments: scalars and arrays. Derivatives of the outputs exist in all of them that are floats: a scalar costs a
            direction of one kernel, an array a solve of its own for each entry.

    Raises:
        Unsupported: the equations use what no kernel can do.
        UserError: a second derivative was asked for.
    """

    @jax.custom_jvp
    def call(*given: Array):
        person = prepare(*given)
        fixed, tables = _arguments(person)
        rows, finals = _kernel(lane)(jnp.concatenate(fixed), *tables, samples=len(person.after))
        return rows, finals, person.ready

    def rule(primals: tuple, tangents: tuple) -> Any:
        moved = [i for i, t in enumerate(tangents) if not isinstance(t, SymbolicZero)]
        moved = [i for i in moved if jnp.issubdtype(primals[i].dtype, jnp.floating)]
        scalars = [i for i in moved if primals[i].ndim == 0]
        if scalars:
            (every, finals), ready = _by_scalars(lane, prepare, primals, scalars)
            rows, change = every[:, 0], _changed(every, jnp.stack([tangents[i] for i in scalars]))
        else:
            rows, finals, ready = call(*primals)
            change = jnp.zeros_like(rows)
        for i in moved:
            if primals[i].ndim:
                slopes = _by_entries(lane, prepare, primals, i)
                change = change + jnp.einsum("kmo,k->mo", slopes, tangents[i].ravel())
        return (rows, finals, ready), (change, *jax.tree.map(_nothing, (finals, ready)))

    call.defjvp(rule, symbolic_zeros=True)
    return call(*arguments)


def _changed(
    every: Float[Array, "sample all output"], along: Float[Array, " direction"]
) -> Float[Array, "sample output"]:
    """Return the change of the outputs; their values stay in, times 0: copying the derivatives alone costs more."""
    return jnp.einsum("mko,k->mo", every, jnp.concatenate([jnp.zeros(1), along]))


def _nothing(value: Array) -> Any:
    """Return the tangent of something without one."""
    return np.zeros(jnp.shape(value), jax.dtypes.float0)


def _by_scalars(lane: Lane, prepare: Callable[..., Person], primals: tuple, which: list[int]) -> tuple[Any, Any]:
    """Return outputs with their derivatives in scalar arguments, as `_slopes` does, and what is handed through."""

    def moving(*values: Array) -> Moving:
        given = list(primals)
        for i, value in zip(which, values, strict=True):
            given[i] = value
        return prepare(*given).moving

    person, values = prepare(*primals), [primals[i] for i in which]
    closed, shape = jax.make_jaxpr(moving, return_shape=True)(*values)
    reached = reach(closed, [frozenset({k}) for k in range(len(which))], {})
    tangents = None
    if any(reached):
        along = jax.vmap(lambda unit: jax.jvp(moving, tuple(values), tuple(unit))[1])
        tangents = along(jnp.eye(len(which), dtype=values[0].dtype))
    places, reached = tuple(lane.places[i] for i in which), jax.tree.unflatten(jax.tree.structure(shape), reached)
    return _slopes(lane, person, places, reached, tangents), person.ready


def _by_entries(
    lane: Lane, prepare: Callable[..., Person], primals: tuple, which: int
) -> Float[Array, "_ sample output"]:
    """Return the derivatives of the outputs in each entry of one array."""
    array = primals[which]

    def moving(value: Array) -> Moving:
        return prepare(*primals[:which], value, *primals[which + 1 :]).moving

    person = prepare(*primals)
    closed, shape = jax.make_jaxpr(moving, return_shape=True)(array)
    reached = jax.tree.unflatten(jax.tree.structure(shape), reach(closed, [frozenset({0})], {}))

    def along(unit: Array) -> Array:
        tangents = jax.tree.map(lambda one: one[None], jax.jvp(moving, (array,), (unit.reshape(array.shape),))[1])
        return _slopes(lane, person, (None,), reached, tangents)[0][:, 1]

    return jax.vmap(along)(jnp.eye(array.size, dtype=array.dtype))


def _slopes(lane: Lane, person: Person, directions: tuple, reached: Moving, tangents: Moving | None) -> tuple:
    """Run the kernel: outputs, then their derivatives in each direction [sample, 1 + direction, output]; finals.

    `reached` has the directions in which each leaf moves, `tangents` its derivatives in all of them.
    """
    fixed, tables = _arguments(person)
    moved: list[int] = []
    initial: tuple[tuple[int, int], ...] = ()
    if tangents is not None:
        numbers = (Table.TIME, Table.AMOUNT, Table.RATE, Table.SAMPLE)
        pairs = list(zip(numbers, _tables(reached), _tables(tangents), strict=False))
        last = _tables(reached)[4:], _tables(tangents)[4:]
        pairs += [(Span.LEFT + k, *both) for k, both in enumerate(zip(*last, strict=True))]
        initial = tuple((k, i) for i, found in enumerate(reached.start) for k in sorted(found))  # pyright: ignore
        fixed += [tangents.start[i][k][None] for k, i in initial]
        tables += [tangent.ravel() for _, needed, tangent in pairs if needed]
        moved = [int(number) for number, needed, _ in pairs if needed]
    kernel = _kernel(lane, _Derivatives(directions, initial, tuple(moved)))
    rows, finals = _once(kernel, len(person.after))(jnp.concatenate(fixed), *tables)
    return rows.reshape(len(rows), 1 + len(directions), lane.equations.outputs), finals


def _once(kernel: Kernel | PtxKernel | Traced, samples: int) -> Callable[..., tuple[Array, Array]]:
    """Return the call of a kernel that has derivatives already, and no further ones."""

    @jax.custom_jvp
    def call(*arguments: Array):
        return kernel(*arguments, samples=samples)

    def rule(primals: tuple, tangents: tuple):
        if any(not isinstance(t, SymbolicZero) for t in tangents):
            raise UserError(
                "Compiled solvers have first derivatives only; for second ones use solver=general, "
                "or solver=linear solver.compiled=false."
            )
        rows, finals = call(*primals)
        return (rows, finals), (jnp.zeros_like(rows), _nothing(finals))

    call.defjvp(rule, symbolic_zeros=True)
    return call
