"""One person of a model as a kernel wants to have them, and what the kernel says as a profile."""

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
from vtrial.dosing.steps import Steady
from vtrial.dosing.table import Kind
from vtrial.model import AbstractModel
from vtrial.solve.base import Profile, ResultCode, initial_states
from vtrial.solve.exact.paths import Paths
from vtrial.solve.exact.rational import Rational
from vtrial.solve.lanes.derivative import Lane, Moving, Person, solve
from vtrial.solve.lanes.dry import refusal
from vtrial.solve.lanes.problem import Equations, Settings


def happening(settings: Settings, events: EventTable) -> Settings:
    """Return settings with what may happen to the states of somebody with such an event table."""
    known = isinstance(events.kind, np.ndarray)
    resets = bool(np.any(events.kind == Kind.RESET)) if known else True
    return settings._replace(dosed=events.filled or events.dosed, infused=events.infused, resets=resets)


def uncompilable(model: AbstractModel, stiff: bool, ptx: bool = False) -> str:
    """Say why a model cannot be had as a kernel, or its derivatives; nothing if it can.

    Off a CPU JAX itself runs the program, whatever is in it, unless it is to be compiled as `ptx`.
    """
    try:
        found = equations(model)
    except TypeError:  # a model whose fields are arrays has no hash
        return f"Lane kernels need a model without arrays as fields, which {type(model).__name__} is not."
    return refusal(found, stiff) if ptx or jax.default_backend() == "cpu" else ""


def solved(
    model: AbstractModel,
    p: Named,
    events: EventTable,
    settings: Settings,
    steady: Callable[[EventTable], Steady],
    exact: Paths | Rational | None = None,
) -> Profile:
    """Solve one person in a kernel.

    Args:
        model: whose equations are compiled; it must be hashable.
        p: scalars, or arrays [span] where they vary.
        events: the event table.
        settings: how to integrate, and what may happen to the states.
        steady: returns what finds the steady states of an event table.
        exact: what carries a linear model, which is then not integrated.
    """
    arrays, static = eqx.partition(events, eqx.is_array_like)
    numbers, tree = jax.tree.flatten(arrays)
    names, fixed = tuple(p), tuple(model.parameters)
    values = [jnp.asarray(p[name], float) for name in names]
    varying = tuple(i for i, name in enumerate(fixed) if jnp.ndim(values[names.index(name)]))
    pairs = zip(names, values, strict=True)
    places = tuple(fixed.index(name) if name in fixed and not value.ndim else None for name, value in pairs)

    def prepare(*given: Array) -> Person:
        mine = dict(zip(names, given[: len(names)], strict=True))
        table = eqx.combine(jax.tree.unflatten(tree, list(given[len(names) :])), static)
        start = initial_states(model, at_span(mine, 0))
        steps = resolve(model, mine, table, steady(table), jnp.stack(start))
        return _person(model, mine, steps, start, varying)

    lane = Lane(equations(model), settings._replace(varying=varying), (*places, *(None for _ in numbers)), exact)
    rows, finals, (found,) = solve(lane, prepare, (*values, *(jnp.asarray(one) for one in numbers)))
    code = jnp.where(jnp.all(jnp.isfinite(rows)) | (finals[0] != 0), finals[0], ResultCode.NOT_FINITE)
    code = jnp.where(found, code, ResultCode.NO_STEADY_STATE).astype(jnp.int32)
    return Profile({name: rows[:, i] for i, name in enumerate(model.outputs)}, code)


@cache
def equations(model: AbstractModel, *, seen: bool = True) -> Equations:
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


def row(values: list[Array]) -> Float[Array, " _"]:
    """Return scalars, or none, as one array."""
    return jnp.stack(values) if values else jnp.zeros(0)


def _person(
    model: AbstractModel,
    p: dict[str, Array],
    steps: Steps,
    start: tuple[Float[Array, ""], ...],
    varying: tuple[int, ...],
) -> Person:
    """Lay one person's steps and parameters out for a kernel."""
    names = tuple(model.parameters)
    spans: tuple[Array, ...] = ()
    bounds: tuple[Array, ...] = ()
    ends: list[Array] = []
    if varying:
        later = jnp.minimum(jnp.arange(len(steps.span_time)) + 1, len(steps.span_time) - 1)
        right = steps.span_time[later] if steps.linear else steps.span_time
        spans, bounds = (steps.span, steps.sample_span), (steps.span_time, right)
        for i in varying:
            value = p[names[i]]
            ends += [value, value[later] if steps.linear else value]
    moving = Moving(start, steps.time, steps.amount, steps.rate, steps.sample_time, bounds, tuple(ends))
    scalars = row([jnp.asarray(at_span(p, 0)[name]) for name in names])
    state, reset = steps.state.astype(jnp.int32), steps.reset.astype(jnp.int32)
    ready: tuple[Bool[Array, ""], ...] = (jnp.asarray(steps.steady),)
    return Person(scalars, moving, state, reset, steps.sample_after, spans, ready)
