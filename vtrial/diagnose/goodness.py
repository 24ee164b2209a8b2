"""The goodness-of-fit table: predictions, residuals and distribution errors of every observation, by NONMEM's names."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from vtrial import schema
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.diagnose.clock import time_after_dose
from vtrial.diagnose.discrete import known_quantiles
from vtrial.diagnose.limits import Limits
from vtrial.diagnose.npde import Discrepancies, discrepancies, judge
from vtrial.diagnose.residuals import Point, individual_residuals, named, point, population_residuals, subjects_of
from vtrial.likelihood import StatisticalModel
from vtrial.noise import AbstractContinuous

PREDICTION_INTERVAL = (0.05, 0.95)
"""Quantiles of the replicates between which 90 % of observations are expected."""

COLUMNS = {
    "TAD": "Time after dose, of the records",
    "PRED": "Population prediction: posterior median of the prediction with all etas 0",
    "IPRED": "Individual prediction: its posterior median",
    "RES": "DV - PRED",
    "IRES": "DV - IPRED",
    "WRES": "Weighted residual, linearised at etas 0 (FO)",
    "CWRES": "Conditional weighted residual, linearised at the posterior mean etas (FOCE with interaction)",
    "IWRES": "Individual weighted residual, (DV - IPRED) / SD, on the scale of the error",
    "NPDE": "Normalised prediction distribution error, decorrelated within subjects",
    "NPD": "Normalised prediction discrepancy",
    "PI05": "5 % quantile of replicates in new subjects",
    "PI95": "95 % quantile of replicates in new subjects",
    "CENS": "1 where the observation is only known to be below DV, -1 where above it, 0 else",
}
"""Columns of the table, each of every observation."""
_IN_UNIT = ("PRED", "IPRED", "RES", "IRES", "PI05", "PI95")


def goodness_of_fit(
    key: Key[Array, ""],
    draws: Values,
    statistical: StatisticalModel,
    data: Dataset,
    *,
    censored: Mapping[str, Limits],
    simulated: Values,
    prediction: Values,
    individual: Float[np.ndarray, " obs"],
) -> xr.Dataset:
    """Return the table, the etas it was linearised at, and what NPDE and prediction intervals say together.

    Args:
        key: random key, for the ranks of censored observations.
        draws: posterior draws, leading axis the draw.
        statistical: the fitted model.
        data: the observed data.
        censored: which observations are, by output.
        simulated: replicates [replicate obs] in new subjects, by output.
        prediction: PRED [obs] by output.
        individual: IPRED of all outputs on one long axis: the posterior median.
    """
    outputs = tuple(data.observations)
    observed = {o: np.asarray(data.observations[o].value, float) for o in outputs}
    parts = dict(zip(outputs, np.split(individual, np.cumsum([len(observed[o]) for o in outputs])[:-1]), strict=True))
    dv, pred, again = data.long(observed), data.long(prediction), data.long(simulated)
    found = point(draws, statistical, data)
    below, above = (data.long({o: getattr(censored[o], which) for o in outputs}) for which in ("below", "above"))
    unknown = below | above
    errors = _discrepancies(key, dv, again, statistical, data, censored)
    low, high = known_quantiles(again, PREDICTION_INTERVAL, axis=0)
    columns = {
        "TAD": data.long(time_after_dose(data)),
        "PRED": pred,
        "IPRED": individual,
        "RES": dv - pred,
        "IRES": dv - individual,
        **population_residuals(statistical, data, found, np.where(unknown, np.nan, dv)),
        "IWRES": data.long(individual_residuals(statistical, data, found, parts)),
        "NPDE": errors.npde,
        "NPD": errors.npd,
        "PI05": low,
        "PI95": high,
        "CENS": below.astype(int) - above.astype(int),
    }
    for name in ("RES", "IRES"):
        columns[name] = np.where(unknown, np.nan, columns[name])
    table = xr.Dataset(
        {name: (schema.OBS, columns[name], _about(name, data)) for name in COLUMNS} | _varying(data),
        {name: (schema.OBS, value) for name, value in data.coordinates().items()},
    )
    outside = np.where(unknown | np.isnan(low), np.nan, (dv < low) | (dv > high))
    return xr.merge([table, _etas(found, statistical, data), _summary(table, outside)])


def _about(name: str, data: Dataset) -> dict[str, str]:
    units = set(data.output_units.values())
    unit = data.time_unit if name == "TAD" else units.pop() if name in _IN_UNIT and len(units) == 1 else ""
    return {"long_name": COLUMNS[name], "units": unit}


def _discrepancies(
    key: Key[Array, ""],
    dv: Float[np.ndarray, " obs"],
    simulated: Float[np.ndarray, "replicate obs"],
    statistical: StatisticalModel,
    data: Dataset,
    censored: Mapping[str, Limits],
) -> Discrepancies:
    """Return NPD and NPDE, a subject's observations of all outputs taken together and by time.

    Counts, categories and events have none: ranks among few different values are not uniform.
    """
    subject, output = subjects_of(data), data.coordinates()["output"]
    continuous = [o for o, noise in statistical.noise.items() if isinstance(noise, AbstractContinuous)]
    order = np.lexsort((data.coordinates()["time"], subject))
    order = order[np.isin(output[order], continuous)]
    below, above = (data.long({o: getattr(c, side) for o, c in censored.items()}) for side in ("below", "above"))
    value = np.where(below, -np.inf, np.where(above, np.inf, dv))
    low, high = (np.array([getattr(censored[o], edge) for o in output[order]]) for edge in ("lowest", "highest"))
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    found = discrepancies(value[order], simulated[:, order], subject[order], low=low, high=high, generator=generator)
    npd, npde = np.full((2, len(dv)), np.nan)
    npd[order], npde[order] = found
    return Discrepancies(npd, npde)


def _varying(data: Dataset) -> dict[str, tuple]:
    """Return the covariates that vary within subjects, at each observation."""
    result = {}
    for name, value in data.varying.items():
        flat = np.concatenate(
            [
                np.take_along_axis(np.asarray(value)[members], np.asarray(table.sample_span), axis=1).reshape(-1)
                for table, members in zip(data.events.tables, data.events.members, strict=True)
            ]
        )
        at = {o: flat[data.events.positions(obs.subject, obs.sample)] for o, obs in data.observations.items()}
        about = {"long_name": f"Covariate {name} at the observation", "units": data.covariate_units[name]}
        result[f"covariate_{name}"] = (schema.OBS, data.long(at), about)
    return result


def _etas(found: Point, statistical: StatisticalModel, data: Dataset) -> xr.Dataset:
    """Return the posterior mean etas and OMEGA, and the kappas."""
    population, columns = statistical.population, {}
    effects, by_site = list(population.effects), named(statistical, data, jnp.asarray(found.eta))
    kinds = {"eta": (schema.ID,), "kappa": (schema.ID, schema.OCCASION)}
    for site, value in by_site.items():
        name, _, kind = site.rpartition("_")
        unit = population[name].scale.omega_unit(population[name].unit)
        about = {"long_name": f"Posterior mean {kind} of {name}", "units": unit}
        columns[f"{kind.upper()}_{name}"] = (kinds[kind], np.asarray(value), about)
    if effects:
        about = {"long_name": "OMEGA, covariance of the etas: posterior mean", "units": ""}
        both = found.omega[: len(effects), : len(effects)]
        columns["OMEGA"] = ((schema.EFFECT, schema.EFFECT_TOO), both, about)
    known = {
        schema.ID: list(data.subjects),
        schema.OCCASION: list(statistical.levels(data).occasions),
        schema.EFFECT: effects,
        schema.EFFECT_TOO: effects,
    }
    used = {dim for dims, *_ in columns.values() for dim in dims}
    return xr.Dataset(columns, {dim: values for dim, values in known.items() if dim in used})


def _summary(table: xr.Dataset, outside: Float[np.ndarray, " obs"]) -> xr.Dataset:
    """Return, by output, the tests of NPDE and the part of observations outside their 90 % prediction interval."""
    output = table["output"].to_numpy()
    names = list(dict.fromkeys(str(o) for o in output))
    verdicts = [judge(table["NPDE"].to_numpy()[output == o]) for o in names]
    known = np.isfinite(outside)
    part = [float(outside[known & (output == o)].mean()) if known[output == o].any() else np.nan for o in names]
    said = {
        "mean": "Mean of NPDE",
        "variance": "Variance of NPDE",
        "p_mean": "p-value of mean 0 (Wilcoxon signed rank)",
        "p_variance": "p-value of variance 1 (Fisher)",
        "p_normal": "p-value of normality (Shapiro-Wilk)",
        "p_global": "Global p-value: three times the least, at most 1",
    }
    columns = {
        f"npde_{field}": (schema.RESPONSE, [getattr(v, field) for v in verdicts], {"long_name": what, "units": ""})
        for field, what in said.items()
    }
    about = {"long_name": "Part of the observations outside their 90 % prediction interval", "units": ""}
    return xr.Dataset(columns | {"outside": (schema.RESPONSE, part, about)}, {schema.RESPONSE: names})
