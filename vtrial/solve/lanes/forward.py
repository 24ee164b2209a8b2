"""Forward derivatives of scalar programs with structural zeros: a value carries only the derivatives that are not zero.

A derivative is a dict from direction to scalar. Values are computed once for all directions, and a direction costs only
where it arrives; the derivative of each primitive is JAX's own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from vtrial.solve.lanes.arithmetic import minus, negative, plus, times

Tangents = dict[Any, Any]
"""Derivative by direction; a direction left out is structurally zero."""


class Dual(NamedTuple):
    """A scalar and its derivatives."""

    value: Any
    tangents: Tangents


_INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}
Rule = Callable[[Sequence[Dual], dict[str, Any]], list[Dual]]
"""The derivative of a primitive: operands and parameters to results."""
RULES: dict[str, Rule] = {}
"""Primitives with a derivative of their own here, by name."""
REACHES: dict[str, Callable[[Sequence[frozenset], dict[str, Any]], list[frozenset]]] = {}
"""For some of them, which directions arrive in each result, from those of the operands; else all in all results."""


def rule(name: str):
    """Register the derivative of a primitive."""

    def register(function):
        RULES[name] = function
        return function

    return register


def scaled(factor: Any, tangent: Any) -> Any:
    """Return the product of two scalars, without multiplying by a literal one."""
    for one, other in ((factor, tangent), (tangent, factor)):
        if isinstance(one, float) and abs(one) == 1.0:
            return other if one == 1.0 else negative(other)
    return times(factor, tangent)


def combine(*terms: tuple[Any, Tangents]) -> Tangents:
    """Return the sum of derivatives, each times a factor."""
    total: Tangents = {}
    for factor, tangents in terms:
        for direction, tangent in tangents.items():
            part = scaled(factor, tangent)
            total[direction] = plus(total[direction], part) if direction in total else part
    return total


@rule("add")
@rule("add_any")
def _add(x, _):
    return [Dual(plus(x[0].value, x[1].value), combine((1.0, x[0].tangents), (1.0, x[1].tangents)))]


@rule("sub")
def _sub(x, _):
    return [Dual(minus(x[0].value, x[1].value), combine((1.0, x[0].tangents), (-1.0, x[1].tangents)))]


@rule("neg")
def _neg(x, _):
    return [Dual(negative(x[0].value), combine((-1.0, x[0].tangents)))]


@rule("mul")
def _mul(x, _):
    a, b = x
    return [Dual(times(a.value, b.value), combine((b.value, a.tangents), (a.value, b.tangents)))]


@rule("div")
def _div(x, _):
    a, b = x
    inverse = 1.0 / b.value  # one division serves the value and every direction
    value = times(a.value, inverse) if b.tangents else a.value / b.value
    return [
        Dual(
            value, combine((inverse, a.tangents), (negative(times(value, inverse)) if b.tangents else 0.0, b.tangents))
        )
    ]


@rule("exp")
def _exp(x, _):
    value = jnp.exp(x[0].value)
    return [Dual(value, combine((value, x[0].tangents)))]


@rule("log")
def _log(x, _):
    return [Dual(jnp.log(x[0].value), combine((1.0 / x[0].value, x[0].tangents)))]


@rule("select_n")
def _select(x, _):
    which, *cases = x
    directions = {d: None for case in cases for d in case.tangents}
    parts = {d: [_full(case, d) for case in cases] for d in directions}
    tangents = {d: lax.select_n(which.value, *part) for d, part in parts.items()}
    return [Dual(lax.select_n(which.value, *(case.value for case in cases)), tangents)]


@rule("stop_gradient")
def _stop(x, _):
    return [Dual(x[0].value, {})]


def _bind(equation: Any, values: Sequence[Any]) -> list[Any]:
    """Apply a primitive to values."""
    found = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return list(found) if equation.primitive.multiple_results else [found]


def _full(one: Dual, direction: Any) -> Any:
    """Return the derivative of an operand in one direction, shaped and typed as the operand."""
    value = jnp.asarray(one.value)
    return jnp.broadcast_to(jnp.asarray(one.tangents.get(direction, 0.0), value.dtype), value.shape)


def _along(equation: Any, x: Sequence[Dual], direction: Any) -> list[Any]:
    """Differentiate a primitive of arrays by JAX's rule, in one direction."""
    varied = [i for i, one in enumerate(x) if direction in one.tangents]

    def moved(*some: Any) -> list[Any]:
        values = [one.value for one in x]
        for i, value in zip(varied, some, strict=True):
            values[i] = value
        return _bind(equation, values)

    given = tuple(jnp.asarray(x[i].value) for i in varied)
    return jax.jvp(moved, given, tuple(_full(x[i], direction) for i in varied))[1]


def _arrays(equation: Any, x: Sequence[Dual]) -> list[Dual]:
    """Differentiate a primitive of arrays, direction by direction."""
    results = [Dual(value, {}) for value in _bind(equation, [one.value for one in x])]
    floating = [jnp.issubdtype(v.aval.dtype, jnp.floating) for v in equation.outvars]
    for direction in {d: None for one in x for d in one.tangents}:
        for one, slope, real in zip(results, _along(equation, x, direction), floating, strict=True):
            if real:
                one.tangents[direction] = slope
    return results


def _general(equation: Any, x: Sequence[Dual]) -> list[Dual]:
    """Differentiate a primitive by JAX's rule: of scalars one operand at a time, whatever the number of directions."""
    if any(v.aval.shape for v in (*equation.invars, *equation.outvars)):
        return _arrays(equation, x)
    values = [one.value for one in x]
    terms: list[list[tuple[Any, Tangents]]] = [[] for _ in equation.outvars]
    for i, one in enumerate(x):
        if one.tangents:
            varied = lambda z, i=i: _bind(equation, [*values[:i], z, *values[i + 1 :]])  # noqa: E731
            operand = jnp.asarray(one.value)
            _, slopes = jax.jvp(varied, (operand,), (jnp.ones_like(operand),))
            for k, slope in enumerate(slopes):
                terms[k].append((slope, one.tangents))
    floating = [jnp.issubdtype(v.aval.dtype, jnp.floating) for v in equation.outvars]
    tangents = [combine(*each) if real else {} for each, real in zip(terms, floating, strict=True)]
    return [Dual(v, t) for v, t in zip(_bind(equation, values), tangents, strict=True)]


def _apply(equation: Any, x: Sequence[Dual], rules: Mapping[str, Rule]) -> list[Dual]:
    """Apply one equation of a jaxpr."""
    name = equation.primitive.name
    if name in _INLINED:
        return forward(equation.params[_INLINED[name]], x, rules)
    varies = any(one.tangents for one in x)
    if name in rules and (varies or name not in _PLAIN):
        return rules[name](x, equation.params)
    if varies:
        return _general(equation, x)
    return [Dual(value, {}) for value in _bind(equation, [one.value for one in x])]


_PLAIN = frozenset(RULES) - {"stop_gradient"}
"""Rules of primitives that are applied as they are where nothing is to be differentiated."""


def _wanted(jaxpr: Any) -> set[Any]:
    """Return the variables whose derivatives reach a result."""
    wanted = {v for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    for equation in reversed(jaxpr.eqns):
        if equation.primitive.name != "stop_gradient" and any(v in wanted for v in equation.outvars):
            wanted |= {v for v in equation.invars if not isinstance(v, core.Literal)}
    return wanted


def forward(closed: Any, arguments: Sequence[Dual], rules: Mapping[str, Rule] = RULES) -> list[Dual]:
    """Evaluate a closed jaxpr of scalars with the derivatives of its results."""
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, (Dual(c, {}) for c in closed.consts), strict=True))
    known |= dict(zip(jaxpr.invars, arguments, strict=True))
    wanted = _wanted(jaxpr)

    def read(variable: Any) -> Dual:
        return Dual(variable.val, {}) if isinstance(variable, core.Literal) else known[variable]

    for equation in jaxpr.eqns:
        x = [read(v) for v in equation.invars]
        if not any(v in wanted for v in equation.outvars):
            x = [Dual(one.value, {}) for one in x]
        known |= zip(equation.outvars, _apply(equation, x, rules), strict=True)
    return [read(v) for v in jaxpr.outvars]


def reach(closed: Any, arguments: Sequence[frozenset], tables: Mapping[int, frozenset]) -> list[frozenset]:
    """Return which directions `forward` can find in each result, from those of the arguments and of the tables.

    A set may be too large, never too small.
    """
    nothing: frozenset = frozenset()
    known = dict(zip(closed.jaxpr.invars, arguments, strict=True))
    for equation in closed.jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        x = [nothing if isinstance(v, core.Literal) else known.get(v, nothing) for v in equation.invars]
        if name in _INLINED:
            known |= zip(equation.outvars, reach(parameters[_INLINED[name]], x, tables), strict=True)
            continue
        if name in REACHES:
            known |= zip(equation.outvars, REACHES[name](x, parameters), strict=True)
            continue
        union = tables.get(parameters["table"], nothing) if name == "lane_load" else nothing.union(*x)
        floating = [jnp.issubdtype(v.aval.dtype, jnp.floating) and name != "stop_gradient" for v in equation.outvars]
        known |= {v: union if real else nothing for v, real in zip(equation.outvars, floating, strict=True)}
    return [nothing if isinstance(v, core.Literal) else known.get(v, nothing) for v in closed.jaxpr.outvars]
