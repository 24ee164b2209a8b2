"""What can be read from a linear model once, while tracing: which state drives which, and in what blocks."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from vtrial.model import AbstractModel

_PROBES = 3
"""Sets of generic parameters the signs of the rates are looked up with."""


class Block(NamedTuple):
    """States that drive each other, directly or in a circle."""

    states: tuple[int, ...]
    """Of a block of three the middle one comes first: the other two exchange with it alone."""
    real: bool
    """Whether its eigenvalues are known to be real: exchange runs both ways, as between compartments."""


def drives(model: AbstractModel, given: Iterable[str]) -> np.ndarray:
    """Return whether state j enters the rate of state i, shape (state, state), as the model's operations tell.

    Args:
        model: a linear one.
        given: names of its parameters.
    """
    names = tuple(model.states)

    def rates(y, p):
        found = model.rates(jnp.asarray(0.0), dict(zip(names, y, strict=True)), p)
        return [jnp.asarray(found[name], float) for name in names]

    y = tuple(jnp.zeros(()) for _ in names)
    jaxpr = jax.make_jaxpr(rates)(y, {k: jax.ShapeDtypeStruct((), float) for k in given}).jaxpr
    known = {v: {j} for j, v in enumerate(jaxpr.invars[: len(names)])}
    for step in jaxpr.eqns:
        uses = set().union(*(known.get(v, set()) for v in step.invars if not isinstance(v, Literal)))
        known |= dict.fromkeys(step.outvars, uses)
    found = np.zeros((len(names), len(names)), bool)
    for i, v in enumerate(jaxpr.outvars):
        for j in () if isinstance(v, Literal) else known.get(v, ()):
            found[i, j] = True
    return found


def blocks(links: np.ndarray, signs: Callable[[Collection[int]], np.ndarray]) -> tuple[Block, ...]:
    """Return the states in blocks, each after those that drive it.

    Args:
        links: whether state j enters the rate of state i.
        signs: returns the sign of each entry of the rate matrix in some columns, nan where it may be either.
    """
    size = len(links)
    reach = links | np.eye(size, dtype=bool)
    for _ in range(size):
        reach = reach @ reach
    together = reach & reach.T
    first = [i for i in range(size) if not together[i, :i].any()]
    first.sort(key=lambda i: reach[i].sum())
    each = [tuple(int(j) for j in np.flatnonzero(together[i])) for i in first]
    known = signs([j for states in each if len(states) in (2, 3) for j in states])
    return tuple(_block(states, links, known) for states in each)


def _block(states: tuple[int, ...], links: np.ndarray, signs: np.ndarray) -> Block:
    def both_ways(i: int, j: int) -> bool:
        return bool(signs[i, j] * signs[j, i] > 0)

    if len(states) == 1:
        return Block(states, True)
    if len(states) == 2:
        return Block(states, both_ways(*states))
    if len(states) == 3:
        for k in range(3):
            a, b = (s for s in states if s != states[k])
            if not (links[a, b] or links[b, a]):
                return Block((states[k], a, b), both_ways(states[k], a) and both_ways(states[k], b))
    return Block(states, False)


def signs(model: AbstractModel, given: Iterable[str], columns: Collection[int]) -> np.ndarray:
    """Return the sign of each entry of some columns of the rate matrix, nan where generic parameters disagree."""
    names = tuple(model.states)
    random = np.random.default_rng(0)
    found = []
    with jax.ensure_compile_time_eval():
        for _ in range(_PROBES):
            at = {name: jnp.asarray(random.uniform(0.2, 0.9)) for name in given}
            entries = np.zeros((len(names), len(names)))
            for j in columns:
                y = {name: jnp.asarray(float(i == j)) for i, name in enumerate(names)}
                rates = model.rates(jnp.asarray(0.0), y, at)
                entries[:, j] = [float(rates[name]) for name in names]
            found.append(np.sign(entries))
    return np.where((found == found[0]).all(axis=0), found[0], np.nan)
