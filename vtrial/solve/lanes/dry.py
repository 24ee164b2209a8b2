"""Finds out, before anything is compiled, whether a model's equations and their derivatives can be."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from vtrial.solve.lanes.emit import Emitter, Unsupported, single, type_of
from vtrial.solve.lanes.ir import Builder, Value
from vtrial.solve.lanes.problem import Equations


@cache
def refusal(equations: Equations, stiff: bool) -> str:
    """Say which primitive of the equations or of the derivatives a kernel needs is unknown; nothing if none is.

    A stiff method needs the derivatives of the rates, and its own derivatives need theirs.
    """
    number = jax.ShapeDtypeStruct((), jnp.result_type(float))
    arguments = (number, (number,) * equations.states, (number,) * equations.parameters)
    functions = [_differentiated(equations.rates), _differentiated(equations.observe)]
    if stiff:
        functions.append(_differentiated(functions[0]))
    try:
        for function in functions:
            _emit(jax.make_jaxpr(function)(*arguments))
    except Unsupported as error:
        return str(error)
    return ""


def _differentiated(function: Any) -> Any:
    """Return a function of time, states and parameters together with its derivative along ones."""

    def both(*arguments: Any) -> Any:
        return jax.jvp(function, arguments, jax.tree.map(jnp.ones_like, arguments))

    return both


def _emit(closed: Any) -> None:
    """Emit a jaxpr of scalars and forget it."""
    b = Builder(1)
    values = [single(Value(b.name(), type_of(v.aval.dtype))) for v in closed.jaxpr.invars]
    Emitter(b, lambda table, row: row, []).jaxpr(closed, values)
