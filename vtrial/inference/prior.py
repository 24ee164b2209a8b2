"""No data: draws from the prior, to see what a study would say before it is calibrated."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Key
from numpyro.infer import Predictive

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.inference import groups
from vtrial.inference.base import AbstractInference
from vtrial.inference.checkpoint import Checkpoint
from vtrial.likelihood import LIKELIHOOD, StatisticalModel
from vtrial.population.mixture import PROBABILITY

_CHAINS = 4
"""Independent draws are laid out as chains, so that the health checks of a fit apply to them too."""


class Prior(AbstractInference):
    """Independent draws from the prior; the observations are not used."""

    draws: int = eqx.field(static=True, default=1000)
    """Draws in each of four nominal chains."""

    def __check_init__(self):
        """Refuse no draws."""
        if self.draws < 4:
            raise UserError(f"inference.draws must be at least 4, not {self.draws}.")

    def __call__(
        self,
        key: Key[Array, ""],
        statistical: StatisticalModel,
        data: Dataset,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Mapping[str, xr.Dataset]:
        """Draw; nothing worth saving on the way."""
        sampled = Predictive(_numbers(statistical, data), num_samples=_CHAINS * self.draws)(key)
        samples = {
            name: np.asarray(value).reshape(_CHAINS, self.draws, *value.shape[1:])
            for name, value in sampled.items()
            if name != LIKELIHOOD
        }
        if (mixture := statistical.population.mixture) and not data.empty:
            flat = {site: jnp.asarray(samples[site]).reshape(-1) for site in mixture.priors()}
            share = np.exp(np.asarray(jax.vmap(mixture.log_shares)(flat))).reshape(_CHAINS, self.draws, 1, -1)
            samples[PROBABILITY] = np.broadcast_to(share, samples[PROBABILITY].shape)
        stats = groups.sample_stats({"diverging": np.zeros((_CHAINS, self.draws), bool)})
        stats.attrs["observations_used"] = 0
        posterior = groups.posterior(keys.named(key, "classes"), samples, statistical, data)
        return {schema.POSTERIOR: posterior, schema.SAMPLE_STATS: stats}

    def count(self) -> int | None:
        """Return chains times draws."""
        return _CHAINS * self.draws

    def inputs(self) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Say that no data were used."""
        return f"{_CHAINS * self.draws} independent draws from the prior (the data were not used)"


def _numbers(statistical: StatisticalModel, data: Dataset) -> Callable[[], Any]:
    """Return what is drawn: where nobody was observed, the population level alone."""
    return statistical.population_level(data) if data.empty else statistical.joint(data)
