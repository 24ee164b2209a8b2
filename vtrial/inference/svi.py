"""Variational inference: a normal distribution on unconstrained space, fitted by its evidence lower bound."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import xarray as xr
from jaxtyping import Array, Float, Key
from numpyro.distributions import ImproperUniform, constraints
from numpyro.infer import SVI, Trace_ELBO, init_to_value
from numpyro.infer.autoguide import AutoDiagonalNormal, AutoLowRankMultivariateNormal, AutoMultivariateNormal
from numpyro.optim import ClippedAdam

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.approximation import check_draws, resampled
from vtrial.inference.base import AbstractInference
from vtrial.inference.checkpoint import Checkpoint, identity
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.progress import Progress
from vtrial.inference.start import check_start, starts
from vtrial.inference.walk import Record
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)

_GUIDES = {
    "diagonal": AutoDiagonalNormal,
    "low_rank": AutoLowRankMultivariateNormal,
    "multivariate": AutoMultivariateNormal,
}
_SITE = "x"
_CHUNK = 200
"""Steps between two looks at the clock."""


class Svi(AbstractInference):
    """NumPyro's stochastic variational inference with a normal guide: quick where there are many subjects.

    Its standard deviations are too small where the posterior is no normal; its Pareto k says by how far to trust it.

    Source: Kucukelbir et al. 2017, Automatic differentiation variational inference, JMLR 18(14).
    """

    guide: str = eqx.field(static=True, default="multivariate")
    """`diagonal`, `low_rank` or `multivariate`: the covariance of the normal."""
    steps: int = eqx.field(static=True, default=10000)
    """Steps of Adam."""
    particles: int = eqx.field(static=True, default=4)
    """Draws that estimate the bound at each step."""
    learning_rate: float = eqx.field(static=True, default=0.01)
    """Adam's first step; it falls to a hundredth of that."""
    draws: int = eqx.field(static=True, default=1000)
    """Draws kept, with replacement."""
    candidates: int = eqx.field(static=True, default=4000)
    """Draws of the guide, among which the kept ones are chosen."""
    start: str = eqx.field(static=True, default="medians")
    """Centre of the guide at the start: `medians`, `pathfinder` or `laplace`."""

    def __check_init__(self):
        """Refuse what cannot be fitted."""
        check_draws(self.draws)
        check_start(self.start)
        if self.guide not in _GUIDES:
            raise UserError(f"inference.guide is '{self.guide}'. {nearest(self.guide, _GUIDES)}")
        if self.steps < 8 or self.particles < 1 or self.candidates < 100 or not self.learning_rate > 0:
            raise UserError("SVI needs steps >= 8, particles >= 1, candidates >= 100 and a positive learning_rate.")

    def __call__(
        self,
        key: Key[Array, ""],
        statistical: StatisticalModel,
        data: Dataset,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Mapping[str, xr.Dataset]:
        """Fit the guide chunk by chunk, draw from it, and resample the draws."""
        if checkpoint:
            checkpoint.claim(identity(self, key, statistical, data))
        density = UnconstrainedDensity(statistical.joint(data))
        begin = starts(keys.named(key, "start"), density, statistical, data, chains=1, kind=self.start, jitter=0.0)
        centre = jax.vmap(density.vector)(begin)[0]
        guide, bound, params = self._fit(keys.named(key, "fit"), density, centre, checkpoint)
        normal = guide.get_posterior(params)
        normal = normal if normal.event_dim else normal.to_event(1)
        vectors = np.asarray(normal.sample(keys.named(key, "draws"), (self.candidates,)))
        log_p = density.log_density(vectors)
        if not np.isfinite(log_p).any():
            raise UserError("The guide of SVI has no density anywhere; lower inference.learning_rate, or use NUTS.")
        found = resampled(
            key,
            density,
            vectors,
            log_p,
            log_p - np.asarray(normal.log_prob(vectors)),
            statistical,
            data,
            draws=self.draws,
            method=f"SVI ({self.guide})",
        )
        found[schema.SAMPLE_STATS].attrs.update(_settled(bound))
        log.info("           %s", found[schema.SAMPLE_STATS].attrs["verdict"])
        return found

    def _fit(
        self,
        key: Key[Array, ""],
        density: UnconstrainedDensity,
        centre: Float[Array, " n"],
        checkpoint: Checkpoint | None,
    ) -> tuple[Any, np.ndarray, dict[str, Array]]:
        """Return the guide, its evidence lower bound at each step, and its parameters."""

        def model() -> None:
            x = numpyro.sample(_SITE, ImproperUniform(constraints.real_vector, (), centre.shape))
            numpyro.factor("log_density", -density.potential(density.point(jnp.asarray(x))))

        guide = _GUIDES[self.guide](model, init_loc_fn=init_to_value(values={_SITE: centre}))
        rate = self.learning_rate
        optimiser = ClippedAdam(lambda i: rate * 0.01 ** (i / self.steps))
        svi = SVI(model, guide, optimiser, Trace_ELBO(self.particles, vectorize_particles=True))
        state = svi.init(key)
        advance = _chunk(svi.stable_update)
        made = jax.eval_shape(advance, state, jnp.asarray(0))[1]
        saved = checkpoint.load(state, made) if checkpoint else None
        done, state, kept = saved or (0, state, [])
        record = Record(kept)
        with Progress(self.steps, done) as progress:
            while done < self.steps:
                length = min(_CHUNK, self.steps - done)
                state, loss = advance(state, jnp.asarray(length))
                recent = np.asarray(loss)[None, :length]
                record.add(recent)
                done += length
                progress.advance(length, "fitting", lambda now=recent: f"evidence lower bound {-np.nanmean(now):.1f}")
                if checkpoint and checkpoint.due():
                    record.save(checkpoint, done, state)
        return guide, -record.all()[0], svi.get_params(state)

    def count(self) -> int | None:
        """Return the number of draws."""
        return self.draws

    def inputs(self) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Say which guide, how many steps and draws."""
        return (
            f"SVI, {self.guide} normal guide, {self.steps} steps, {self.draws} draws by Pareto-smoothed importance "
            "resampling"
        )


def _chunk(update: Callable[[Any], tuple[Any, Array]]) -> Callable[[Any, Array], tuple[Any, Array]]:
    """Return the compiled function that makes at most `_CHUNK` steps and keeps their losses."""

    @jax.jit
    def advance(state: Any, length: Array) -> tuple[Any, Array]:
        def body(i, carry):
            state, losses = carry
            state, loss = update(state)
            return state, losses.at[i].set(loss)

        return jax.lax.fori_loop(0, length, body, (state, jnp.full(_CHUNK, jnp.nan)))

    return advance


def _settled(bound: np.ndarray) -> dict[str, Any]:
    """Say whether the bound still rose in the last quarter: by more than its noise, and by more than 0.1."""
    last = bound[-(len(bound) // 4) :]
    last = last[np.isfinite(last)]
    one, two = np.array_split(last, 2)
    rise = float(two.mean() - one.mean()) if len(last) > 7 else float("nan")
    error = float(np.hypot(one.std() / np.sqrt(len(one)), two.std() / np.sqrt(len(two)))) if len(last) > 7 else 0.0
    return {"elbo": float(np.mean(last)), "elbo_rise": rise, "elbo_settled": bool(rise < max(0.1, 3 * error))}
