"""Where chains start: near the prior medians, or drawn from a normal approximation found from there."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.density import Point, UnconstrainedDensity
from vtrial.inference.path import best, climb, last
from vtrial.inference.whitening import Whitened
from vtrial.likelihood import StatisticalModel

_PATHS = 8
"""At most so many paths are climbed; more chains share them."""
_HALVINGS = 10
"""A start without density is tried so many times nearer to the medians."""
STARTS = ("medians", "pathfinder", "laplace")
CHAINS = ("fit", *STARTS)
"""Where Markov chains can start."""


def check_start(start: str, known: tuple[str, ...] = STARTS) -> None:
    """Refuse a start that does not exist.

    Raises:
        UserError: naming those there are.
    """
    if start not in known:
        raise UserError(f"inference.start is '{start}'. {nearest(start, known)}")


def fitted_starts(
    key: Key[Array, ""], potential: Callable[[Point], Array], target: Whitened, *, chains: int
) -> Point | None:
    """Return a starting point for each chain [chain ...], drawn from the normal of a Laplace fit; None without one.

    Args:
        key: random key.
        potential: of points [chain ...]; not finite where there is no density.
        target: has the normal.
        chains: how many.
    """
    each, near = keys.numbered(key, chains), jax.jit(jax.vmap(target.near, in_axes=(0, None)))
    return _finite(lambda scale: near(each, scale), potential, 1.0)


def starts(
    key: Key[Array, ""],
    density: UnconstrainedDensity,
    statistical: StatisticalModel,
    data: Dataset,
    *,
    chains: int,
    kind: str,
    jitter: float,
) -> Point:
    """Return a starting point for each chain [chain ...].

    `medians` are the prior medians with normal jitter. `pathfinder` and `laplace` climb from there, and draw from the
    normal approximation with the best evidence lower bound on the way up, or from that at the top.

    Raises:
        UserError: there is no density at the prior medians, naming the subjects whose solve fails there.
    """
    found = _finite(
        lambda scale: jax.vmap(lambda k: density.near(k, statistical.starts(), scale))(keys.numbered(key, chains)),
        jax.jit(jax.vmap(density.potential)),
        jitter,
    )
    if found is None:
        raise UserError(_why(density, statistical, data))
    if kind == "medians":
        return found
    vectors = np.asarray(jax.vmap(density.vector)(found))
    drawn, paths = [], min(chains, _PATHS)
    seeds = [np.random.default_rng(np.asarray(jax.random.key_data(k))) for k in keys.numbered(key, chains)]
    choose = last if kind == "laplace" else best
    normals = [choose(density, climb(density, vectors[i]), seeds[i]) for i in range(paths)]
    for chain in range(chains):
        normal, random = normals[chain % paths], seeds[chain]
        tries = [normal.draw(random, 1)[0][0] for _ in range(_HALVINGS)] if normal else []
        values = [float(density.potential(density.point(jnp.asarray(x)))) for x in tries]
        drawn.append(next((x for x, u in zip(tries, values, strict=True) if np.isfinite(u)), vectors[chain]))
    return jax.vmap(density.point)(jnp.asarray(np.stack(drawn)))


def _finite(near: Callable[[float], Point], potential: Callable[[Point], Array], jitter: float) -> Point | None:
    """Return the starts, those without density drawn back toward the centre; None if even there is none."""
    found = near(jitter)
    good = np.isfinite(potential(found))
    for i in range(1, _HALVINGS):
        if good.all():
            return found
        closer = near(jitter / 2**i if i < _HALVINGS - 1 else 0.0)
        found = jax.tree.map(lambda a, b, g=good: jnp.where(g.reshape(-1, *[1] * (a.ndim - 1)), a, b), found, closer)
        good = np.isfinite(potential(found))
    return found if good.all() else None


def _why(density: UnconstrainedDensity, statistical: StatisticalModel, data: Dataset) -> str:
    """Say whose solve fails at the prior medians."""
    typical = {n: jnp.asarray(v) for n, v in statistical.population.typical().items()}
    _, code = statistical.predict(statistical.typical_subjects(typical, data), data)
    failed = [f"ID {data.subjects[i]} ({schema.RESULT_CODES[int(code[i])]})" for i in np.flatnonzero(np.asarray(code))]
    why = f"the solve fails for {', '.join(failed[:5])}" if failed else "the data have no finite likelihood there"
    return f"No chain can start: at the prior medians {why}. Compare priors, units and doses with the data."
