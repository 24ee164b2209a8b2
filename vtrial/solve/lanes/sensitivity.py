"""The program that solves one person together with derivatives: exact ones of what the program computes.

The step is discretised, then differentiated. The mesh is frozen: the lengths that the error control chooses have no
derivative, but a step that ends at an entry ends there wherever the entry moves, and a sample stays at its time. So
derivatives through the times of entries (lag times, durations of infusions) are exact too.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vtrial.solve.lanes.forward import RULES, Dual, combine, forward, reach
from vtrial.solve.lanes.problem import Equations
from vtrial.solve.lanes.program import Program, Step, lane_load, lane_rows

_Carry = tuple[tuple[Any, dict[int, Any]], ...]
"""Each scalar of the plain program's carry with its derivatives by number of direction."""


def sensitivity(
    plain: Program,
    equations: Equations,
    directions: tuple[int | None, ...],
    *,
    initial_tangents: tuple[tuple[int, int], ...] = (),
    table_tangents: tuple[int, ...] = (),
) -> Program:
    """Return the program that computes the outputs of every sample and their derivatives in K directions.

    The plain program is one that solves the equations, made to be differentiated. A direction is the number of the
    fixed float whose derivative is 1 in it, or `None`. It may be given more while the program runs. For each pair of
    `initial_tangents`, (direction, state), a further fixed float is the derivative of that initial state. For each
    table named in `table_tangents` (numbers of float tables) a further table has the derivatives of its entries
    [K * rows], directions in blocks. The columns of a sample are the outputs, then the
    derivatives of all of them in each direction.
    """
    made = _Sensitivity(plain, equations, directions, initial_tangents, table_tangents)
    count = len(directions)
    return Program(
        fixed=made.plain.fixed + len(initial_tangents),
        tables=made.plain.tables + ("f",) * len(table_tangents),
        columns=(1 + count) * equations.outputs,
        finals=made.plain.finals,
        init=made.init,
        step=made.step,
        emit=made.emit,
        finish=made.finish,
    )


class _Sensitivity:
    """The parts of the program."""

    def __init__(
        self,
        plain: Program,
        equations: Equations,
        directions: tuple[int | None, ...],
        initial_tangents: tuple[tuple[int, int], ...],
        table_tangents: tuple[int, ...],
    ):
        self.plain, self.equations, self.directions = plain, equations, directions
        self.initial_tangents = initial_tangents
        first = len(self.plain.tables)
        self.further = {int(table): first + k for k, table in enumerate(table_tangents)}
        self.rules = RULES | {"lane_load": self._load}
        fixed = (jax.ShapeDtypeStruct((), jnp.result_type(float)),) * self.plain.fixed
        self.start, carry = jax.make_jaxpr(self.plain.init, return_shape=True)(fixed)
        self.advance, left = jax.make_jaxpr(self.plain.step, return_shape=True)(fixed, carry)
        self.look = jax.make_jaxpr(self.plain.emit)(fixed, left.arguments)
        self.tree, self.leaves = jax.tree.structure(carry), jax.tree.leaves(carry)
        self.arriving = self._arriving()

    def init(self, fixed: tuple) -> _Carry:
        """Begin with the derivatives of the initial states and of the first entry."""
        return self._carry(forward(self.start, self._fixed(fixed), self.rules))

    def step(self, fixed: tuple, carry: _Carry) -> Step:
        """Attempt the plain program's step."""
        carried, (active, emit, row), look = self._advanced(fixed, carry)
        arguments = tuple((one.value, one.tangents) for one in look)
        return Step(self._carry(carried), active.value, emit.value, row.value, arguments)

    def emit(self, fixed: tuple, arguments: _Carry) -> tuple:
        """Return the outputs and their derivatives."""
        found = forward(self.look, [*self._fixed(fixed), *(Dual(*one) for one in arguments)], self.rules)
        zero = jnp.zeros_like(fixed[0])
        slopes = [one.tangents.get(k, zero) for k in range(len(self.directions)) for one in found]
        return (*(one.value for one in found), *slopes)

    def finish(self, fixed: tuple, carry: _Carry) -> tuple:
        """Return what the plain program returns."""
        return self.plain.finish(fixed, jax.tree.unflatten(self.tree, [value for value, _ in carry]))

    def _fixed(self, fixed: tuple) -> list[Dual]:
        """Return the plain program's fixed floats with their derivatives."""
        parameters, seeded = self.equations.parameters, []
        for i, value in enumerate(fixed[: self.plain.fixed]):
            tangents = {k: 1.0 for k, direction in enumerate(self.directions) if direction == i}
            further = zip(self.initial_tangents, fixed[self.plain.fixed :], strict=True)
            given = {k: slope for (k, state), slope in further if parameters + state == i}
            tangents = combine((1.0, given), (1.0, tangents))
            seeded.append(Dual(value, tangents))
        return seeded

    def _load(self, x: Sequence[Dual], parameters: dict[str, Any]) -> list[Dual]:
        """Read an entry of a table, and its derivatives from the further table it has, if it has one."""
        table, kind, row = parameters["table"], parameters["kind"], jnp.asarray(x[0].value)
        tangents = {}
        if table in self.further:
            rows = lane_rows(table)
            tangents = {k: lane_load(self.further[table], row + k * rows) for k in range(len(self.directions))}
        return [Dual(lane_load(table, row, kind), tangents)]

    def _advanced(self, fixed: tuple, carry: _Carry) -> tuple[list[Dual], list[Dual], list[Dual]]:
        found = forward(self.advance, [*self._fixed(fixed), *(Dual(*one) for one in carry)], self.rules)
        count = len(self.leaves)
        return found[:count], found[count : count + 3], found[count + 3 :]

    def _carry(self, duals: list[Dual]) -> _Carry:
        """Return a carry with exactly the derivatives that ever arrive in it."""
        return tuple(
            (one.value, {k: jnp.asarray(one.tangents.get(k, 0.0), leaf.dtype) for k in sorted(directions)})
            for one, leaf, directions in zip(duals, self.leaves, self.arriving, strict=True)
        )

    def _arriving(self) -> list[frozenset]:
        """Return which directions reach each scalar of the carry, in the first step or any later one."""
        every = frozenset(range(len(self.directions)))
        tables = dict.fromkeys(self.further, every)
        fixed = []
        for i in range(self.plain.fixed):
            given = {k for k, state in self.initial_tangents if self.equations.parameters + state == i}
            fixed.append(frozenset(k for k in every if self.directions[k] == i) | given)
        reached, before = reach(self.start, fixed, tables), None
        while before != reached:
            before = reached
            found = reach(self.advance, [*fixed, *before], tables)[: len(self.leaves)]
            reached = [old | new for old, new in zip(before, found, strict=True)]
        return reached
