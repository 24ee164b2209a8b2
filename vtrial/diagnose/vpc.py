"""The visual predictive check."""

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Key

from vtrial import schema
from vtrial.data import Dataset, Observations
from vtrial.likelihood import StatisticalModel
from vtrial.noise import AbstractContinuous

QUANTILES = (0.1, 0.5, 0.9)
"""Quantiles compared: with a dozen subjects the 5th and 95th percentile are the extremes themselves."""
INTERVAL = (0.025, 0.5, 0.975)
"""Quantiles over the replicated datasets."""


def _bins(time: np.ndarray, wanted: int) -> np.ndarray:
    """Assign each observation to one of at most `wanted` bins of equal count; equal times are never parted."""
    distinct = np.unique(time)
    edges = np.unique(
        np.quantile(time, np.linspace(0, 1, min(wanted, len(distinct)) + 1)[1:-1], method="closest_observation")
    )
    return np.searchsorted(edges, time, side="left")


def visual_predictive_check(
    key: Key[Array, ""],
    draws: dict[str, np.ndarray],
    statistical: StatisticalModel,
    data: Dataset,
    *,
    replicates: int,
    bins: int,
) -> xr.Dataset:
    """Compare quantiles of the data, bin by bin, with those of datasets replicated with new subjects.

    Each replicate takes one posterior draw, new etas for subjects with the observed doses, covariates and sampling
    times, and residual error. Values beyond a limit of quantification of the data are set to it, observed and simulated
    ones alike. Source: Bergstrand et al. 2011, doi:10.1208/s12248-011-9255-z.

    Args:
        key: random key.
        draws: posterior draws, leading axis the draw.
        statistical: the fitted model.
        data: the observed data.
        replicates: how many replicated datasets.
        bins: how many time bins, of equal count as far as ties allow.
    """
    count = len(next(iter(draws.values())))
    picked = np.linspace(0, count - 1, min(replicates, count)).astype(int)
    chosen = {name: jnp.asarray(value[picked]) for name, value in draws.items()}

    @jax.jit
    def one(arguments):
        number, draw = arguments
        mine = jax.random.fold_in(key, number)
        patients = statistical.new_subjects(jax.random.fold_in(mine, 0), draw, data)
        return statistical.replicate(jax.random.fold_in(mine, 1), patients, draw, data)

    simulated = jax.lax.map(one, (jnp.arange(len(picked)), chosen), batch_size=min(50, len(picked)))
    units, time = statistical.model.outputs, statistical.model.time
    parts: list[xr.Dataset] = []
    for o, obs in data.observations.items():
        limits = _limits(obs) if isinstance(statistical.noise[o], AbstractContinuous) else (-np.inf, np.inf)
        seen, made = (np.clip(values, *limits) for values in (obs.value, np.asarray(simulated[o])))
        parts.append(_one_output(o, obs.time, seen, made, units[o], time, bins))
    return reduce(xr.Dataset.merge, parts)


def _limits(seen: Observations) -> tuple[float, float]:
    """Return the limits of quantification: the highest that a value is below and the lowest that one is above.

    Beyond them the data have no quantiles, so that observed and simulated values are set to the limit alike.
    """
    low, high = seen.upper[np.isneginf(seen.lower)], seen.lower[np.isposinf(seen.upper)]
    return float(max(low, default=-np.inf)), float(min(high, default=np.inf))


def _one_output(
    output: str, at: np.ndarray, seen: np.ndarray, simulated: np.ndarray, unit: str, time_unit: str, wanted: int
) -> xr.Dataset:
    """Return the check of one output, seen [obs] at times; `simulated` is [replicate obs]."""
    member = _bins(at, wanted)
    groups = [np.flatnonzero(member == b) for b in np.unique(member)]
    observed = np.stack([np.quantile(seen[g], QUANTILES) for g in groups])
    spread = np.stack([np.quantile(simulated[:, g], QUANTILES, axis=1).T for g in groups])
    band = np.quantile(spread, INTERVAL, axis=1)
    bin_dim = f"{schema.BIN}_{output}"
    return xr.Dataset(
        {
            f"{output}_observed": (
                (bin_dim, schema.QUANTILE),
                observed,
                {"units": unit, "long_name": f"Quantiles of observed {output}"},
            ),
            f"{output}_simulated": (
                ("interval", bin_dim, schema.QUANTILE),
                band,
                {"units": unit, "long_name": f"Quantiles of replicated {output}: 2.5, 50 and 97.5 % over replicates"},
            ),
            f"{output}_time": (
                bin_dim,
                np.array([np.median(at[g]) for g in groups]),
                {"units": time_unit, "long_name": "Median time of the bin"},
            ),
            f"{output}_count": (
                bin_dim,
                np.array([len(g) for g in groups]),
                {"units": "", "long_name": "Observations in the bin"},
            ),
        },
        {schema.QUANTILE: list(QUANTILES), "interval": list(INTERVAL)},
    )
