"""The population level of a posterior as columns, one a parameter, and what is said of each column."""

from typing import Any

import arviz_stats.base  # not arviz itself: its plots take seconds to import
import numpy as np
import xarray as xr
from jaxtyping import Float

from vtrial import schema
from vtrial.likelihood import StatisticalModel
from vtrial.population.population import CORRELATION

type Columns = dict[str, Float[np.ndarray, "chain draw"]]

array_stats: Any = arviz_stats.base.array_stats
"""ArviZ on arrays; its annotations are narrower than what it takes."""
_TAIL = (0.05, 0.95)
"""Quantiles whose effective sample sizes are the tail ESS."""
LIMITS = (0.025, 0.975)
"""Quantiles that bound an interval."""


def population_columns(posterior: xr.Dataset, statistical: StatisticalModel) -> Columns:
    """Return every population-level parameter as [chain draw], fixed ones too, and the correlations one by one."""
    dims = (schema.CHAIN, schema.DRAW)
    columns = {name: posterior[name].transpose(*dims).to_numpy() for name in statistical.every_prior()}
    population = statistical.population
    for one, other in population.correlated_pairs() if CORRELATION in posterior else ():
        at = population.effects.index(other), population.effects.index(one)
        columns[f"corr_{one}_{other}"] = posterior[CORRELATION].to_numpy()[..., at[0], at[1]]
    return columns


def is_constant(column: Float[np.ndarray, "chain draw"]) -> bool:
    """Return whether all draws are the same number."""
    return bool(np.ptp(column) <= 1e-12 * np.abs(column).max())


def statistics(columns: Columns) -> dict[str, np.ndarray]:
    """Return estimates, errors and convergence of each column; of one that is constant, not a number but for estimates.

    R-hat is the rank-normalised split R-hat, ESS the bulk and tail effective sample size (Vehtari et al. 2021,
    doi:10.1214/20-BA1221); `mcse_*` are Monte-Carlo standard errors of what they are named after.
    """
    rows = [_one(column) for column in columns.values()]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _one(column: Float[np.ndarray, "chain draw"]) -> dict[str, float]:
    low, high = LIMITS
    found = {
        "mean": column.mean(),
        "sd": column.std(ddof=1),
        "median": np.median(column),
        "lower": np.quantile(column, low),
        "upper": np.quantile(column, high),
    }
    names = ("r_hat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_sd", "mcse_median", "mcse_lower", "mcse_upper")
    if is_constant(column):
        return {k: float(v) for k, v in found.items()} | {"sd": 0.0} | dict.fromkeys(names, np.nan)

    axes = {"chain_axis": 0, "draw_axis": 1}

    def error(method: str, prob: float | None = None) -> float:
        return float(array_stats.mcse(column, **axes, method=method, prob=prob))

    values = (
        array_stats.rhat(column, **axes),
        array_stats.ess(column, **axes, method="bulk"),
        array_stats.ess(column, **axes, method="tail", prob=_TAIL),
        error("mean"),
        error("sd"),
        error("median"),
        error("quantile", low),
        error("quantile", high),
    )
    return {k: float(v) for k, v in found.items()} | {k: float(v) for k, v in zip(names, values, strict=True)}
