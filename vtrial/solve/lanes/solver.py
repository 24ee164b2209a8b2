"""Any model whose equations can be compiled: adaptive integration in machine code, many persons at once."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from vtrial._types import Named
from vtrial.dosing import EventTable, Steps, at_span, resolve
from vtrial.dosing.table import Kind
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve.base import AbstractSolver, Profile, ResultCode, initial_state, rate_vector
from vtrial.solve.general import General
from vtrial.solve.lanes.derivative import Lane, Moving, Person, solve
from vtrial.solve.lanes.dry import refusal
from vtrial.solve.lanes.problem import Equations, Settings
from vtrial.solve.steady import finder

_log = logging.getLogger(__name__)


class Lanes(AbstractSolver):
    """Adaptive integration compiled for the model: explicit Tsit5, or Rodas5P for stiff models.

    The equations are traced to a jaxpr and compiled by LLVM, with steps, doses and samples in one loop; each person
    has a lane of the processor's vector registers and a step of its own. What cannot be compiled is left to `General`.
    On other devices than a CPU the same program is run by XLA.
    Source: Tsitouras 2011, doi:10.1016/j.camwa.2011.06.002; Steinebach 2023, doi:10.1007/s10543-023-00967-x.
    """

    stiff: bool = eqx.field(static=True, default=False)
    """Use the method for stiff models."""
    rtol: float = eqx.field(static=True, default=1e-6)
    """Relative tolerance of one step."""
    atol: float = eqx.field(static=True, default=1e-9)
    """Absolute tolerance of one step, in the unit of the states."""
    max_steps: int = eqx.field(static=True, default=100_000)
    """Most attempted steps of one person."""

    def __check_init__(self):
        """Refuse tolerances and limits that cannot work."""
        if not (self.rtol > 0 and self.atol > 0 and self.max_steps > 0):
            raise UserError("The lane solver needs positive rtol, atol and max_steps.")

    def __call__(self, model: AbstractModel, p: Named, events: EventTable) -> Profile:
        """Solve one person in a kernel; the first call for a model compiles it.

        First derivatives exist in every parameter, entry parameters included, and in the numbers of the event table.
        """
        if reason := self._refusal(model):
            _warn(type(model).__name__, reason)
            return self._general()(model, p, events)
        arrays, static = eqx.partition(events, eqx.is_array_like)
        numbers, tree = jax.tree.flatten(arrays)
        names = tuple(p)
        values = [jnp.asarray(p[name], float) for name in names]
        fixed = tuple(model.parameters)
        varying = tuple(i for i, name in enumerate(fixed) if jnp.ndim(values[names.index(name)]))
        settings = self._settings(varying, events)
        places = tuple(
            fixed.index(n) if n in fixed and not v.ndim else None for n, v in zip(names, values, strict=True)
        )

        def prepare(*given: Array) -> Person:
            mine = dict(zip(names, given[: len(names)], strict=True))
            table = eqx.combine(jax.tree.unflatten(tree, list(given[len(names) :])), static)
            start = initial_state(model, at_span(mine, 0))
            steps = resolve(model, mine, table, self._steady(model, table), start)
            return _person(model, mine, steps, start, varying)

        lane = Lane(_equations(model), settings, (*places, *(None for _ in numbers)))
        rows, finals, (steady,) = solve(lane, prepare, (*values, *(jnp.asarray(one) for one in numbers)))
        code = jnp.where(jnp.all(jnp.isfinite(rows)) | (finals[0] != 0), finals[0], ResultCode.NOT_FINITE)
        code = jnp.where(steady, code, ResultCode.NO_STEADY_STATE).astype(jnp.int32)
        return Profile({name: rows[:, i] for i, name in enumerate(model.outputs)}, code)

    def check(self, model: AbstractModel, p: Named) -> str:
        """Check that the rates are finite at the start, and say whether the model can be compiled."""
        if reason := self._refusal(model):
            return f"{self._general().check(model, p)}, for it cannot be compiled: {reason}"
        self._general().check(model, p)
        method = "Rodas5P (stiff)" if self.stiff else "Tsit5 (explicit)"
        how = "compiled for this processor" if jax.default_backend() == "cpu" else "run by XLA on this device"
        return f"lane solver: {type(model).__name__} is integrated numerically with {method}, rtol {self.rtol:g}, {how}"

    def _general(self) -> General:
        return General(self.stiff, self.rtol, self.atol)

    def _refusal(self, model: AbstractModel) -> str:
        """Say why the model cannot be compiled; nothing if it can."""
        try:
            equations = _equations(model)
        except TypeError:  # a model whose fields are arrays has no hash
            return f"Lane kernels need a model without arrays as fields, which {type(model).__name__} is not."
        # Elsewhere JAX itself runs the program, whatever is in it.
        return refusal(equations, self.stiff) if jax.default_backend() == "cpu" else ""

    def _settings(self, varying: tuple[int, ...], events: EventTable) -> Settings:
        known = isinstance(events.kind, np.ndarray)
        return Settings(
            stiff=self.stiff,
            rtol=self.rtol,
            atol=self.atol,
            max_steps=self.max_steps,
            dosed=events.filled or events.dosed,
            infused=events.infused,
            resets=bool(np.any(events.kind == Kind.RESET)) if known else True,
            varying=varying,
        )

    def _steady(self, model: AbstractModel, events: EventTable):
        """Return the function that finds steady states."""
        return finder(
            self._advance(model, events.infused),
            lambda p: initial_state(model, p),
            linear=False,
            tolerance=10 * self.rtol,
            constant=events.constant,
        )

    def _advance(self, model: AbstractModel, infused: tuple[int, ...]) -> Callable[..., Array]:
        """Return the function that advances states over an interval with constant input."""
        settings = Settings(self.stiff, self.rtol, self.atol, self.max_steps, (), infused)
        names = tuple(model.parameters)
        lane = Lane(_equations(model, seen=False), settings, (*range(len(names)), None, None, None))
        states = jnp.asarray(infused or (0,), jnp.int32)

        def prepare(*given: Array) -> Person:
            *values, y, inputs, h = given
            zero = jnp.zeros(len(states))
            moving = Moving(y, zero, zero, inputs[jnp.asarray(infused, jnp.int32)] if infused else zero)
            whole = jnp.zeros(len(states), jnp.int32)
            last = jnp.asarray([len(states) - 1], jnp.int32)
            return Person(jnp.stack(values), moving, states, whole, h[None], last, (), ())

        def advance(p: Named, y: Array, inputs: Array, h: Array) -> Array:
            length = jax.lax.stop_gradient(h)
            values = [jnp.asarray(p[name], float) for name in names]
            end = solve(lane, prepare, (*values, y, inputs, length))[0][0]
            # A kernel's samples do not move; how the end of the interval moves the states is known.
            slope = jax.lax.stop_gradient(rate_vector(model, length, end, p) + inputs)
            return end + (h - length) * slope

        return advance


@cache
def _warn(name: str, reason: str) -> None:
    """Say once why a model is not compiled."""
    _log.warning("%s is integrated with diffrax instead of a compiled kernel: %s", name, reason)


@cache
def _equations(model: AbstractModel, *, seen: bool = True) -> Equations:
    """Return a model in plain scalars; unless `seen` its outputs are its states."""
    states, names = tuple(model.states), tuple(model.parameters)

    def rates(t: Any, y: tuple, p: tuple) -> tuple:
        found = model.rates(t, dict(zip(states, y, strict=True)), dict(zip(names, p, strict=True)))
        return tuple(jnp.asarray(found[name], float) for name in states)

    def observe(t: Any, y: tuple, p: tuple) -> tuple:
        if not seen:
            return y
        found = model.observe(t, dict(zip(states, y, strict=True)), dict(zip(names, p, strict=True)))
        return tuple(jnp.asarray(found[name], float) for name in model.outputs)

    return Equations(rates, observe, len(states), len(names), len(model.outputs) if seen else len(states))


def _person(
    model: AbstractModel, p: dict[str, Array], steps: Steps, start: Float[Array, " state"], varying: tuple[int, ...]
) -> Person:
    """Lay one person's steps and parameters out for a kernel."""
    names = tuple(model.parameters)
    spans: tuple[Array, ...] = ()
    ends: list[Array] = []
    if varying:
        later = jnp.minimum(jnp.arange(len(steps.span_time)) + 1, len(steps.span_time) - 1)
        right = steps.span_time[later] if steps.linear else steps.span_time
        spans = (steps.span, steps.sample_span, steps.span_time, right)
        for i in varying:
            value = p[names[i]]
            ends += [value, value[later] if steps.linear else value]
    moving = Moving(start, steps.time, steps.amount, steps.rate, tuple(ends))
    scalars = jnp.stack([at_span(p, 0)[name] for name in names]) if names else jnp.zeros(0)
    state, reset = steps.state.astype(jnp.int32), steps.reset.astype(jnp.int32)
    ready: tuple[Bool[Array, ""], ...] = (jnp.asarray(steps.steady),)
    return Person(scalars, moving, state, reset, steps.sample_time, steps.sample_after, spans, ready)
