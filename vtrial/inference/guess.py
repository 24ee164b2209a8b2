"""What a Laplace fit says of the joint density: how wide it is."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.data import Dataset
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.marginal import Fit
from vtrial.likelihood import StatisticalModel
from vtrial.population import effects as random_effects


class Guess(NamedTuple):
    """The widths of the joint density: the population level's with its correlations, the subjects' given that."""

    block: Float[Array, "dense dense"]
    """Covariance of the population level: the leading coordinates."""
    scale: Float[Array, " rest"]
    """Standard deviation of each subject's coordinates."""


def guess(density: UnconstrainedDensity, statistical: StatisticalModel, data: Dataset, fit: Fit) -> Guess | None:
    """Return what a fit says of the coordinates of the joint density; None where it has no width."""
    population, level = statistical.population, UnconstrainedDensity(statistical.population_level(data))
    factor = population.factor(level.constrain(level.point(jnp.asarray(fit.vector))))
    spread = jnp.sqrt(jnp.asarray(fit.spread))
    sites = random_effects.sampled_spread(population, factor, spread, dict(statistical.centred))
    own = [jnp.reshape(sites[name], -1) for name in density.order if name not in density.population]
    found = Guess(jnp.asarray(fit.covariance), jnp.concatenate(own))
    sound = bool(jnp.isfinite(found.block).all() & (found.scale > 0).all())
    return found if sound else None
