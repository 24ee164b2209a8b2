"""Exact sparse Jacobians and sparse elimination, unrolled while a program is traced: no index is left when it runs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend import core

from vtrial.solve.lanes.arithmetic import minus, negative, times
from vtrial.solve.lanes.forward import REACHES, Dual, combine, forward, rule

Entries = dict[tuple[int, int], Any]
"""The entries of a matrix that are not structurally zero, by row and column."""


class Linearised(NamedTuple):
    """Rates at one point, and their derivatives."""

    rates: tuple[Any, ...]
    jacobian: Entries
    time: dict[int, Any]
    """Derivative with respect to time of the rates that depend on it."""


def linearise(rates: Callable[[Any, tuple], tuple], t: Any, y: tuple) -> Linearised:
    """Evaluate rates(t, y) with their exact derivatives, leaving structural zeros out."""
    closed = jax.make_jaxpr(lambda t, y: tuple(rates(t, y)))(t, y)
    seeds = [Dual(t, {"time": 1.0}), *(Dual(one, {j: 1.0}) for j, one in enumerate(y))]
    found = forward(closed, seeds)
    entries = {(i, j): d for i, one in enumerate(found) for j, d in one.tangents.items() if j != "time"}
    slopes = {i: one.tangents["time"] for i, one in enumerate(found) if "time" in one.tangents}
    return Linearised(tuple(one.value for one in found), entries, slopes)


class Pivot(NamedTuple):
    """One step of elimination: the pivot, and the rows and columns left that it touches."""

    index: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def elimination(pattern: Iterable[tuple[int, int]], size: int) -> tuple[Pivot, ...]:
    """Return an order of elimination with little fill, taking the diagonal as pivots.

    Source: Markowitz 1957, doi:10.1287/mnsc.3.3.255.
    """
    filled = set(pattern) | {(i, i) for i in range(size)}
    left, plan = set(range(size)), []

    def touched(k: int) -> Pivot:
        others = sorted(left - {k})
        return Pivot(k, tuple(i for i in others if (i, k) in filled), tuple(j for j in others if (k, j) in filled))

    while left:
        best = min((touched(k) for k in sorted(left)), key=lambda p: (len(p.rows) * len(p.columns), p.index))
        plan.append(best)
        left.remove(best.index)
        filled |= {(i, j) for i in best.rows for j in best.columns}
    return tuple(plan)


def factorise(matrix: Entries, plan: tuple[Pivot, ...]) -> Entries:
    """Return both triangular factors in one, with the inverses of the pivots on the diagonal."""
    work = dict(matrix)
    for k, rows, columns in plan:
        work[k, k] = 1.0 / work[k, k]
        for i in rows:
            work[i, k] = times(work[i, k], work[k, k])
            for j in columns:
                product = times(work[i, k], work[k, j])
                work[i, j] = minus(work[i, j], product) if (i, j) in work else negative(product)
    return work


def substitute(factors: Entries, plan: tuple[Pivot, ...], right: Sequence[Any]) -> tuple[Any, ...]:
    """Solve with factors from `factorise`; `None` on the right side is a structural zero."""
    x = list(right)

    def less(i: int, entry: tuple[int, int], k: int) -> None:
        if x[k] is not None:
            product = times(factors[entry], x[k])
            x[i] = negative(product) if x[i] is None else minus(x[i], product)

    for k, rows, _ in plan:
        for i in rows:
            less(i, (i, k), k)
    for k, _, columns in reversed(plan):
        for j in columns:
            less(k, (k, j), j)
        x[k] = None if x[k] is None else times(x[k], factors[k, k])
    return tuple(x)


lane_solve_p = core.Primitive("lane_solve")
"""Marks one sparse solve, so that its derivative can be another solve with the same factors.

Operands: the factors, the entries of the matrix, the right side; `forward` writes it out, so no compiler meets it.
"""
lane_solve_p.multiple_results = True


@lane_solve_p.def_abstract_eval
def _(*operands, factors, entries, plan):
    return list(operands[-len(plan) :])


@rule("lane_solve")
def _(x, parameters):
    """Solve; the derivative dx solves W dx = db - dW x."""
    places, entries, plan = (parameters[name] for name in ("factors", "entries", "plan"))
    factors = dict(zip(places, (one.value for one in x), strict=False))
    matrix = dict(zip(entries, x[len(places) : -len(plan)], strict=True))
    right = x[-len(plan) :]
    found = substitute(factors, plan, [one.value for one in right])
    terms = [[(1.0, one.tangents)] for one in right]
    for (i, j), entry in matrix.items():
        terms[i].append((negative(found[j]), entry.tangents))
    changes = [combine(*each) for each in terms]
    results = [Dual(value, {}) for value in found]
    for direction in {d: None for change in changes for d in change}:
        solved = substitute(factors, plan, [change.get(direction) for change in changes])
        for one, tangent in zip(results, solved, strict=True):
            if tangent is not None:
                one.tangents[direction] = tangent
    return results


def solved_reach(
    entries: Sequence[tuple[int, int]], matrix: Sequence[frozenset], right: Sequence[frozenset]
) -> list[frozenset]:
    """Return which directions arrive in each state that solves a sparse system, from those of matrix and right side."""
    size = len(right)
    own = [
        right[i].union(*(one for (row, _), one in zip(entries, matrix, strict=True) if row == i)) for i in range(size)
    ]
    before = None
    while before != own:
        before = own
        own = [before[i].union(*(before[j] for row, j in entries if row == i)) for i in range(size)]
    return own


def _solve_reach(x: Sequence[frozenset], parameters: dict[str, Any]) -> list[frozenset]:
    places, size = parameters["factors"], len(parameters["plan"])
    return solved_reach(parameters["entries"], x[len(places) : -size], x[-size:])


REACHES["lane_solve"] = _solve_reach


def marked(factors: Entries, matrix: Entries, plan: tuple[Pivot, ...], right: Sequence[Any]) -> tuple[Any, ...]:
    """Solve as `substitute` does, in a form that `forward` differentiates with the same factors."""
    operands = [*(jax.lax.stop_gradient(v) for v in factors.values()), *matrix.values(), *right]
    return tuple(lane_solve_p.bind(*operands, factors=tuple(factors), entries=tuple(matrix), plan=plan))
