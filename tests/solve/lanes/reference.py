"""Runs a scalar program in ordinary JAX: slow, but nothing of the lane compiler is in it."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from vtrial.solve.lanes.program import Program, Step, lane_load_p, lane_rows_p


def inner(params: dict[str, Any]) -> core.ClosedJaxpr | None:
    """Return the jaxpr an equation calls, if it calls one."""
    jaxpr = params.get("jaxpr", params.get("call_jaxpr"))
    return core.ClosedJaxpr(jaxpr, ()) if isinstance(jaxpr, core.Jaxpr) else jaxpr


def interpret(closed: core.ClosedJaxpr, arguments: list, tables: tuple) -> list:
    """Evaluate a jaxpr, reading tables from ordinary arrays."""
    values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    values |= dict(zip(closed.jaxpr.invars, arguments, strict=True))

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in closed.jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        values |= dict(zip(equation.outvars, evaluate(equation, inputs, tables), strict=True))
    return [read(atom) for atom in closed.jaxpr.outvars]


def evaluate(equation, inputs: list, tables: tuple) -> list:
    if equation.primitive is lane_load_p:
        return [lax.dynamic_index_in_dim(tables[equation.params["table"]], inputs[0], keepdims=False)]
    if equation.primitive is lane_rows_p:
        return [jnp.int32(len(tables[equation.params["table"]]))]
    if (called := inner(equation.params)) is not None:
        return interpret(called, inputs, tables)
    result = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(equation.params))
    return list(result) if equation.primitive.multiple_results else [result]


def with_tables(function, tables: tuple):
    """Return `function` with `lane_load` reading from `tables`."""

    def call(*arguments):
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = interpret(closed, jax.tree.leaves(arguments), tables)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return call


def run(program: Program, fixed, tables: tuple, samples: int):
    """Return a person's samples [samples, columns] and finals [finals], as the compiled kernel does."""
    numbers = tuple(fixed[i] for i in range(program.fixed))
    init, step, emit, finish = (with_tables(part, tables) for part in program[4:])

    def body(state):
        carry, _, rows = state
        left = Step(*step(numbers, carry))
        values = jnp.stack([jnp.asarray(value, rows.dtype) for value in emit(numbers, left.arguments)])
        write = jnp.logical_and(left.emit, (left.row >= 0) & (left.row < samples))
        place = jnp.where(write, left.row, samples)
        return left.carry, jnp.asarray(left.active), rows.at[place].set(values, mode="drop")

    empty = jnp.full((samples, program.columns), jnp.nan)
    carry, _, rows = lax.while_loop(lambda state: state[1], body, (init(numbers), jnp.asarray(True), empty))
    finals = [jnp.asarray(value, jnp.int32) for value in finish(numbers, carry)]
    return rows, jnp.stack(finals) if finals else jnp.zeros(0, jnp.int32)
