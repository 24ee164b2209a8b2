"""Programs run by JAX itself, for devices that no lane kernel can be compiled for: all persons step together."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jaxtyping import Array, Float, Int

from vtrial.solve.lanes.batching import joined
from vtrial.solve.lanes.program import Program, Step, lane_load_p, lane_rows_p


def _called(parameters: dict[str, Any]) -> core.ClosedJaxpr | None:
    """Return the jaxpr an equation calls, if it calls one."""
    jaxpr = parameters.get("jaxpr", parameters.get("call_jaxpr"))
    return core.ClosedJaxpr(jaxpr, ()) if isinstance(jaxpr, core.Jaxpr) else jaxpr


def _evaluated(closed: core.ClosedJaxpr, arguments: Sequence[Any], tables: Sequence[Array]) -> list[Any]:
    """Evaluate a jaxpr of one person, reading its tables from arrays."""
    values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    values |= dict(zip(closed.jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in closed.jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        values |= dict(zip(equation.outvars, _applied(equation, inputs, tables), strict=True))
    return [read(atom) for atom in closed.jaxpr.outvars]


def _applied(equation: Any, inputs: list[Any], tables: Sequence[Array]) -> list[Any]:
    parameters = equation.params
    if equation.primitive is lane_load_p:
        return [lax.dynamic_index_in_dim(tables[parameters["table"]], inputs[0], keepdims=False)]
    if equation.primitive is lane_rows_p:
        return [jnp.int32(len(tables[parameters["table"]]))]
    called = _called(parameters)
    # The derivative of a function that has its own was taken before; here only its value is wanted.
    if called is not None and len(called.jaxpr.invars) == len(inputs):
        return _evaluated(called, inputs, tables)
    result = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(parameters))
    return list(result) if equation.primitive.multiple_results else [result]


def _reading(part: Callable[..., Any], tables: Sequence[Array]) -> Callable[..., Any]:
    """Return a part of a program with `lane_load` reading from `tables`."""

    def call(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(part, return_shape=True)(*arguments)
        results = _evaluated(closed, jax.tree.leaves(arguments), tables)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return call


class Traced:
    """A program as a JAX function, called as a `Kernel` is; the loop ends when the last person's does."""

    def __init__(self, program: Program):
        self.program = program

    def __call__(
        self, fixed: Float[Array, " fixed"], *tables: Float[Array, "_"] | Int[Array, "_"], samples: int
    ) -> tuple[Float[Array, "sample column"], Int[Array, " final"]]:
        """Return the samples, NaN in rows never written, and what `finish` returned."""

        def run(fixed: Array, *tables: Array) -> tuple[Array, Array]:
            return self._run(samples, fixed, *(jnp.tile(t, (len(fixed) // max(len(t), 1), 1)) for t in tables))

        rows, finals = joined(run)(fixed[None], *(table[None] for table in tables))
        return rows[0], finals[0]

    def _run(self, samples: int, fixed: Array, *tables: Array) -> tuple[Array, Array]:
        """Run all persons, each on a leading axis."""
        persons, columns = fixed.shape[0], self.program.columns
        parts = self.program.init, self.program.step, self.program.emit, self.program.finish

        def each(part: Callable[..., Any]) -> Callable[..., Any]:
            """Return a part for all persons."""

            def one(numbers: Array, tables: Sequence[Array], *arguments: Any) -> Any:
                return _reading(part, tables)(tuple(numbers[i] for i in range(self.program.fixed)), *arguments)

            return lambda *arguments: jax.vmap(one)(fixed, tables, *arguments)

        init, step, emit, finish = (each(part) for part in parts)
        person = jnp.arange(persons)

        def body(state: tuple) -> tuple:
            carry, active, rows = state
            left = Step(*step(carry))
            values = jnp.stack([jnp.asarray(one, rows.dtype) for one in emit(left.arguments)], axis=-1)
            written = active & left.emit & (left.row >= 0) & (left.row < samples)
            rows = rows.at[person, jnp.where(written, left.row, samples)].set(values, mode="drop")
            carry = jax.tree.map(lambda new, old: jnp.where(active, new, old), left.carry, carry)
            return carry, active & left.active, rows

        empty = jnp.full((persons, samples, columns), jnp.nan, jnp.result_type(float))
        begin = (init(), jnp.ones(persons, bool), empty)
        carry, _, rows = lax.while_loop(lambda state: jnp.any(state[1]), body, begin)
        finals = [jnp.asarray(one, jnp.int32) for one in finish(carry)]
        return rows, jnp.stack(finals, axis=-1) if finals else jnp.zeros((persons, 0), jnp.int32)
