"""The program that carries one person of a linear model exactly from entry to entry, and from there to the samples."""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from vtrial.solve.base import ResultCode
from vtrial.solve.exact.paths import Paths, carry, nodes
from vtrial.solve.lanes.jacobian import Entries, linearise
from vtrial.solve.lanes.problem import Equations, Settings, Table, assembled, clamped, entered
from vtrial.solve.lanes.program import Program, Step, lane_load, lane_rows
from vtrial.solve.lanes.stepping import larger


class Place(NamedTuple):
    """Where one person's walk stands: just after an entry."""

    t: Any
    y: tuple[Any, ...]
    inputs: tuple[Any, ...]
    rates: Entries
    """Entries of the rate matrix."""
    roots: tuple[tuple[Any, ...], ...]
    """Its eigenvalues."""
    entry: Any
    """The entry to come."""
    row: Any
    """The sample to come."""
    largest: tuple[Any, ...]
    """The largest absolute value of each state so far."""
    code: Any


def walk(equations: Equations, settings: Settings, paths: Paths) -> Program:
    """Return the program that solves linear equations for one person by a closed form.

    Fixed floats, tables, columns and finals are those of `vtrial.solve.lanes.driver.program`; parameters do not vary.
    It has no mesh, so that its derivatives are those of the formulas; see `vtrial.solve.lanes.sensitivity`.
    """
    made = _Walk(equations, settings, paths)
    return assembled(
        equations, settings, made.init, made.step, made.emit, lambda fixed, place: (place.code, place.entry)
    )


class _Walk(NamedTuple):
    """The parts of the program."""

    equations: Equations
    settings: Settings
    paths: Paths

    def init(self, fixed: tuple) -> Place:
        """Take the first entry; find the rates and their eigenvalues once for all."""
        t, zero = lane_load(Table.TIME, 0), jnp.zeros_like(fixed[0])
        rates = self._rates(fixed, t, zero)
        nothing = (zero,) * len(self.settings.infused)
        initial = self.equations.initial(fixed)
        y, inputs = entered(self.settings, initial, jnp.int32(0), initial, nothing)
        roots = tuple(tuple(jnp.asarray(x, zero.dtype) for x in block) for block in nodes(self.paths, rates))
        code, first, sizes = jnp.int32(ResultCode.SOLVED), jnp.int32(1), magnitudes(y)
        return Place(t, y, inputs, rates, roots, first, jnp.int32(0), sizes, code)

    def step(self, fixed: tuple, here: Place) -> Step:
        """Go to the sample to come, and back, or to the entry to come."""
        samples, entries = lane_rows(Table.SAMPLE), lane_rows(Table.TIME)
        row, entry = clamped(here.row, Table.SAMPLE), clamped(here.entry, Table.TIME)
        looks = (lane_load(Table.AFTER, row, "i") < here.entry) | (here.entry >= entries)
        sample = lane_load(Table.SAMPLE, row)
        goal = lax.select(looks, sample, lane_load(Table.TIME, entry))
        there = carry(self.paths, here.rates, here.roots, goal - here.t, (*here.y, *here.inputs))
        filled, added = entered(self.settings, self.equations.initial(fixed), entry, there, here.inputs)
        alive = here.row < samples
        stays = looks | ~alive
        left = here._replace(
            t=lax.select(stays, here.t, goal),
            y=kept(stays, here.y, filled),
            inputs=kept(stays, here.inputs, added),
            entry=here.entry + (~stays).astype(jnp.int32),
            row=here.row + (looks & alive).astype(jnp.int32),
            largest=tuple(larger(old, new) for old, new in zip(here.largest, magnitudes(filled), strict=True)),
            code=negative(alive, here, there),
        )
        return Step(left, left.row < samples, looks & alive, here.row, (sample, there))

    def emit(self, fixed: tuple, seen: Any) -> tuple:
        """Return the outputs of a sample."""
        sample, there = seen
        return tuple(self.equations.observe(sample, there, self.equations.given(fixed)))

    def _rates(self, fixed: tuple, t: Any, zero: Any) -> Entries:
        """Return the rates that the closed form reads; one that only looks as if it were there is zero."""
        found = rate_entries(self.equations, self.equations.given(fixed), t, zero)
        within = [(i, j) for block in self.paths.blocks for i in block.states for j in block.states]
        wanted = sorted({place for place in (*self.paths.links, *within) if max(place) < self.equations.states})
        return {place: found.get(place, zero) for place in wanted}


def rate_entries(equations: Equations, p: tuple, t: Any, zero: Any) -> Entries:
    """Return the entries of the rate matrix of linear equations that are not structurally zero."""
    found = linearise(lambda t, y: equations.rates(t, y, p), t, (zero,) * equations.states).jacobian
    return {place: jnp.asarray(entry, zero.dtype) for place, entry in found.items()}


def magnitudes(y: tuple) -> tuple:
    """Return the absolute values, without derivatives."""
    return tuple(lax.stop_gradient(abs(one)) for one in y)


def kept(stays: Any, old: tuple, new: tuple) -> tuple:
    """Return the old values where something stays as it is, else the new ones."""
    return tuple(lax.select(stays, one, other) for one, other in zip(old, new, strict=True))


def negative(alive: Any, here: Any, there: tuple) -> Any:
    """Return that an amount is negative beyond rounding, if it is: as `vtrial.solve.base.profile` has it."""
    most = functools.reduce(larger, here.largest)
    pairs = zip(lax.stop_gradient(there), here.largest, strict=True)
    below = functools.reduce(lambda a, b: a | b, (one < -(1e-6 * size + 1e-9 * most) for one, size in pairs))
    found = lax.select(alive & below, jnp.int32(ResultCode.NEGATIVE), jnp.int32(ResultCode.SOLVED))
    return lax.select(here.code == ResultCode.SOLVED, found, here.code)
