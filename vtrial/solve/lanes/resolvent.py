"""Solves (A h - pole) x = y for a real sparse matrix and a complex pole, with derivatives by the same factors."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jax.extend import core

from vtrial.solve.lanes.arithmetic import minus, negative, plus, times
from vtrial.solve.lanes.forward import REACHES, Dual, combine, rule
from vtrial.solve.lanes.jacobian import Entries, Pivot, elimination, factorise, solved_reach, substitute


class Complex(NamedTuple):
    """A complex scalar as the elimination wants it; `imag` is None where the number is structurally real."""

    real: Any
    imag: Any = None

    def __add__(self, other: "Complex") -> "Complex":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the sum."""
        return Complex(plus(self.real, other.real), _sum(self.imag, other.imag))

    def __sub__(self, other: "Complex") -> "Complex":
        """Return the difference."""
        return self + -other

    def __neg__(self) -> "Complex":
        """Return the negative."""
        return Complex(negative(self.real), None if self.imag is None else negative(self.imag))

    def __mul__(self, other: Any) -> "Complex":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the product with another, or with a real scalar."""
        if not isinstance(other, Complex):
            other = Complex(other)
        a, b, c, d = *self, *other
        if b is None or d is None:
            cross = times(a, d) if d is not None else None if b is None else times(b, c)
            return Complex(times(a, c), cross)
        return Complex(minus(times(a, c), times(b, d)), plus(times(a, d), times(b, c)))

    __rmul__ = __mul__

    def __rtruediv__(self, one: float) -> "Complex":
        """Return 1 over a number that is not structurally real."""
        inverse = one / (self.real * self.real + self.imag * self.imag)
        return Complex(self.real * inverse, -self.imag * inverse)


def _sum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else plus(a, b)


lane_resolvent_p = core.Primitive("lane_resolvent")
"""Marks one solve, so that its derivative can be another with the same factors; `forward` writes it out.

Operands: the entries of A h, the right side, real and imaginary part of the pole. Results: the real parts of the
solution, then the imaginary ones.
"""
lane_resolvent_p.multiple_results = True


@lane_resolvent_p.def_abstract_eval
def _(*operands, entries, plan):
    return list(operands[len(entries) : -2]) * 2


@rule("lane_resolvent")
def _(x, parameters):
    """Solve; the derivative dx solves (A h - pole) dx = dy - d(A h) x."""
    places, plan = parameters["entries"], parameters["plan"]
    matrix, right = dict(zip(places, x, strict=False)), x[len(places) : -2]
    shift = Complex(*(one.value for one in x[-2:]))
    factors = _factors({place: one.value for place, one in matrix.items()}, shift, plan)
    found = substitute(factors, plan, [Complex(one.value) for one in right])
    terms: list[list[tuple[Any, dict]]] = [
        [(1.0, {k: Complex(slope) for k, slope in one.tangents.items()})] for one in right
    ]
    for (i, j), entry in matrix.items():
        terms[i].append((-found[j], entry.tangents))
    changes = [combine(*each) for each in terms]
    results = [Dual(part, {}) for part in _parts(found)]
    for direction in {d: None for change in changes for d in change}:
        solved = substitute(factors, plan, [change.get(direction) for change in changes])
        for k, one in enumerate(solved):
            if one is not None:
                results[k].tangents[direction], results[k + len(plan)].tangents[direction] = one
    return results


def _reach(x: Sequence[frozenset], parameters: dict[str, Any]) -> list[frozenset]:
    places = parameters["entries"]
    return solved_reach(places, x[: len(places)], x[len(places) : -2]) * 2


REACHES["lane_resolvent"] = _reach


def _factors(matrix: Entries, pole: Complex, plan: tuple[Pivot, ...]) -> Entries:
    """Return the factors of A h - pole."""
    shifted = {place: Complex(entry) for place, entry in matrix.items()}
    for i in range(len(plan)):
        shifted[i, i] = shifted[i, i] - pole if (i, i) in shifted else -pole
    return factorise(shifted, plan)


def _parts(found: Sequence[Complex]) -> list[Any]:
    return [one.real for one in found] + [one.imag for one in found]


class Solution(NamedTuple):
    """Real and imaginary parts of the solution."""

    real: tuple[Any, ...]
    imag: tuple[Any, ...]


def resolvent(matrix: Entries, right: Sequence[Any], pole: tuple[Any, Any], *, marks: bool) -> Solution:
    """Solve (A h - pole) x = y, given the entries of A h and y; marked for `forward` if `marks`."""
    plan, size = elimination(matrix, len(right)), len(right)
    if marks:
        found = lane_resolvent_p.bind(*matrix.values(), *right, *pole, entries=tuple(matrix), plan=plan)
    else:
        factors = _factors(matrix, Complex(*pole), plan)
        found = _parts(substitute(factors, plan, [Complex(one) for one in right]))
    return Solution(tuple(found[:size]), tuple(found[size:]))
