"""The health of a fit: convergence, effective sample size, what the data taught, and shrinkage."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.diagnose.columns import Columns, array_stats, is_constant, population_columns, statistics
from vtrial.diagnose.modes import modes
from vtrial.diagnose.sensitivity import log_prior, power_scaling
from vtrial.likelihood import StatisticalModel
from vtrial.population import LogNormalPrior

_WHAT = {
    "mean": "Posterior mean, in the parameter's unit",
    "sd": "Posterior standard deviation, in the parameter's unit",
    "median": "Posterior median, in the parameter's unit",
    "lower": "2.5 % posterior quantile, in the parameter's unit",
    "upper": "97.5 % posterior quantile, in the parameter's unit",
    "r_hat": "Rank-normalised split R-hat",
    "ess_bulk": "Bulk effective sample size",
    "ess_tail": "Tail effective sample size",
    "mcse_mean": "Monte-Carlo standard error of the mean, in the parameter's unit",
    "mcse_sd": "Monte-Carlo standard error of the standard deviation, in the parameter's unit",
    "mcse_median": "Monte-Carlo standard error of the median, in the parameter's unit",
    "mcse_lower": "Monte-Carlo standard error of the lower quantile, in the parameter's unit",
    "mcse_upper": "Monte-Carlo standard error of the upper quantile, in the parameter's unit",
    "mcse_ratio": "Monte-Carlo standard error of the mean over the posterior standard deviation",
    "contraction": "1 - (posterior SD / prior SD)^2; of the logarithm where the prior is log-normal",
    "shrinkage": "Shrinkage of the etas in SD, of omegas only: 1 - SD / omega",
    "shrinkage_variance": "Shrinkage of the etas in variance, of omegas only: 1 - variance / omega^2",
    "prior_sensitivity": "Cumulative Jensen-Shannon distance the posterior moves when all priors are power-scaled",
    "prior_sensitivity_chance": "The same of chance alone",
    "likelihood_sensitivity": "The same when the likelihood is power-scaled",
    "likelihood_sensitivity_chance": "The same of chance alone",
}


def fit_health(
    posterior: xr.Dataset,
    sample_stats: xr.Dataset,
    prior: xr.Dataset,
    statistical: StatisticalModel,
    loo: xr.Dataset | None = None,
) -> xr.Dataset:
    """Return the health group: one row a population parameter, and the sampler's totals.

    E-BFMI is from Betancourt 2016, arXiv:1604.00695. `shrinkage` of an omega is 1 - SD of the posterior mean etas /
    omega, `shrinkage_variance` the same with variances (Savic and Karlsson 2009, doi:10.1208/s12248-009-9133-0). A
    parameter that is fixed, in posterior and prior alike, has neither convergence nor sensitivity.

    Args:
        posterior: draws.
        sample_stats: what the sampler reported.
        prior: draws before the data.
        statistical: the fitted model.
        loo: leave-one-out, for the sensitivity to the likelihood of subjects with their etas integrated out.
    """
    columns = population_columns(posterior, statistical)
    names, units = list(columns), statistical.units()
    found = statistics(columns)
    fixed = np.array([is_constant(c) and (n not in prior or not prior[n].std() > 0) for n, c in columns.items()])
    with np.errstate(divide="ignore", invalid="ignore"):
        found["mcse_ratio"] = found["mcse_mean"] / found["sd"]
    found["contraction"] = _contraction(columns, prior, statistical)
    found["shrinkage"] = _shrinkage(names, posterior)
    found["shrinkage_variance"] = 1.0 - (1.0 - found["shrinkage"]) ** 2
    found |= _sensitivity(columns, posterior, sample_stats, statistical, loo)
    rows = {n: (schema.PARAMETER, np.asarray(v, float), {"long_name": _WHAT[n], "units": ""}) for n, v in found.items()}
    rows["fixed"] = (schema.PARAMETER, fixed, {"long_name": "Whether the parameter is fixed", "units": ""})
    coords = {schema.PARAMETER: names, "unit": (schema.PARAMETER, [units.get(n, "") for n in names])}
    health = xr.Dataset(rows, coords).assign(_sampler(sample_stats))
    apart = modes(columns, sample_stats)
    count = float("nan") if independent(sample_stats) else float(apart.count)
    health["modes"] = ((), count, {"long_name": "Modes the chains sit in", "units": ""})
    return health.assign_attrs(
        independent=int(independent(sample_stats)),
        observations_used=int(sample_stats.attrs.get("observations_used", 1)),
        modes="" if independent(sample_stats) else apart.sentence,
        approximation=str(sample_stats.attrs.get("verdict", "")),
    )


def independent(sample_stats: xr.Dataset) -> bool:
    """Return whether draws are independent, so that there are no chains to compare: prior draws and approximations."""
    return "pareto_k" in sample_stats.attrs or not sample_stats.attrs.get("observations_used", 1)


def _contraction(columns: Columns, prior: xr.Dataset, statistical: StatisticalModel) -> np.ndarray:
    """Return how much of the prior variance the data removed; not a number where no prior is known or one is fixed.

    A log-normal prior is judged by logarithms: the SD of what is skewed goes with its median, so that a posterior at
    larger values would seem wider than the prior.
    """
    found, priors = [], statistical.every_prior()
    for name, column in columns.items():
        before = prior[name].to_numpy() if name in prior else np.zeros(1)
        if isinstance(priors.get(name), LogNormalPrior):
            before, column = np.log(before), np.log(column)
        width = float(before.std())
        found.append(1.0 - (float(column.std(ddof=1)) / width) ** 2 if width > 0 else np.nan)
    return np.array(found)


def _shrinkage(names: list[str], posterior: xr.Dataset) -> np.ndarray:
    """Return the shrinkage of each omega's etas in SD; not a number for other parameters."""
    found = []
    for name in names:
        eta = f"{name.removesuffix('_iiv')}_eta"
        if name.endswith("_iiv") and eta in posterior and float(posterior[name].mean()) > 0:
            spread = posterior[eta].mean((schema.CHAIN, schema.DRAW)).std(schema.SUBJECT, ddof=1)
            found.append(1.0 - float(spread) / float(posterior[name].mean()))
        else:
            found.append(np.nan)
    return np.array(found)


def _sensitivity(
    columns: Columns,
    posterior: xr.Dataset,
    sample_stats: xr.Dataset,
    statistical: StatisticalModel,
    loo: xr.Dataset | None,
) -> dict[str, np.ndarray]:
    """Return how far each posterior moves with prior and likelihood, and by chance; not a number where not known."""
    varies = [i for i, column in enumerate(columns.values()) if not is_constant(column)]
    names = ("prior_sensitivity", "likelihood_sensitivity")
    found = {f"{name}{tail}": np.full(len(columns), np.nan) for name in names for tail in ("", "_chance")}
    if not varies or not sample_stats.attrs.get("observations_used", 1):
        return found
    stacked = np.stack(list(columns.values()), -1)[..., varies]
    densities = {"prior_sensitivity": (stacked, log_prior(posterior, statistical))}
    if loo is not None and "log_likelihood" in loo:
        kept = loo[schema.KEPT].to_numpy()
        # With the etas integrated out: given etas, the likelihood varies so much that chance hides the rest.
        densities["likelihood_sensitivity"] = (stacked[:, kept], loo["log_likelihood"].to_numpy().sum(-1))
    for name, (values, density) in densities.items():
        if np.isfinite(density).all():
            found[name][varies], found[f"{name}_chance"][varies] = power_scaling(values, density)
    return found


def _sampler(stats: xr.Dataset) -> Mapping[str, tuple]:
    """Return the totals of the sampler; statistics a method does not have are not numbers."""
    depth = stats.attrs.get("max_tree_depth")
    full = float((stats["n_steps"] >= 2**depth - 1).mean()) if depth and "n_steps" in stats else np.nan
    energy, low = np.nan, -1
    if "energy" in stats:
        by_chain = np.atleast_1d(array_stats.bfmi(stats["energy"].to_numpy(), chain_axis=0, draw_axis=1))
        energy, low = float(by_chain.min()), int(by_chain.argmin())
    diverging = stats["diverging"].to_numpy() if "diverging" in stats else None
    count = np.nan if diverging is None else float(diverging.sum())
    draws = np.nan if diverging is None else float(diverging.size)
    worst = -1 if not count > 0 or diverging is None else int(diverging.sum(-1).argmax())

    def total(value: float, what: str) -> tuple:
        return (), value, {"long_name": what, "units": ""}

    return {
        "iterations": total(draws, "Draws of all chains"),
        "divergences": total(count, "Divergent transitions"),
        "divergences_chain": total(worst, "Chain with most of them; -1: none"),
        "tree_depth_share": total(full, "Share of iterations that reached the greatest tree depth"),
        "e_bfmi": total(energy, "Least E-BFMI of any chain"),
        "e_bfmi_chain": total(low, "Chain with the least E-BFMI; -1: none"),
        "pareto_k": total(float(stats.attrs.get("pareto_k", np.nan)), "Pareto k of the approximation"),
    }
