"""Divided differences of the exponential, in value and derivative right where their nodes coincide."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array

type Span = tuple[int, int, int]
"""(block, first node, last node) of neighbouring nodes of one block."""
type Key = tuple[Span, ...]

_CLOSE = 0.05
"""Nodes nearer than this are taken by power series: above, quotients of differences lose a factor 20 each."""
_TERMS = 7
"""Terms of the series: the first one left out is below 1e-13 of the first."""


class Differences:
    """Divided differences exp[x0, x1, ...] at the nodes of blocks times one interval, each worked out once.

    By the recursion exp[.., a, .., b] = (exp[.., b] - exp[a, ..]) / (b - a) for two nodes that are apart, and where
    none are by the series exp(c) sum over j of h_j(x - c) / (j + order)!, with h_j the complete homogeneous polynomials
    (de Boor 2005, Divided differences, Surveys in Approximation Theory 1). All nodes are real, those of a block ascend.
    """

    def __init__(self, nodes: Sequence[Sequence[Array]]):
        """Take the nodes of each block."""
        self._nodes = nodes
        self._known: dict[Key, Array] = {}

    def __call__(self, key: Key) -> Array:
        """Return the divided difference over all nodes of the spans."""
        if key not in self._known:
            self._known[key] = self._found(key)
        return self._known[key]

    def _found(self, key: Key) -> Array:
        block, _, last = key[0]
        centre = self._nodes[block][last]
        if order(key) == 0:
            return jnp.exp(centre)
        others = [self._nodes[b][k] for b, i, j in key for k in range(i, j + 1) if (b, k) != (block, last)]
        result = self(((block, last, last),)) * _series([x - centre for x in others])
        for place, at_end in reversed(ends(key)):
            b, i, j = key[place]
            gap = self._nodes[b][j if at_end else i] - centre
            apart = jnp.abs(gap) >= _CLOSE
            rise = self(_without(key, 0, at_end=True)) - self(_without(key, place, at_end=at_end))
            result = jnp.where(apart, rise / jnp.where(apart, gap, 1.0), result)
        return result


def order(key: Key) -> int:
    """Return the number of nodes less one."""
    return sum(last - first + 1 for _, first, last in key) - 1


def ends(key: Key) -> list[tuple[int, bool]]:
    """Return (place of the span, whether its last node) of the nodes that may be far from the centre.

    The centre is the last node of the first span. The nodes of a span ascend, so that its ends are enough.
    """
    found = [(0, False)] if key[0][1] < key[0][2] else []
    for place, (_, first, last) in enumerate(key[1:], 1):
        found += [(place, True)] if first == last else [(place, False), (place, True)]
    return found


def needed(key: Key, known: set[Key] | None = None) -> set[Key]:
    """Return all divided differences that one is worked out from, itself included."""
    known = set() if known is None else known
    if key not in known:
        known.add(key)
        if order(key):
            needed(_without(key, 0, at_end=True), known)
            for place, at_end in ends(key):
                needed(_without(key, place, at_end=at_end), known)
    return known


def _without(key: Key, place: int, *, at_end: bool) -> Key:
    """Return the key less one node at an end of a span."""
    block, first, last = key[place]
    kept = (block, first, last - 1) if at_end else (block, first + 1, last)
    return (*key[:place], *(() if kept[1] > kept[2] else (kept,)), *key[place + 1 :])


def _series(gaps: list[Array]) -> Array:
    """Return sum over j of h_j(gaps) / (j + order)!, where all gaps are small; some number elsewhere."""
    close = [jnp.where(jnp.abs(d) < _CLOSE, d, 0.0) for d in gaps]
    # h_j of no variable is 1, 0, 0...; another variable d adds d times its own h_(j-1).
    h = [jnp.ones_like(close[0])] + [jnp.zeros_like(close[0])] * (_TERMS - 1)
    for d in close:
        for j in range(1, _TERMS):
            h[j] = h[j] + d * h[j - 1]
    n = len(gaps)
    total = h[-1] / math.factorial(_TERMS - 1 + n)
    for j in range(_TERMS - 2, -1, -1):
        total = total + h[j] / math.factorial(j + n)
    return total
