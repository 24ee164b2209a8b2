"""What a lane program is told before it is written, and how it reads one person's numbers.

Fixed floats: the parameters, then the initial states. Tables, always all of them: see `Table`, then, where parameters
vary, the spans (`Span`) with two tables for each varying parameter: its values at the left and right ends of the spans.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from vtrial.solve.lanes.program import Program, Step, lane_load, lane_rows


class Table(IntEnum):
    """Numbers of the tables every program has; R entries, M samples."""

    TIME = 0
    """When an entry happens [R], ascending; the first is the start."""
    AMOUNT = 1
    """What an entry adds to its state [R]."""
    RATE = 2
    """What an entry adds to the input rate of its state [R]: an infusion starts with + and ends with -."""
    STATE = 3
    """The state an entry is for [R], int."""
    RESET = 4
    """1 if before adding the entry sets the states back to the initial ones and ends all input [R], int."""
    SAMPLE = 5
    """When a sample is taken [M], ascending."""
    AFTER = 6
    """The last entry before a sample [M], int."""


class Span(IntEnum):
    """Numbers of the further tables where parameters vary in time; S spans."""

    STEP = 7
    """Span of the interval that ends at an entry [R], int; the first is not used."""
    SAMPLE = 8
    """Span a sample is observed with [M], int; the last one's is also that of the interval after the last entry."""
    LEFT = 9
    """Where a span starts [S]."""
    RIGHT = 10
    """Where a span ends [S]; a parameter is linear in between."""


KINDS = ("f", "f", "f", "i", "i", "f", "i")
SPAN_KINDS = ("i", "i", "f", "f")


class Equations(NamedTuple):
    """One model in plain scalars; hashable."""

    rates: Callable[[Any, tuple, tuple], tuple]
    """Rates of the states from time, states and parameters."""
    observe: Callable[[Any, tuple, tuple], tuple]
    """Outputs from time, states and parameters."""
    states: int
    parameters: int
    outputs: int

    def given(self, fixed: tuple) -> tuple[Any, ...]:
        """Return the parameters among the fixed floats."""
        return tuple(fixed[: self.parameters])

    def initial(self, fixed: tuple) -> tuple[Any, ...]:
        """Return the initial states among the fixed floats."""
        return tuple(fixed[self.parameters : self.parameters + self.states])


class Settings(NamedTuple):
    """How the equations are to be solved; hashable."""

    stiff: bool = False
    """Use Rodas5P instead of Tsit5."""
    rtol: float = 1e-6
    """Relative tolerance of one step."""
    atol: float = 1e-8
    """Absolute tolerance of one step, in the unit of the states."""
    max_steps: int = 100_000
    """Most attempted steps of one person."""
    dosed: tuple[int, ...] = (0,)
    """States that may receive amounts."""
    infused: tuple[int, ...] = ()
    """States that may receive input rates."""
    resets: bool = False
    """Whether entries may reset; otherwise that table is not read."""
    varying: tuple[int, ...] = ()
    """Parameters whose value varies in time."""
    ptx: bool = False
    """Compile for an NVIDIA GPU where there is one; otherwise XLA runs the program there."""

    def kinds(self) -> tuple[str, ...]:
        """Return the kind of each table."""
        return KINDS + (SPAN_KINDS + ("f", "f") * len(self.varying) if self.varying else ())


def assembled(
    equations: Equations,
    settings: Settings,
    init: Callable[[tuple], Any],
    step: Callable[[tuple, Any], Step],
    emit: Callable[[tuple, Any], tuple[Any, ...]],
    finish: Callable[[tuple, Any], tuple[Any, Any]],
) -> Program:
    """Return the program of these parts, which reads the fixed floats and tables described above.

    `finish` returns a `ResultCode` and a number of steps.
    """
    fixed = equations.parameters + equations.states
    return Program(fixed, settings.kinds(), equations.outputs, 2, init, step, emit, finish)


def clamped(row: Any, table: int) -> Any:
    """Return a row, or the last one of a table if it lies beyond."""
    return jnp.minimum(row, lane_rows(table) - 1)


def span_after(settings: Settings, entries: Any) -> Any:
    """Return the span of the interval after so many entries, or () where no parameter varies."""
    if not settings.varying:
        return ()
    inside = lane_load(Span.STEP, clamped(entries, Table.TIME), "i")
    tail = lane_load(Span.SAMPLE, lane_rows(Table.SAMPLE) - 1, "i")
    return lax.select(entries < lane_rows(Table.TIME), inside, tail)


def parameters_at(settings: Settings, p: tuple, span: Any) -> Callable[[Any], tuple]:
    """Return the parameters as a function of time inside one span."""
    if not settings.varying:
        return lambda t: p
    left, right = (lane_load(end, span) for end in (Span.LEFT, Span.RIGHT))
    width = lax.select(right > left, right - left, jnp.ones_like(left))
    first = len(KINDS) + len(SPAN_KINDS)
    ends = {i: [lane_load(first + 2 * k + e, span) for e in (0, 1)] for k, i in enumerate(settings.varying)}
    slopes = {i: (high - low) / width for i, (low, high) in ends.items()}

    def at(t: Any) -> tuple:
        return tuple(ends[i][0] + slopes[i] * (t - left) if i in ends else one for i, one in enumerate(p))

    return at


def entered(settings: Settings, initial: tuple, entry: Any, y: tuple, inputs: tuple) -> tuple[tuple, tuple]:
    """Return states and input rates after an entry."""
    dosed, infused = settings.dosed, settings.infused
    if settings.resets:
        reset = lane_load(Table.RESET, entry, "i") != 0
        y = tuple(lax.select(reset, new, old) for new, old in zip(initial, y, strict=True))
        inputs = tuple(lax.select(reset, jnp.zeros_like(old), old) for old in inputs)
    # Every read costs: where all entries are for one state, the table is not asked which.
    target = lane_load(Table.STATE, entry, "i") if len({*dosed, *infused}) > 1 else None

    def given(state: int, table: Table) -> Any:
        value = lane_load(table, entry)
        return value if target is None else lax.select(target == state, value, jnp.zeros_like(value))

    y = tuple(one + given(i, Table.AMOUNT) if i in dosed else one for i, one in enumerate(y))
    inputs = tuple(one + given(i, Table.RATE) for i, one in zip(infused, inputs, strict=True))
    return y, inputs
