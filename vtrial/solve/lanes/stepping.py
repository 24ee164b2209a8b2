"""Where a person's solve stands, where its next step goes, and how long the step after that is."""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from vtrial.solve.lanes.method import Attempt
from vtrial.solve.lanes.problem import Settings, Table, clamped
from vtrial.solve.lanes.program import lane_load, lane_rows


class State(NamedTuple):
    """Where one person's solve stands."""

    t: Any
    y: tuple[Any, ...]
    known: tuple[Any, ...]
    """The rates here, if the method uses them."""
    inputs: tuple[Any, ...]
    """Input rates of the infused states."""
    h: Any
    """Length of the next step; 0 if nothing is known about it."""
    restart: Any
    """Length of the first step after an entry, learnt from the last one; 0 if nothing is known about it."""
    fresh: Any
    """Whether no step has been accepted since the last entry."""
    entry: Any
    """The entry to come."""
    row: Any
    """The sample to come."""
    sample: Any
    """Its time."""
    after: Any
    """The entry it comes after."""
    end: Any
    """Time of the last sample."""
    largest: tuple[Any, ...]
    """The largest absolute value of each state so far."""
    steps: Any
    code: Any


class Aim(NamedTuple):
    """Where the step at hand goes."""

    h: Any
    """Its length, 0 if no time passes."""
    wanted: Any
    """Its length before it was cut."""
    end: Any
    """Time at its end."""
    cut: Any
    """Whether it ends where something happens, not where the error says."""
    waits: Any
    """Whether only a sample is taken."""
    enters: Any
    """Whether only an entry happens."""
    following: tuple[Any, Any]
    """Time of the sample after the one to come, and the entry it comes after."""

    @property
    def rests(self) -> Any:
        """Whether no time passes."""
        return self.waits | self.enters


def larger(a: Any, b: Any) -> Any:
    """Return the larger of two floats; `jnp.maximum` takes four instructions more to be right about NaN."""
    return lax.select(a > b, a, b)


def smaller(a: Any, b: Any) -> Any:
    """Return the smaller of two floats, b if one is NaN."""
    return lax.select(a < b, a, b)


def largest(values: tuple) -> Any:
    """Return the largest of several absolute values."""
    return functools.reduce(larger, (abs(one) for one in values))


def first_length(y: tuple, slopes: tuple) -> Any:
    """Guess the first step: a hundredth of the time in which the states would change by their own size.

    It knows no unit of time or amount. Without a state or without a rate it is 0.
    Source: the first stage of Hairer, Norsett and Wanner 1993, section II.4, doi:10.1007/978-3-540-78862-1.
    """
    size, speed = largest(y), largest(slopes)
    known = (size > 0) & (speed > 0)
    return lax.select(known, 0.01 * size / lax.select(known, speed, jnp.ones_like(speed)), jnp.zeros_like(size))


def aim(state: State, freeze: Any) -> Aim:
    """Return where the next step goes: to an entry, to midway before a second sample, or as far as the error allows."""
    t, entries, samples = state.t, lane_rows(Table.TIME), lane_rows(Table.SAMPLE)
    more = state.entry < entries
    goal = smaller(state.end, lane_load(Table.TIME, clamped(state.entry, Table.TIME)))
    goal = lax.select(more, goal, state.end)
    later = clamped(state.row + 1, Table.SAMPLE)
    following = lane_load(Table.SAMPLE, later), lane_load(Table.AFTER, later, "i")
    second = (following[1] < state.entry) & (state.row + 1 < samples)
    middle = 0.5 * (state.sample + following[0])

    rest = goal - t
    here = (state.after < state.entry) & (state.sample <= t)
    waits = here & ((rest <= 0) | (second & (middle <= t)))
    enters = (rest <= 0) & more & ~waits
    wanted = freeze(lax.select(state.h > 0, state.h, rest))
    stop = ~(wanted <= 0.999 * rest)  # also where a time is NaN, which then ends the solve
    h = lax.select(stop, rest, wanted)
    clip = second & (h >= following[0] - t)
    h = lax.select(clip, middle - t, h)
    end = lax.select(clip, middle, lax.select(stop, goal, t + h))
    still = waits | enters
    end = lax.select(still, lax.select(enters, goal, t), end)
    return Aim(lax.select(still, jnp.zeros_like(h), h), wanted, end, stop | clip, waits, enters, following)


def error_square(settings: Settings, y: tuple, attempt: Attempt) -> Any:
    """Return the mean square of the errors in units of the tolerance; very large if one is not finite."""
    parts = []
    for error, start, end in zip(attempt.error, y, attempt.end, strict=True):
        part = error / (settings.atol + settings.rtol * larger(abs(start), abs(end)))
        parts.append(part * part)
    square = sum(parts[1:], parts[0]) * (1.0 / len(parts))
    return lax.select(square < 1e20, square, jnp.full_like(square, 1e20))


def _factor(square: Any) -> Any:
    """Return 0.9 square^(-1/10) between 0.2 and 5: by how much the next step may be longer.

    Without exp and log, which took a fifth of a step: with u = square^(1/4), the rational function is within 4 % of
    u^(-2/5).
    """
    u = jnp.sqrt(jnp.sqrt(square))
    power = ((1.81863 * u + 35.19875) * u + 7.22464) / ((10.76414 * u + 31.85932) * u + 1.0)
    return smaller(larger(0.9 * power, jnp.full_like(power, 0.2)), jnp.full_like(power, 5.0))


def next_lengths(state: State, aimed: Aim, square: Any, accepted: Any) -> tuple[Any, Any]:
    """Return the length of the next step, and that of the first step after the next entry."""
    factor = _factor(square)
    scaled = aimed.h * factor
    # A step that was cut says little about the error; what was wanted before stands unless the step allows more.
    longer = lax.select(aimed.cut, larger(aimed.wanted, scaled), scaled)
    h = lax.select(accepted, longer, aimed.h * smaller(factor, jnp.ones_like(factor)))
    h = lax.select(aimed.waits, state.h, lax.select(aimed.enters, state.restart, h))
    learnt = accepted & state.fresh & ~aimed.cut & ~aimed.rests
    return h, lax.select(learnt, scaled, state.restart)
