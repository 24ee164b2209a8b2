"""The population parameters as pharmacometricians report them."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from vtrial import schema
from vtrial.diagnose.columns import population_columns, statistics
from vtrial.likelihood import StatisticalModel
from vtrial.population import LogNormal

TYPICAL, CORRELATION, RESIDUAL = "typical value", "correlation of etas", "residual error"
VARIABILITY = {
    "_iiv": "variability between subjects",
    "_iov": "variability between occasions",
    "_study": "variability between studies",
}
"""Kinds of standard deviations of random effects, by the suffix of their sites."""
_KINDS = (TYPICAL, *VARIABILITY.values(), CORRELATION, RESIDUAL)
"""Kinds of parameters, in the order of the table."""

_WHAT = {
    "median": "Posterior median",
    "mean": "Posterior mean",
    "sd": "Posterior standard deviation, in the place of a standard error",
    "rse": "Relative standard error: 100 posterior SD / |posterior median| [%]",
    "lower": "2.5 % posterior quantile",
    "upper": "97.5 % posterior quantile",
    "mcse_median": "Monte-Carlo standard error of the median",
    "mcse_mean": "Monte-Carlo standard error of the mean",
    "mcse_sd": "Monte-Carlo standard error of the standard deviation",
    "mcse_lower": "Monte-Carlo standard error of the lower quantile",
    "mcse_upper": "Monte-Carlo standard error of the upper quantile",
    "r_hat": "Rank-normalised split R-hat",
    "ess_bulk": "Bulk effective sample size",
    "ess_tail": "Tail effective sample size",
    "shrinkage": "Shrinkage of the etas in SD [%]",
    "shrinkage_variance": "Shrinkage of the etas in variance [%]",
    "contraction": "1 - (posterior SD / prior SD)^2, of logarithms where the prior is log-normal [%]",
}


def parameter_table(
    health: xr.Dataset, posterior: xr.Dataset, prior: xr.Dataset, statistical: StatisticalModel
) -> xr.Dataset:
    """Return one row a population parameter, in the unit of its coordinate `unit`.

    The variability of a parameter on a log-normal scale, between subjects, occasions or studies, is the coefficient of
    variation 100 sqrt(exp(omega^2) - 1) in percent, draw by draw, so that its interval is that of the coefficient; of
    other parameters it is omega, a standard deviation.
    """
    columns, names = population_columns(posterior, statistical), [str(n) for n in health[schema.PARAMETER].to_numpy()]
    kinds = [_kind(name, statistical) for name in names]
    as_cv = [
        k in VARIABILITY.values() and log_normal(statistical, n.rpartition("_")[0])
        for n, k in zip(names, kinds, strict=True)
    ]
    shown = {n: coefficient_of_variation(columns[n]) if cv else columns[n] for n, cv in zip(names, as_cv, strict=True)}
    found = statistics(shown)
    with np.errstate(divide="ignore", invalid="ignore"):
        told = (found["sd"] > 0) & (np.array(kinds) != CORRELATION)  # a correlation may be about 0
        found["rse"] = np.where(told, 100 * found["sd"] / np.abs(found["median"]), np.nan)
    for name in ("shrinkage", "shrinkage_variance", "contraction"):
        found[name] = 100 * health[name].to_numpy()
    units = ["CV%" if cv else str(u) for cv, u in zip(as_cv, health["unit"].to_numpy(), strict=True)]
    order = sorted(range(len(names)), key=lambda i: _KINDS.index(kinds[i]))
    rows = {n: (schema.PARAMETER, found[n], {"long_name": what, "units": ""}) for n, what in _WHAT.items()}
    rows["fixed"] = (schema.PARAMETER, health["fixed"].to_numpy(), {"long_name": "Whether it is fixed", "units": ""})
    words = [_prior(name, prior, statistical) for name in names]
    return xr.Dataset(
        rows,
        {
            schema.PARAMETER: names,
            "kind": (schema.PARAMETER, kinds),
            "unit": (schema.PARAMETER, units),
            "prior": (schema.PARAMETER, words),
        },
    ).isel({schema.PARAMETER: order})


def coefficient_of_variation(omega: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return the coefficient of variation in percent of a log-normal variable whose logarithm has SD omega."""
    return np.asarray(100 * np.sqrt(np.expm1(np.square(omega))))


def log_normal(statistical: StatisticalModel, parameter: str) -> bool:
    """Return whether the random effects of a parameter are added to its logarithm."""
    return isinstance(statistical.population[parameter].scale, LogNormal)


def _kind(name: str, statistical: StatisticalModel) -> str:
    """Return what a population-level site is."""
    if name in statistical.noise_priors():
        return RESIDUAL
    population = statistical.population
    levels = {
        "_iiv": population.effects,
        "_iov": population.occasion_effects,
        "_study": population.study_effects,
    }
    for suffix, parameters in levels.items():
        if name.endswith(suffix) and name.removesuffix(suffix) in parameters:
            return VARIABILITY[suffix]
    return CORRELATION if name not in statistical.every_prior() else TYPICAL


def _prior(name: str, prior: xr.Dataset, statistical: StatisticalModel) -> str:
    """Say a parameter's prior; that of the correlations is one for all."""
    if name in prior:
        return str(prior[name].attrs["prior"])
    if name in statistical.every_prior():
        return statistical.every_prior()[name].describe(statistical.units()[name])
    return statistical.population.describe_correlation() if name.startswith("corr_") else ""
