"""What a Laplace fit says of the joint density: where it is, and how wide."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.data import Dataset
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.marginal import Fit
from vtrial.likelihood import StatisticalModel
from vtrial.population import effects as random_effects


class Guess(NamedTuple):
    """A normal approximation of the joint density: the population level dense, the subjects independent of it."""

    centre: Float[Array, " coordinate"]
    block: Float[Array, "dense dense"]
    """Covariance of the population level: the leading coordinates."""
    scale: Float[Array, " rest"]
    """Standard deviation of each subject's coordinates."""


def guess(density: UnconstrainedDensity, statistical: StatisticalModel, data: Dataset, fit: Fit) -> Guess:
    """Return what a fit says of the coordinates of the joint density."""
    at = UnconstrainedDensity(statistical.population_level(data))
    draw = at.constrain(at.point(jnp.asarray(fit.vector)))
    latent = jnp.asarray(fit.latent), jnp.sqrt(jnp.asarray(fit.spread))
    sites = random_effects.sampled_sites(
        statistical.population, draw, statistical.population.factor(draw), latent, dict(statistical.centred)
    )
    own = [sites[name] for name in density.order if name not in density.population]
    value, sd = (jnp.concatenate([jnp.reshape(part[i], -1) for part in own]) for i in (0, 1))
    return Guess(jnp.concatenate([jnp.asarray(fit.vector), value]), jnp.asarray(fit.covariance), sd)
