"""Closed forms of models whose blocks have up to three states: sums over the ways the drug can take."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial.solve.exact.differences import Differences, Key, needed, order
from vtrial.solve.exact.eigenvalues import eigenvalues
from vtrial.solve.exact.structure import Block

_NODES = 5
"""Most eigenvalues in one divided difference: each further one costs a digit and doubles the work."""
_DIFFERENCES = 40
"""Most divided differences: beyond, the ladder is faster."""


type Rates = Float[Array, "state state"] | Mapping[tuple[int, int], Array]
"""The rate matrix, or its entries by row and column."""


class Paths(NamedTuple):
    """The plan of a closed form, hashable; input rates are states that do not change, numbered after the states."""

    size: int
    """Number of states."""

    blocks: tuple[Block, ...]
    """The inputs first, as one block: they share the eigenvalue 0."""
    roots: tuple[int, ...]
    """Number of eigenvalues of each block."""
    links: frozenset[tuple[int, int]]
    """Pairs (i, j) where state j enters the rate of state i, the inputs among them."""


def plan(blocks: Sequence[Block], links: np.ndarray, infused: Sequence[int]) -> Paths | None:
    """Return the plan, or None where a block is too large or oscillates, or where the paths are too long."""
    size = len(links)
    whole = frozenset(
        {(int(i), int(j)) for i, j in np.argwhere(links)} | {(i, size + k) for k, i in enumerate(infused)}
    )
    inputs = (Block(tuple(range(size, size + len(infused))), True),) if infused else ()
    every = (*inputs, *blocks)
    found = Paths(size, every, tuple(1 if b in inputs else len(b.states) for b in every), whole)
    if not all(block.real for block in blocks):
        return None
    keys = {key for block in _terms(found) for key in block}
    if any(order(key) >= _NODES for key in keys):
        return None
    used: set[Key] = set()
    for key in keys:
        needed(key, used)
    return found if len(used) <= _DIFFERENCES else None


def _terms(paths: Paths) -> list[list[Key]]:
    """Return for each block which divided differences its states need."""
    found: list[list[Key]] = []
    for b, count in enumerate(paths.roots):
        arriving: list[Key] = [()]
        for c in range(b):
            if _joined(paths, b, c):
                arriving += found[c]
        found.append([((b, 0, k), *key) for key in arriving for k in range(count)])
    return found


def _joined(paths: Paths, b: int, c: int) -> bool:
    return any((i, j) in paths.links for i in paths.blocks[b].states for j in paths.blocks[c].states)


def nodes(paths: Paths, rate: Rates) -> list[tuple[Array, ...]]:
    """Return the eigenvalues of each block; those of an input are zero."""
    found = []
    for block in paths.blocks:
        zero = block.states[0] >= paths.size
        rows = [[rate[i, j] for j in block.states] for i in block.states] if not zero else [[jnp.zeros(())]]
        found.append(eigenvalues(rows))
    return found


def carry(
    paths: Paths, rate: Rates, roots: Sequence[tuple[Array, ...]], h: Array, y: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Return the states after an interval, given the states and the input rates.

    What one block sends to the next passes through both: of the path from block to block its end gets the divided
    difference of exp(. h) over the eigenvalues of all blocks on it (of a block's first k + 1, applied to the product of
    its first k factors (B - eigenvalue): Newton's form of a function of a matrix, Higham 2008,
    doi:10.1137/1.9780898717778, section 4.4), times the rates along it. All terms of a chain are positive: nothing
    cancels.
    """
    size = paths.size
    difference = Differences([[x * h for x in block] for block in roots])
    result: list[Array] = list(y[:size])
    sent: list[dict[Key, dict[int, Array]]] = []
    for b, block in enumerate(paths.blocks):
        arriving: dict[Key, dict[int, Array]] = {(): {i: y[i] for i in block.states}}
        for c in range(b):
            if _joined(paths, b, c):
                for key, v in sent[c].items():
                    arriving[key] = _through(paths, rate, block.states, v)
        sent.append({})
        for key, v in arriving.items():
            for k in range(paths.roots[b]):
                sent[b][(b, 0, k), *key] = v
                if k + 1 < paths.roots[b]:
                    pushed = _through(paths, rate, block.states, v)
                    v = {i: pushed[i] - roots[b][k] * v[i] for i in block.states}
        if block.states[0] < size:
            for i in block.states:
                result[i] = sum(difference(key) * h ** order(key) * v[i] for key, v in sent[b].items())  # pyright: ignore
    return tuple(result)


def _through(paths: Paths, rate: Rates, states: tuple[int, ...], v: dict[int, Array]) -> dict[int, Array]:
    """Return the rates of some states that others cause."""
    found = {}
    for i in states:
        parts = [rate[i, j] * one if j < paths.size else one for j, one in v.items() if (i, j) in paths.links]
        found[i] = sum(parts) if parts else jnp.zeros_like(next(iter(v.values())))
    return found
