"""Coordinates in which the joint density is a standard normal, as far as a Laplace fit knows it."""

import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int, Key

from vtrial._types import Scalar
from vtrial.data import Dataset
from vtrial.inference.density import Point, UnconstrainedDensity
from vtrial.inference.marginal import Fit
from vtrial.likelihood import StatisticalModel
from vtrial.population import effects as random_effects
from vtrial.population.centring import Centring

log = logging.getLogger(__name__)

_TRUST = 10.0
"""Draws that a fit is worth for each coordinate of the population level: as many tell its covariance within a third."""


class Root(NamedTuple):
    """A root of a covariance: x = root w has it, where w is standard normal.

    The leading coordinates are the population level's. The others are the subjects': they move with the population
    level, and beside that each subject on its own.
    """

    block: Float[Array, "dense dense"]
    """Lower factor of the population level's covariance."""
    along: Float[Array, "rest dense"]
    """How the subjects' coordinates move with the leading ones of w."""
    own: Float[Array, "subject latent latent"]
    """Lower factor of each subject's covariance given the population level."""
    place: Int[np.ndarray, "subject latent"]
    """Where a subject's coordinates are among those of all subjects."""

    def spread(self, w: Float[Array, " coordinate"]) -> Float[Array, " coordinate"]:
        """Multiply by the root."""
        level, rest = w[: len(self.block)], w[len(self.block) :]
        own = jnp.einsum("ijk,ik->ij", self.own, rest[self.place])
        return jnp.concatenate([self.block @ level, (self.along @ level).at[self.place].add(own)])

    def whiten(self, x: Float[Array, " coordinate"]) -> Float[Array, " coordinate"]:
        """Multiply by the inverse of the root."""
        level = solve_triangular(self.block, x[: len(self.block)], lower=True)
        rest = x[len(self.block) :] - self.along @ level
        own = jax.vmap(lambda factor, y: solve_triangular(factor, y, lower=True))(self.own, rest[self.place])
        return jnp.concatenate([level, rest.at[self.place].set(own)])


class Whitened:
    """A density over the coordinates w instead of x = root w: what `UnconstrainedDensity` is to a sampler."""

    width = 1.0
    """What the standard deviation of a coordinate is believed to be."""

    def __init__(self, density: UnconstrainedDensity, root: Root, centre: Float[Array, " coordinate"]):
        """Take the density of x, the root, and where the fit has its maximum."""
        self._density, self._root, self._centre = density, root, centre
        self.potential, self.size, self.dense = density.potential, density.size, density.dense
        self.trust = _TRUST * max(1, density.dense)
        """As many draws is the fit worth: a covariance takes the more the larger it is."""

    def vector(self, point: Point) -> Float[Array, " coordinate"]:
        """Return w of a point."""
        return self._root.whiten(self._density.vector(point))

    def point(self, vector: Float[Array, " coordinate"]) -> Point:
        """Return the point of w."""
        return self._density.point(self._root.spread(vector))

    def near(self, key: Key[Array, ""], scale: Scalar) -> Point:
        """Return a draw from the fit's normal, drawn so much nearer to its centre."""
        away = self._root.spread(scale * jax.random.normal(key, (self.size,)))
        return self._density.point(self._centre + away)


type Density = UnconstrainedDensity | Whitened
"""What a sampler walks through: `potential`, `point`, `vector`, `size`, `dense`, and a `width` to `trust`."""


def whitened(density: UnconstrainedDensity, statistical: StatisticalModel, data: Dataset, fit: Fit | None) -> Density:
    """Return a joint density in coordinates that a fit makes nearly standard normal; as it is without a sound fit."""
    if fit is None:
        return density
    found, centre = root(density, statistical, data, fit)
    if not all(np.isfinite(part).all() for part in (found.block, found.along, found.own)):
        log.warning("           the Laplace fit has no width; chains begin to learn the metric from nothing")
        return density
    return Whitened(density, found, centre)


def root(
    density: UnconstrainedDensity, statistical: StatisticalModel, data: Dataset, fit: Fit
) -> tuple[Root, Float[Array, " coordinate"]]:
    """Return the root of the covariance that a fit says the joint density has, and the centre; not finite without one.

    The population level has the fit's covariance. Given that, a subject's standardised random effects have the
    covariance of their own problem, around a mode that moves with the population level; both are carried over to the
    coordinates that are sampled by the derivatives of these.
    """
    population, how, levels = statistical.population, statistical.centring, statistical.levels(data)
    level = UnconstrainedDensity(statistical.population_level(data))

    def columns(vector: Array, latent: Array) -> Float[Array, "subject latent"]:
        draw = level.constrain(level.point(vector))
        return random_effects.sampled_columns(population, draw, population.factor(draw), how, latent)

    place = places(density, statistical, how, levels)

    @jax.jit
    def found(fit: Fit) -> tuple[Root, Float[Array, " coordinate"]]:
        block, factor = (jnp.linalg.cholesky(jnp.asarray(one)) for one in (fit.covariance, fit.subjects.covariance))
        count, latent = len(block), factor.shape[2]
        # All directions at once: how subjects move with the population level, and then each on its own.
        vectors = jnp.concatenate([block.T, jnp.zeros((latent, count))])
        latents = jnp.concatenate([jnp.asarray(fit.subjects.along) @ block, factor], axis=2)
        middle, push = jax.linearize(columns, jnp.asarray(fit.vector), jnp.asarray(fit.subjects.mean))
        moved = jax.vmap(push, in_axes=(0, 2), out_axes=2)(vectors, latents)
        rest = jnp.zeros(density.size - count)
        along = jnp.zeros((density.size - count, count)).at[place].set(moved[..., :count])
        root = Root(block, along, moved[..., count:], place)
        return root, jnp.concatenate([jnp.asarray(fit.vector), rest.at[place].set(middle)])

    root, centre = found(fit)
    return root._replace(place=place), centre


def places(
    density: UnconstrainedDensity,
    statistical: StatisticalModel,
    how: tuple[Centring, ...],
    levels: random_effects.Levels,
) -> Int[np.ndarray, "subject latent"]:
    """Return where the coordinates of each subject are, counted from the end of the population level."""
    first = sum(int(np.prod(density.sites[name][1])) for name in density.population)
    every = np.arange(density.size) - first
    rest = {n: place for n, place in density.places.items() if n not in density.population}
    numbers = {name: every[where].reshape(shape) for name, (where, shape) in rest.items()}
    return np.asarray(random_effects.as_columns(statistical.population, numbers, how, levels)).astype(int)
