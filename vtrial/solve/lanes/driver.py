"""The program that solves one person: from entry to entry with a step of its own, samples by dense output.

Every iteration attempts one step. An entry takes one iteration in which no time passes, and so does a sample that
cannot be taken inside a step (several samples at one time). A step holds one sample at most: one that would reach a
second sample ends midway before it.
"""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from vtrial.solve.base import ResultCode
from vtrial.solve.lanes.method import Attempt, Method, Rates
from vtrial.solve.lanes.problem import (
    Equations,
    Settings,
    Span,
    Table,
    assembled,
    clamped,
    entered,
    parameters_at,
    span_after,
)
from vtrial.solve.lanes.program import Program, Step, lane_load, lane_rows
from vtrial.solve.lanes.rodas import Rodas5P
from vtrial.solve.lanes.stepping import (
    Aim,
    State,
    aim,
    error_square,
    first_length,
    larger,
    next_lengths,
    smaller,
)
from vtrial.solve.lanes.tsit5 import Tsit5


class Look(NamedTuple):
    """What a sample is computed from."""

    theta: Any
    h: Any
    y: tuple[Any, ...]
    attempt: Attempt
    t: Any
    span: Any


def program(equations: Equations, settings: Settings, *, differentiable: bool = False, moves: bool = False) -> Program:
    """Return the program that solves equations for one person.

    Fixed floats and tables are those of `vtrial.solve.lanes.problem`; the columns of a sample are the outputs; the
    finals are a `ResultCode` and the number of attempted steps. With `differentiable` the program is made for
    `vtrial.solve.lanes.sensitivity`: its mesh is frozen and its solves are marked; with `moves` the times
    of entries may have derivatives.
    """
    made = _Driver(equations, settings, differentiable, moves)
    return assembled(
        equations, settings, made.init, made.step, made.emit, lambda fixed, state: (state.code, state.steps)
    )


class _Driver:
    """The parts of the program."""

    def __init__(self, equations: Equations, settings: Settings, differentiable: bool, moves: bool):
        self.equations, self.settings, self.moves = equations, settings, moves
        self.method: Method = Rodas5P(marks=differentiable) if settings.stiff else Tsit5()
        self.freeze = lax.stop_gradient if differentiable else lambda x: x

    def init(self, fixed: tuple) -> State:
        """Take the first entry, and guess a step from the states and their rates."""
        nothing = (jnp.zeros_like(fixed[0]),) * len(self.settings.infused)
        t, first = lane_load(Table.TIME, 0), jnp.int32(0)
        y, inputs = entered(self.settings, self.equations.initial(fixed), first, self.equations.initial(fixed), nothing)
        slopes = tuple(self._rates(fixed, first + 1, inputs)(t, y))
        guess = self.freeze(first_length(y, slopes))
        return State(
            t=t,
            y=y,
            known=slopes if self.method.reuses else (),
            inputs=inputs,
            h=guess,
            restart=guess,
            fresh=jnp.bool_(True),
            entry=first + 1,
            row=jnp.int32(0),
            sample=lane_load(Table.SAMPLE, 0),
            after=lane_load(Table.AFTER, 0, "i"),
            end=lane_load(Table.SAMPLE, lane_rows(Table.SAMPLE) - 1),
            largest=tuple(self.freeze(abs(one)) for one in y),
            steps=jnp.int32(0),
            code=jnp.int32(ResultCode.SOLVED),
        )

    def step(self, fixed: tuple, state: State) -> Step:
        """Attempt one step; a state that is no longer active is left without effect."""
        alive = (state.row < lane_rows(Table.SAMPLE)) & (state.code == ResultCode.SOLVED)
        aimed = aim(state, self.freeze)
        entry = state.entry + aimed.enters.astype(jnp.int32)
        y, inputs = self._entering(fixed, state, aimed)
        rates = self._rates(fixed, entry, inputs)
        known = lax.select(state.h > 0, state.h, jnp.ones_like(state.h))
        h = lax.select(aimed.rests, self.method.rest(self.freeze(known)), aimed.h)
        attempt = self.method.attempt(rates, state.t, y, h, state.known)

        square = self.freeze(error_square(self.settings, y, attempt))
        accepted = (square <= 1.0) | aimed.rests
        moved = accepted & ~aimed.rests
        code = self._code(state, aimed, attempt, moved)
        emits = alive & accepted & (state.after < state.entry) & (state.sample <= aimed.end)
        look = self._look(state, aimed, y, attempt, h)
        length, restart = next_lengths(state, aimed, square, accepted)
        carry = State(
            t=lax.select(accepted, aimed.end, state.t),
            y=tuple(lax.select(moved, new, old) for new, old in zip(attempt.end, y, strict=True)),
            known=tuple(lax.select(accepted, new, old) for new, old in zip(attempt.known, state.known, strict=True)),
            inputs=inputs,
            h=self.freeze(length),
            restart=self.freeze(restart),
            fresh=aimed.enters | (state.fresh & ~moved),
            entry=entry,
            row=state.row + emits.astype(jnp.int32),
            sample=lax.select(emits, aimed.following[0], state.sample),
            after=lax.select(emits, aimed.following[1], state.after),
            end=state.end,
            largest=tuple(larger(old, self.freeze(abs(one))) for old, one in zip(state.largest, y, strict=True)),
            steps=state.steps + alive.astype(jnp.int32),
            code=lax.select(alive, code, state.code),
        )
        carry = carry._replace(code=self._limited(carry))
        active = (carry.row < lane_rows(Table.SAMPLE)) & (carry.code == ResultCode.SOLVED)
        return Step(carry, active, emits, state.row, look)

    def emit(self, fixed: tuple, look: Look) -> tuple:
        """Return the outputs of a sample inside a step."""
        y = self.method.between(look.theta, look.h, look.y, look.attempt)
        p = parameters_at(self.settings, self.equations.given(fixed), look.span)(look.t)
        return tuple(self.equations.observe(look.t, y, p))

    def _rates(self, fixed: tuple, entries: Any, inputs: tuple) -> Rates:
        """Return the rates in the interval after so many entries, with the input."""
        at = parameters_at(self.settings, self.equations.given(fixed), span_after(self.settings, entries))

        def rates(t: Any, y: tuple) -> tuple:
            found = list(self.equations.rates(t, y, at(t)))
            for state, value in zip(self.settings.infused, inputs, strict=True):
                found[state] = found[state] + value
            return tuple(found)

        return rates

    def _entering(self, fixed: tuple, state: State, aimed: Aim) -> tuple[tuple, tuple]:
        """Return states and input rates after the entry to come if the step enters it, else as they are."""
        y = state.y
        if self.moves:
            # An entry at the very time of the last one may still move away from it: the states then move along.
            shift = lax.select(aimed.rests, aimed.end - state.t, jnp.zeros_like(state.t))
            slopes = state.known or self._rates(fixed, state.entry, state.inputs)(state.t, y)
            y = tuple(one + shift * slope for one, slope in zip(y, slopes, strict=True))
        entry = clamped(state.entry, Table.TIME)
        filled, added = entered(self.settings, self.equations.initial(fixed), entry, y, state.inputs)
        y = tuple(lax.select(aimed.enters, new, old) for new, old in zip(filled, y, strict=True))
        return y, tuple(lax.select(aimed.enters, new, old) for new, old in zip(added, state.inputs, strict=True))

    def _look(self, state: State, aimed: Aim, y: tuple, attempt: Attempt, h: Any) -> Look:
        """Return what the sample to come is computed from."""
        # Where no time passes theta is 0, yet moves with the time of the state: the length must not be 0.
        length = lax.select(h > 0, h, jnp.ones_like(h))
        span = lane_load(Span.SAMPLE, clamped(state.row, Table.SAMPLE), "i") if self.settings.varying else ()
        attempt = attempt._replace(error=(), known=())  # not looked at
        return Look((state.sample - state.t) / length, length, y, attempt, state.sample, span)

    def _code(self, state: State, aimed: Aim, attempt: Attempt, moved: Any) -> Any:
        """Return why the solve must stop here, if it must."""
        # Below zero beyond the rounding that goes with what a state once was, and beyond the error of a step.
        beyond = (one + 1e-6 * size for one, size in zip(self.freeze(attempt.end), state.largest, strict=True))
        below = moved & (functools.reduce(smaller, beyond) < -10.0 * self.settings.atol)
        # Time stands still: no step is short enough, for want of finite rates or states.
        passes = (state.t + aimed.h > state.t) & ((aimed.h > 1e-24 * (state.end - state.t)) | aimed.cut)
        code = lax.select(below, jnp.int32(ResultCode.NEGATIVE), jnp.int32(ResultCode.SOLVED))
        return lax.select(passes | aimed.rests, code, jnp.int32(ResultCode.NOT_FINITE))

    def _limited(self, carry: State) -> Any:
        """Return the code, or that the limit of steps is reached with samples left."""
        left = (carry.row < lane_rows(Table.SAMPLE)) & (carry.code == ResultCode.SOLVED)
        return lax.select(left & (carry.steps >= self.settings.max_steps), jnp.int32(ResultCode.STEP_LIMIT), carry.code)
