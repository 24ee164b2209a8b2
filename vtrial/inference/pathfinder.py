"""Multi-path Pathfinder: normal approximations along quasi-Newton paths, importance resampled."""

import logging
from collections.abc import Mapping

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Key

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.inference.approximation import check_draws, resampled
from vtrial.inference.base import AbstractInference
from vtrial.inference.checkpoint import Checkpoint
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.path import best, climb
from vtrial.inference.start import starts
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)


class Pathfinder(AbstractInference):
    """A first look in seconds. Its Pareto k says whether it may stand for the posterior; for hierarchies it rarely may.

    Source: Zhang, Carpenter, Gelman and Vehtari 2022, JMLR 23(306).
    """

    paths: int = eqx.field(static=True, default=8)
    """How many paths are climbed, from different starts."""
    draws: int = eqx.field(static=True, default=1000)
    """Draws kept, with replacement."""
    candidates: int = eqx.field(static=True, default=1000)
    """Draws of each path's approximation, among which the kept ones are chosen."""
    jitter: float = eqx.field(static=True, default=0.3)
    """SD of the starting points around the prior medians, on the unconstrained scale."""

    def __check_init__(self):
        """Refuse no paths and no draws."""
        check_draws(self.draws)
        if self.paths < 1 or self.candidates < 100:
            raise UserError(
                f"Pathfinder needs paths >= 1 and candidates >= 100; got {self.paths} and {self.candidates}."
            )

    def __call__(
        self,
        key: Key[Array, ""],
        statistical: StatisticalModel,
        data: Dataset,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Mapping[str, xr.Dataset]:
        """Climb every path, and resample the draws of all; too quick to be worth saving on the way."""
        density = UnconstrainedDensity(statistical.joint(data))
        begin = starts(
            keys.named(key, "start"), density, statistical, data, chains=self.paths, kind="medians", jitter=self.jitter
        )
        vectors, target, ratio = [], [], []
        for i, x in enumerate(np.asarray(jax.vmap(density.vector)(begin))):
            random = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.fold_in(key, i))))
            path = climb(density, x)
            if (normal := best(density, path, random)) is None:
                log.info("           path %d of %d: no approximation with any density", i + 1, self.paths)
                continue
            drawn, log_q = normal.draw(random, self.candidates)
            log_p = density.log_density(drawn)
            log.info("           path %d of %d: %d steps", i + 1, self.paths, len(path.points) - 1)
            vectors.append(drawn)
            target.append(log_p)
            ratio.append(log_p - log_q)
        if not vectors or not np.isfinite(np.concatenate(target)).any():
            raise UserError("No path of Pathfinder led to an approximation; use inference=nuts or cross_chain.")
        found = resampled(
            key,
            density,
            np.concatenate(vectors),
            np.concatenate(target),
            np.concatenate(ratio),
            statistical,
            data,
            draws=self.draws,
            method="Pathfinder",
        )
        log.info("           %s", found[schema.SAMPLE_STATS].attrs["verdict"])
        return found

    def count(self) -> int | None:
        """Return the number of draws."""
        return self.draws

    def inputs(self) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Say how many paths and draws."""
        return f"Pathfinder, {self.paths} paths, {self.draws} draws by Pareto-smoothed importance resampling"
