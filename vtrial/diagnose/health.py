"""The health of a fit: convergence, effective sample size, what the data taught, and shrinkage."""

import numpy as np
import xarray as xr
from arviz_stats import bfmi, ess, rhat  # not arviz itself: its plots take seconds to import

from vtrial import schema
from vtrial.diagnose.modes import modes
from vtrial.likelihood import StatisticalModel
from vtrial.population.population import CORRELATION


def _columns(posterior: xr.Dataset, statistical: StatisticalModel) -> dict[str, np.ndarray]:
    """Return every population-level parameter as [chain draw], the correlations one by one."""
    columns = {name: posterior[name].to_numpy() for name in statistical.priors()}
    effects = statistical.population.effects
    if CORRELATION in posterior:
        correlation = posterior[CORRELATION].to_numpy()
        pairs = [(i, j) for i in range(len(effects)) for j in range(i)]
        columns |= {f"corr_{effects[j]}_{effects[i]}": correlation[..., i, j] for i, j in pairs}
    return columns


def fit_health(
    posterior: xr.Dataset, sample_stats: xr.Dataset, prior: xr.Dataset, statistical: StatisticalModel
) -> xr.Dataset:
    """Return the health group: one row a population parameter, and the sampler's totals.

    R-hat is the rank-normalised split R-hat, ESS the bulk and tail effective sample size (Vehtari et al. 2021,
    doi:10.1214/20-BA1221); E-BFMI is from Betancourt 2016, arXiv:1604.00695. `contraction` is 1 - (posterior SD / prior
    SD)^2; `shrinkage` of an omega is 1 - SD of the posterior mean etas / omega (Savic and Karlsson 2009,
    doi:10.1208/s12248-009-9133-0).
    """
    columns = _columns(posterior, statistical)
    names = list(columns)
    stacked = xr.DataArray(np.stack(list(columns.values()), -1), dims=(schema.CHAIN, schema.DRAW, schema.PARAMETER))
    flat = stacked.to_numpy().reshape(-1, len(names))
    units = statistical.units()
    low, median, high = np.quantile(flat, (0.025, 0.5, 0.975), axis=0)
    sd = flat.std(0, ddof=1)

    def row(values: np.ndarray, what: str):
        return schema.PARAMETER, np.asarray(values, float), {"long_name": what, "units": ""}

    health = xr.Dataset(
        {
            "mean": row(flat.mean(0), "Posterior mean, in the parameter's unit"),
            "sd": row(sd, "Posterior standard deviation, in the parameter's unit"),
            "median": row(median, "Posterior median, in the parameter's unit"),
            "lower": row(low, "2.5 % posterior quantile, in the parameter's unit"),
            "upper": row(high, "97.5 % posterior quantile, in the parameter's unit"),
            "r_hat": row(_statistic(rhat(stacked)), "Rank-normalised split R-hat"),
            "ess_bulk": row(_statistic(ess(stacked, method="bulk")), "Bulk effective sample size"),
            "ess_tail": row(_statistic(ess(stacked, method="tail")), "Tail effective sample size"),
            "contraction": row(_contraction(names, sd, prior), "1 - (posterior SD / prior SD)^2"),
            "shrinkage": row(_shrinkage(names, posterior), "Shrinkage of the etas (SD), of omegas only"),
        },
        {schema.PARAMETER: names, "unit": (schema.PARAMETER, [units.get(n, "") for n in names])},
    )
    found = modes(columns, sample_stats)
    health.attrs |= {"modes": found.sentence, "approximation": str(sample_stats.attrs.get("verdict", ""))}
    apart = {"modes": ((), float(found.count), {"long_name": "Modes the chains sit in", "units": ""})}
    return health.assign(_sampler(sample_stats) | apart)


def _statistic(found: xr.DataArray | xr.Dataset) -> np.ndarray:
    """Return an ArviZ statistic as an array over the parameters."""
    return (found if isinstance(found, xr.DataArray) else next(iter(found.data_vars.values()))).to_numpy()


def _contraction(names: list[str], sd: np.ndarray, prior: xr.Dataset) -> np.ndarray:
    """Return how much of the prior variance the data removed; NaN for correlations, whose prior is not sampled."""
    before = np.array([float(prior[n].std()) if n in prior else np.nan for n in names])
    return 1.0 - (sd / before) ** 2


def _shrinkage(names: list[str], posterior: xr.Dataset) -> np.ndarray:
    """Return the shrinkage of each omega's etas; NaN for other parameters."""
    found = []
    for name in names:
        eta = f"{name.removesuffix('_iiv')}_eta"
        if name.endswith("_iiv") and eta in posterior:
            spread = posterior[eta].mean((schema.CHAIN, schema.DRAW)).std(schema.SUBJECT, ddof=1)
            found.append(1.0 - float(spread) / float(posterior[name].mean()))
        else:
            found.append(np.nan)
    return np.array(found)


def _sampler(stats: xr.Dataset) -> dict[str, tuple]:
    """Return the totals of the sampler; statistics a method does not have are NaN."""
    depth = stats.attrs.get("max_tree_depth")
    full = float((stats["n_steps"] >= 2**depth - 1).sum()) if depth and "n_steps" in stats else np.nan
    energy = float(_statistic(bfmi(stats)).min()) if "energy" in stats else np.nan
    return {
        "divergences": ((), float(stats["diverging"].sum()), {"long_name": "Divergent transitions", "units": ""}),
        "tree_depth_hits": ((), full, {"long_name": "Iterations that reached the greatest tree depth", "units": ""}),
        "e_bfmi": ((), energy, {"long_name": "Least E-BFMI of any chain", "units": ""}),
        "pareto_k": (
            (),
            float(stats.attrs.get("pareto_k", np.nan)),
            {"long_name": "Pareto k of the importance weights of an approximation", "units": ""},
        ),
    }
