"""The program that carries one person of any linear model exactly, in leaps, from each entry or sample to the next.

A leap is one interval, taken by the rational approximation of the exponential: one sparse solve for each pair of poles,
one in each iteration. Each leap is gauged, and a leap beyond the approximation's reach is halved until it is not. First
of all leaps of growing length are tried on states that are all alive, for the gauge cannot see what is far beyond it.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from vtrial.solve.base import ResultCode
from vtrial.solve.exact.rational import CONSTANT, GAUGE, POLES, REACH, RESIDUES, SIGHT
from vtrial.solve.lanes.jacobian import Entries
from vtrial.solve.lanes.problem import Equations, Settings, Table, assembled, clamped, entered
from vtrial.solve.lanes.program import Program, Step, lane_load, lane_rows
from vtrial.solve.lanes.resolvent import resolvent
from vtrial.solve.lanes.stepping import larger, smaller
from vtrial.solve.lanes.walk import kept, magnitudes, negative, rate_entries

_ENDLESS = 1e30
"""Length of leaps without a limit."""
_GROWTH = 4.0
"""Each leap that is tried is so many times as long as the last one."""
_SWEEPS = 4
"""Sweeps over all states that find their scales."""


class Trial(NamedTuple):
    """What shows whether a leap is within the approximation's reach."""

    states: tuple[Any, ...]
    """States that are all alive, inputs too."""
    weights: tuple[tuple[Any, ...], tuple[Any, ...]]
    """What makes two numbers of the states and inputs; one alone is zero now and then where states oscillate."""
    horizon: Any
    """Longer than any leap."""


class Stand(NamedTuple):
    """Where one person's solve stands: within a leap, or just before the next."""

    t: Any
    """When the leap began."""
    y: tuple[Any, ...]
    """States then."""
    total: tuple[Any, ...]
    """What the poles so far make of them."""
    gauge: tuple[Any, Any]
    """The same of the gauge, by the weights."""
    pole: Any
    """The pole to come."""
    inputs: tuple[Any, ...]
    rates: Entries
    """Entries of the rate matrix, with the inputs as states that do not change."""
    trial: Trial
    tries: Any
    """Whether leaps are tried without going anywhere."""
    furthest: Any
    """The longest leap the tries allow."""
    longest: Any
    """The longest leap to take now."""
    entry: Any
    """The entry to come."""
    row: Any
    """The sample to come."""
    largest: tuple[Any, ...]
    """The largest absolute value of each state so far."""
    leaps: Any
    code: Any


def leap(equations: Equations, settings: Settings, *, differentiable: bool = False) -> Program:
    """Return the program that solves linear equations for one person.

    Fixed floats, tables, columns and finals are those of `vtrial.solve.lanes.driver.program`; parameters do not vary.
    With `differentiable` it is made for `vtrial.solve.lanes.sensitivity`.
    """
    made = _Leap(equations, settings, differentiable)
    return assembled(
        equations, settings, made.init, made.step, made.emit, lambda fixed, stand: (stand.code, stand.leaps)
    )


class _Leap(NamedTuple):
    """The parts of the program."""

    equations: Equations
    settings: Settings
    differentiable: bool

    def init(self, fixed: tuple) -> Stand:
        """Take the first entry, find the rates, and begin to try leaps."""
        t, zero = lane_load(Table.TIME, 0), jnp.zeros_like(fixed[0])
        initial, size = self.equations.initial(fixed), self.equations.states
        rates = rate_entries(self.equations, self.equations.given(fixed), t, zero)
        rates |= {(i, size + k): zero + 1.0 for k, i in enumerate(self.settings.infused)}
        y, inputs = entered(self.settings, initial, jnp.int32(0), initial, (zero,) * len(self.settings.infused))
        end = lane_load(Table.SAMPLE, lane_rows(Table.SAMPLE) - 1)
        return Stand(
            t=t, y=y, total=y, gauge=(zero, zero), pole=jnp.int32(0), inputs=inputs, rates=rates,
            trial=_trial(rates, size + len(inputs), end - t), tries=jnp.bool_(True), furthest=zero + _ENDLESS,
            longest=_shortest(rates, end - t), entry=jnp.int32(1), row=jnp.int32(0), largest=magnitudes(y),
            leaps=jnp.int32(0), code=jnp.int32(ResultCode.SOLVED),
        )  # fmt: skip

    def step(self, fixed: tuple, here: Stand) -> Step:
        """Add one pole's part of a leap; after the last one, judge the leap, and land."""
        entry, row = clamped(here.entry, Table.TIME), clamped(here.row, Table.SAMPLE)
        looks = (lane_load(Table.AFTER, row, "i") < here.entry) | (here.entry >= lane_rows(Table.TIME))
        sample = lane_load(Table.SAMPLE, row)
        goal = lax.select(looks, sample, lane_load(Table.TIME, entry))
        whole = ~here.tries & (goal - here.t <= here.longest)
        h = lax.select(whole, goal - here.t, here.longest)
        total, gauge, size = self._added(here, h)
        last = here.pole == len(POLES) - 1
        found = abs(gauge[0]) + abs(gauge[1])
        within = found <= lax.select(here.tries, jnp.full_like(size, SIGHT), jnp.full_like(size, REACH)) * size
        moves = last & within & ~here.tries
        enters, emits = moves & whole & ~looks, moves & whole & looks
        filled, added = entered(self.settings, self.equations.initial(fixed), entry, total, here.inputs)
        longest, furthest = _judged(here, lax.stop_gradient(h), last, within)
        most = (larger(old, new) for old, new in zip(here.largest, magnitudes(filled), strict=True))
        left = Stand(
            t=lax.select(moves & whole, goal, lax.select(moves, here.t + h, here.t)),
            y=kept(~moves, here.y, kept(~enters, total, filled)),
            total=total,
            gauge=gauge,
            pole=lax.select(last, jnp.int32(0), here.pole + 1),
            inputs=kept(~enters, here.inputs, added),
            rates=here.rates,
            trial=here.trial,
            tries=here.tries & ~(last & (furthest < _ENDLESS)) & ~(last & (longest >= _ENDLESS)),
            furthest=furthest,
            longest=longest,
            entry=here.entry + enters.astype(jnp.int32),
            row=here.row + emits.astype(jnp.int32),
            largest=kept(~moves, here.largest, tuple(most)),
            leaps=here.leaps + last.astype(jnp.int32),
            code=self._code(here, last, moves, total, found),
        )
        failed = (left.code == ResultCode.NOT_FINITE) | (left.code == ResultCode.STEP_LIMIT)
        return Step(left, (left.row < lane_rows(Table.SAMPLE)) & ~failed, emits, here.row, (sample, total))

    def emit(self, fixed: tuple, seen: Any) -> tuple:
        """Return the outputs of a sample."""
        sample, there = seen
        return tuple(self.equations.observe(sample, there, self.equations.given(fixed)))

    def _added(self, here: Stand, h: Any) -> tuple[tuple, tuple, Any]:
        """Return the leap's sums with the part of one more pole, the gauge's too, and the size it is compared with."""
        start = kept(here.tries, here.trial.states, (*here.y, *here.inputs))
        pole, residue, gauging = (_chosen(table, here.pole, h) for table in (POLES, RESIDUES, GAUGE))
        x = resolvent({place: h * entry for place, entry in here.rates.items()}, start, pole, marks=self.differentiable)
        first, count = here.pole == 0, len(here.y)
        total = tuple(
            lax.select(first, CONSTANT * begun, so_far) + 2.0 * (residue[0] * real - residue[1] * imag)
            for begun, so_far, real, imag in zip(start[:count], here.total, x.real, x.imag, strict=False)
        )
        real, imag = lax.stop_gradient((x.real, x.imag))
        begun = lax.stop_gradient(start)
        gauge = tuple(
            lax.select(first, _product(weights, begun), so_far)
            + 2.0 * (gauging[0] * _product(weights, real) - gauging[1] * _product(weights, imag))
            for weights, so_far in zip(here.trial.weights, here.gauge, strict=True)
        )
        size = _product(magnitudes(here.trial.weights[0]), magnitudes(start))
        return total, gauge, size

    def _code(self, here: Stand, last: Any, moves: Any, total: tuple, found: Any) -> Any:
        """Return why the solve must stop, or an amount is negative beyond rounding, if so."""
        code = negative(moves, here, total)
        code = lax.select(last & (here.leaps >= self.settings.max_steps), jnp.int32(ResultCode.STEP_LIMIT), code)
        return lax.select(last & ~(found < math.inf), jnp.int32(ResultCode.NOT_FINITE), code)


def _judged(here: Stand, h: Any, last: Any, within: Any) -> tuple[Any, Any]:
    """Return the longest leap to take next, and the longest one ever, after a leap of length h was gauged."""
    endless = jnp.full_like(h, _ENDLESS)
    beyond = here.trial.horizon <= h
    tried = lax.select(within, lax.select(beyond, endless, _GROWTH * h), h / _GROWTH)
    limit = lax.select(within, here.furthest, h / _GROWTH)
    taken = lax.select(within, smaller(here.furthest, larger(here.longest, 2.0 * h)), 0.5 * h)
    longest = lax.select(here.tries, tried, taken)
    return lax.select(last, longest, here.longest), lax.select(last & here.tries, limit, here.furthest)


def _trial(rates: Entries, size: int, horizon: Any) -> Trial:
    """Return what leaps are tried on and weighed with: generic numbers in the scales that states have to each other."""
    horizon = lax.stop_gradient(lax.select(horizon > 0, horizon, jnp.ones_like(horizon)))
    rates = {place: lax.stop_gradient(abs(entry)) for place, entry in rates.items()}
    scales = _balanced(rates, size, 1.0 / horizon)
    generic = [[math.sin(1.0 + (2.4 + k) * i) for i in range(size)] for k in range(3)]
    # At least a half of the scale, with either sign.
    first, second, states = ([x + math.copysign(0.5, x) for x in row] for row in generic)
    one, other = (tuple(x / scale for x, scale in zip(row, scales, strict=True)) for row in (first, second))
    return Trial(tuple(x * scale for x, scale in zip(states, scales, strict=True)), (one, other), horizon)


def _balanced(rates: Entries, size: int, least: Any) -> list[Any]:
    """Return the scales of states in which what drives a state is about as much as what it drives.

    Source: Osborne 1960, doi:10.1145/321043.321048; rates of a state's own count on both sides.
    """
    scales = [jnp.ones_like(least)] * size
    for _ in range(_SWEEPS):
        for i in range(size):
            own = larger(rates.get((i, i), least), least)
            driven = sum((rates[k, j] * scales[j] for k, j in rates if k == i != j), 0.0 * own)
            drives = sum((rates[j, k] / scales[j] for j, k in rates if k == i != j), 0.0 * own)
            scales[i] = scales[i] * jnp.sqrt((own + driven / scales[i]) / (own + drives * scales[i]))
    return scales


def _product(weights: Sequence[Any], parts: Sequence[Any]) -> Any:
    first, *others = (weight * part for weight, part in zip(weights, parts, strict=True))
    return sum(others, first)


def _shortest(rates: Entries, horizon: Any) -> Any:
    """Return a leap that is short for all rates: the inverse of a norm of theirs."""
    columns: dict[int, Any] = {}
    for (_, j), entry in rates.items():
        columns[j] = columns[j] + abs(entry) if j in columns else abs(entry)
    norm = functools.reduce(larger, columns.values(), jnp.zeros_like(horizon))
    return lax.stop_gradient(1.0 / larger(norm, jnp.full_like(norm, 1.0 / _ENDLESS)))


def _chosen(table: tuple[complex, ...], which: Any, like: Any) -> tuple[Any, Any]:
    """Return real and imaginary part of one entry of a table."""

    def chosen(parts: list[float], bit: int) -> Any:
        if len(parts) == 1:
            return jnp.full_like(like, parts[0])
        return lax.select((which >> bit) & 1 == 0, chosen(parts[::2], bit + 1), chosen(parts[1::2], bit + 1))

    return chosen([x.real for x in table], 0), chosen([x.imag for x in table], 0)
