"""The goodness-of-fit table: predictions, residuals and distribution errors of every observation, by NONMEM's names."""

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from vtrial import schema
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.diagnose.clock import time_after_dose
from vtrial.diagnose.discrete import known_quantiles
from vtrial.diagnose.limits import limits
from vtrial.diagnose.npde import Discrepancies, discrepancies, judge
from vtrial.diagnose.residuals import Point, individual_residuals, point, population_residuals, subjects_of
from vtrial.likelihood import StatisticalModel

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
    "IWRES": "Individual weighted residual, (DV - IPRED) / SD",
    "NPDE": "Normalised prediction distribution error, decorrelated within subjects",
    "NPD": "Normalised prediction discrepancy",
    "PI05": "5 % quantile of replicates in new subjects",
    "PI95": "95 % quantile of replicates in new subjects",
    "CENS": "1 where the observation is below its limit of quantification",
}
"""Columns of the table, each of every observation."""
_IN_UNIT = ("PRED", "IPRED", "RES", "IRES", "PI05", "PI95")


def goodness_of_fit(
    key: Key[Array, ""],
    draws: Values,
    statistical: StatisticalModel,
    data: Dataset,
    *,
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
        simulated: replicates [replicate obs] in new subjects, by output.
        prediction: PRED [obs] by output.
        individual: IPRED of all outputs on one long axis: the posterior median.
    """
    outputs, subject = tuple(data.observations), subjects_of(data)
    observed = {o: np.asarray(data.observations[o].value, float) for o in outputs}
    parts = dict(zip(outputs, np.split(individual, np.cumsum([len(observed[o]) for o in outputs])[:-1]), strict=True))
    dv, pred, again = data.long(observed), data.long(prediction), data.long(simulated)
    found = point(draws, statistical)
    below = data.long({o: limits(data, o).below for o in outputs})
    errors = _discrepancies(key, dv, again, subject, data, below)
    low, high = known_quantiles(again, PREDICTION_INTERVAL, axis=0)
    columns = {
        "TAD": data.long(time_after_dose(data)),
        "PRED": pred,
        "IPRED": individual,
        "RES": dv - pred,
        "IRES": dv - individual,
        **population_residuals(statistical, data, found, np.where(below, np.nan, dv)),
        "IWRES": data.long(individual_residuals(statistical, data, found, observed, parts)),
        "NPDE": errors.npde,
        "NPD": errors.npd,
        "PI05": low,
        "PI95": high,
        "CENS": below.astype(int),
    }
    for name in ("RES", "IRES", "IWRES"):
        columns[name] = np.where(below, np.nan, columns[name])
    table = xr.Dataset(
        {name: (schema.OBS, columns[name], _about(name, data)) for name in COLUMNS} | _varying(data),
        {name: (schema.OBS, value) for name, value in data.coordinates().items()},
    )
    outside = np.where(below | np.isnan(low), np.nan, (dv < low) | (dv > high))
    return xr.merge([table, _etas(found, statistical, data), _summary(table, outside)])


def _about(name: str, data: Dataset) -> dict[str, str]:
    units = set(data.output_units.values())
    unit = data.time_unit if name == "TAD" else units.pop() if name in _IN_UNIT and len(units) == 1 else ""
    return {"long_name": COLUMNS[name], "units": unit}


def _discrepancies(
    key: Key[Array, ""],
    dv: Float[np.ndarray, " obs"],
    simulated: Float[np.ndarray, "replicate obs"],
    subject: np.ndarray,
    data: Dataset,
    below: np.ndarray,
) -> Discrepancies:
    """Return NPD and NPDE, a subject's observations of all outputs taken together and by time."""
    order = np.lexsort((data.coordinates()["time"], subject))
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    found = discrepancies(dv[order], simulated[:, order], subject[order], below=below[order], generator=generator)
    back = np.argsort(order)
    return Discrepancies(found.npd[back], found.npde[back])


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
    """Return the posterior mean etas and OMEGA."""
    effects = list(statistical.population.effects)
    omega = {"long_name": "OMEGA, covariance of the etas: posterior mean", "units": ""}
    columns = {
        f"ETA_{name}": (
            schema.ID,
            found.eta[:, i],
            {"long_name": f"Posterior mean eta of {name}", "units": ""},
        )
        for i, name in enumerate(effects)
    }
    if not effects:
        return xr.Dataset()
    return xr.Dataset(
        columns | {"OMEGA": ((schema.EFFECT, schema.EFFECT_TOO), found.omega, omega)},
        {schema.ID: list(data.subjects), schema.EFFECT: effects, schema.EFFECT_TOO: effects},
    )


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
