"""The program that carries one person of a linear model exactly from entry to entry, and from there to the samples."""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from vtrial.solve.base import ResultCode
from vtrial.solve.exact.paths import Paths, carry, nodes
from vtrial.solve.lanes.jacobian import linearise
from vtrial.solve.lanes.problem import Equations, Settings, Table, clamped, entered
from vtrial.solve.lanes.program import Program, Step, lane_load, lane_rows
from vtrial.solve.lanes.stepping import larger, largest, smaller


class Place(NamedTuple):
    """Where one person's walk stands: just after an entry."""

    t: Any
    y: tuple[Any, ...]
    inputs: tuple[Any, ...]
    rates: dict[tuple[int, int], Any]
    """Entries of the rate matrix."""
    roots: tuple[tuple[Any, ...], ...]
    """Its eigenvalues."""
    entry: Any
    """The entry to come."""
    row: Any
    """The sample to come."""
    largest: Any
    """The largest absolute value of a state so far."""
    code: Any


def walk(equations: Equations, settings: Settings, paths: Paths) -> Program:
    """Return the program that solves linear equations for one person by a closed form.

    Fixed floats, tables, columns and finals are those of `vtrial.solve.lanes.driver.program`; parameters do not vary.
    It has no mesh, so that its derivatives are those of the formulas; see `vtrial.solve.lanes.sensitivity`.
    """
    count, size = equations.parameters, equations.states

    def initial(fixed: tuple) -> tuple:
        return tuple(fixed[count : count + size])

    def init(fixed: tuple) -> Place:
        t, zero = lane_load(Table.TIME, 0), jnp.zeros_like(fixed[0])
        found = linearise(lambda t, y: equations.rates(t, y, tuple(fixed[:count])), t, (zero,) * size)
        # A rate that only looks as if it were there is zero.
        states = [(i, j) for i, j in sorted(paths.links) if j < size] + [(i, i) for i in range(size)]
        rates = {place: jnp.asarray(found.jacobian.get(place, zero), zero.dtype) for place in dict.fromkeys(states)}
        rates |= {(i, j): zero for i, j in _empty(paths) if (i, j) not in rates}
        nothing = (zero,) * len(settings.infused)
        y, inputs = entered(settings, initial(fixed), jnp.int32(0), initial(fixed), nothing)
        roots = tuple(tuple(jnp.asarray(x, zero.dtype) for x in block) for block in nodes(paths, rates))
        code, first = jnp.int32(ResultCode.SOLVED), jnp.int32(1)
        return Place(t, y, inputs, rates, roots, first, jnp.int32(0), lax.stop_gradient(largest(y)), code)

    def step(fixed: tuple, here: Place) -> Step:
        """Go to the sample to come, and back, or to the entry to come."""
        samples, entries = lane_rows(Table.SAMPLE), lane_rows(Table.TIME)
        row = clamped(here.row, Table.SAMPLE)
        entry = clamped(here.entry, Table.TIME)
        looks = (lane_load(Table.AFTER, row, "i") < here.entry) | (here.entry >= entries)
        sample = lane_load(Table.SAMPLE, row)
        goal = lax.select(looks, sample, lane_load(Table.TIME, entry))
        there = carry(paths, here.rates, here.roots, goal - here.t, (*here.y, *here.inputs))
        filled, added = entered(settings, initial(fixed), entry, there, here.inputs)
        alive = here.row < samples
        stays = looks | ~alive
        left = Place(
            t=lax.select(stays, here.t, goal),
            y=_kept(stays, here.y, filled),
            inputs=_kept(stays, here.inputs, added),
            rates=here.rates,
            roots=here.roots,
            entry=here.entry + (~stays).astype(jnp.int32),
            row=here.row + (looks & alive).astype(jnp.int32),
            largest=larger(here.largest, lax.stop_gradient(largest(filled))),
            code=_code(alive, here, there),
        )
        return Step(left, left.row < samples, looks & alive, here.row, (sample, there))

    def emit(fixed: tuple, seen: Any) -> tuple:
        sample, there = seen
        return tuple(equations.observe(sample, there, tuple(fixed[:count])))

    return Program(
        fixed=count + size,
        tables=settings.kinds(),
        columns=equations.outputs,
        finals=2,
        init=init,
        step=step,
        emit=emit,
        finish=lambda fixed, place: (place.code, place.entry),
    )


def _kept(stays: Any, old: tuple, new: tuple) -> tuple:
    return tuple(lax.select(stays, one, other) for one, other in zip(old, new, strict=True))


def _empty(paths: Paths) -> list[tuple[int, int]]:
    """Return all places within a block, where the eigenvalues ask for every rate."""
    states = [block.states for block in paths.blocks if block.states[0] < paths.size]
    return [(i, j) for block in states for i in block for j in block]


def _code(alive: Any, here: Place, there: tuple) -> Any:
    """Return that an amount is negative beyond rounding, if it is."""
    least = lax.stop_gradient(functools.reduce(smaller, there))
    negative = alive & (least < -1e-6 * here.largest)
    found = lax.select(negative, jnp.int32(ResultCode.NEGATIVE), jnp.int32(ResultCode.SOLVED))
    return lax.select(here.code == ResultCode.SOLVED, found, here.code)
