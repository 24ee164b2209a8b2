"""Jumps between the modes of a subject's random effects, and from one end of a bent ridge of theirs to the other.

Effects have several modes where the class of a subject is not known, and now and then where data say little;
Hamiltonian trajectories seldom pass between them. Given the population level, a subject's random effects do not depend
on other people: after each iteration all subjects are proposed new ones, from what a Laplace fit says of them in each
class, and each takes its own or not.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key

from vtrial import keys
from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.density import Point, UnconstrainedDensity
from vtrial.inference.inner import Inner
from vtrial.inference.marginal import Fit
from vtrial.inference.proposal import draw_t, log_t
from vtrial.inference.walk import Draw, Kernel
from vtrial.inference.whitening import Density, places
from vtrial.likelihood import StatisticalModel
from vtrial.population import effects as random_effects

_RULES = ("auto", "all", "none")
_LEAST = 0.1
"""Each class is proposed at least so often: at another population level it may be likelier than at the fit's."""


def check_jumps(rule: str) -> None:
    """Refuse a rule that does not exist.

    Raises:
        UserError: naming those there are.
    """
    if rule not in _RULES:
        raise UserError(f"inference.jumps is '{rule}'. {nearest(rule, _RULES)}")


def wanted(rule: str, statistical: StatisticalModel) -> bool:
    """Return whether a rule asks for jumps: `auto` where classes are not known, and where there are effects at all."""
    effects = bool(statistical.population.effects) or bool(statistical.population.occasion_effects)
    return effects and (rule == "all" or (rule == "auto" and statistical.population.mixture is not None))


class Jumps:
    """Metropolis steps of each subject's random effects with proposals that know all their modes.

    Proposals are t distributed around the fit's mode in a class, moved along with the population level, and do not
    depend on where the subject is. Source: Tierney 1994, doi:10.1214/aos/1176325750 (independence chains).
    """

    def __init__(self, density: UnconstrainedDensity, statistical: StatisticalModel, data: Dataset, fit: Fit):
        """Prepare for a joint density, and a fit of the same model."""
        self._density, self._statistical, self._fit = density, statistical, fit
        self._level = UnconstrainedDensity(statistical.population_level(data))
        self._inner = Inner(statistical, data, "interaction")
        self._place = places(density, statistical, statistical.centring, statistical.levels(data))
        classes = fit.classes
        self._factor = jnp.linalg.cholesky(jnp.asarray(classes.covariance))
        share = jnp.maximum(jnp.asarray(classes.probability), _LEAST)
        self._log_share = jnp.log(share / share.sum(0))

    def __call__(self, key: Key[Array, ""], point: Point) -> Point:
        """Return a point with new random effects in some subjects, from the same distribution if the old one was."""
        vector, count = self._density.vector(point), len(self._fit.vector)
        level, rest = vector[:count], vector[count:]
        draw = self._level.constrain(self._level.point(level))
        population, how = self._statistical.population, self._statistical.centring
        given = (population, draw, population.factor(draw), how)
        now = random_effects.latent_columns(*given, rest[self._place])
        centre = jnp.asarray(self._fit.classes.mean) + self._fit.classes.along @ (level - self._fit.vector)
        new = self._proposed(keys.named(key, "propose"), centre)
        worth = [self._log_density(draw, z) - self._log_proposal(centre, z) for z in (new, now)]
        chance = jax.random.uniform(keys.named(key, "take"), (len(now),))
        taken = jnp.log(chance) < worth[0] - worth[1]
        latent = jnp.where(taken[:, None], new, now)
        columns = random_effects.sampled_columns(*given, latent)
        moved = rest.at[self._place].set(jnp.where(taken[:, None], columns, rest[self._place]))
        return self._density.point(jnp.concatenate([level, moved]))

    def _proposed(
        self, key: Key[Array, ""], centre: Float[Array, "class subject latent"]
    ) -> Float[Array, "subject latent"]:
        which = jax.random.categorical(keys.named(key, "class"), self._log_share, axis=0)
        subject = jnp.arange(centre.shape[1])
        away = jnp.einsum("ijk,ik->ij", self._factor[which, subject], draw_t(key, centre.shape[1:]))
        return centre[which, subject] + away

    def _log_proposal(
        self, centre: Float[Array, "class subject latent"], latent: Float[Array, "subject latent"]
    ) -> Float[Array, " subject"]:
        solve = jax.vmap(jax.vmap(lambda factor, x: solve_triangular(factor, x, lower=True)))
        size = jnp.log(jnp.diagonal(self._factor, axis1=-2, axis2=-1)).sum(-1)
        return logsumexp(self._log_share + log_t(solve(self._factor, latent - centre)) - size, axis=0)

    def _log_density(self, draw: dict[str, Array], latent: Float[Array, "subject latent"]) -> Float[Array, " subject"]:
        mixture = self._statistical.population.mixture
        shares = mixture.log_shares(draw)[:, None] if mixture else 0.0
        each = self._inner.log_density(draw, jnp.tile(latent, (self._inner.classes, 1)))
        return logsumexp(each.reshape(self._inner.classes, -1) + shares, axis=0)


def jumping(kernel: Kernel, density: Density, jumps: Jumps) -> Kernel:
    """Return a sampler whose every iteration ends in jumps.

    Args:
        kernel: the sampler; its states have `key`, `iteration`, `x`, `potential` and `gradient`.
        density: what it walks through.
        jumps: of the same joint density.
    """
    both = jax.value_and_grad(lambda x: density.potential(density.point(x)))

    def jump(key: Key[Array, ""], x: Float[Array, " coordinate"]) -> tuple[Array, Array, Array, Point]:
        point = jumps(key, density.point(x))
        there = density.vector(point)
        return there, *both(there), point

    def step(state: Any) -> tuple[Any, Draw]:
        fresh = state.iteration < 0
        state, draw = kernel.step(state)
        key = keys.named(state.key, "jump")
        if kernel.over is None:
            x, potential, gradient, point = jax.vmap(jump)(keys.numbered(key, len(state.x)), state.x)
        else:
            x, potential, gradient, point = jump(key, state.x)
        moved = state._replace(x=x, potential=potential, gradient=gradient)
        # The step of a fresh state only finds out what the density is there.
        moved = jax.tree.map(lambda a, b: jnp.where(fresh, a, b), state, moved)
        return moved, draw._replace(point=point, fields=draw.fields | {"potential_energy": potential})

    return kernel._replace(step=step)
