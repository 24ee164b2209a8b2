"""The engine's objects as groups of result.zarr, and back: names, dimensions and units in one place."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.cohort import Cohort, Outcomes
from vtrial.cohort.outcomes import QUANTILES
from vtrial.data import Dataset
from vtrial.design import AbstractDesign
from vtrial.endpoint import AbstractEndpoint
from vtrial.model import AbstractModel, parameter_units
from vtrial.trial import Trials


def _attrs(what: str, unit: str = "") -> dict[str, str]:
    return {"long_name": what, "units": unit}


def observed(data: Dataset) -> xr.Dataset:
    """Return the observations in long form."""
    values = data.long({o: obs.value for o, obs in data.observations.items()})
    coords = {name: (schema.OBS, value) for name, value in data.coordinates().items()}
    group = xr.Dataset(
        {schema.DV: (schema.OBS, values, _attrs("Observation; its unit is in the coordinate `unit`"))}, coords
    )
    group["time"].attrs |= _attrs("Time since the subject's start", data.time_unit)
    return group


def _dose_unit(model: AbstractModel, data: Dataset) -> str:
    """Return the unit of the doses, or "" if they go into states of different units."""
    units = {list(model.states.values())[i] for i in np.unique(data.doses.state)}
    return units.pop() if len(units) == 1 else ""


def constant(data: Dataset, model: AbstractModel) -> xr.Dataset:
    """Return the covariates [subject] and the dose records [record] of the observed subjects."""
    given, amount = data.doses, _dose_unit(model, data)
    per_time = f"({amount})/({model.time})" if amount else ""
    states = np.array(list(model.states))
    columns = {
        "subject": (np.array(data.subjects)[given.subject], _attrs("Subject dosed")),
        "time": (given.time, _attrs("Time of the dose record", model.time)),
        "amount": (given.amount, _attrs("AMT, in the unit of the state dosed into", amount)),
        "state": (states[given.state], _attrs("State dosed into")),
        "rate": (given.rate, _attrs("RATE: 0 bolus or duration given, -1 and -2 modelled", per_time)),
        "duration": (given.duration, _attrs("Duration of an infusion given by it", model.time)),
        "interval": (given.interval, _attrs("II", model.time)),
        "additional": (given.additional, _attrs("ADDL: equal doses that follow")),
        "steady": (given.steady, _attrs("SS")),
        "evid": (given.evid, _attrs("EVID: 1 dose, 4 reset and dose")),
    }
    doses = {f"dose_{name}": (schema.RECORD, value, attrs) for name, (value, attrs) in columns.items()}
    covariates = {
        n: (schema.SUBJECT, v, _attrs(f"Covariate {n}", data.covariate_units[n])) for n, v in data.covariates.items()
    }
    return xr.Dataset(doses | covariates, {schema.SUBJECT: list(data.subjects)})


def cohort(found: Cohort, model: AbstractModel, known: Mapping[str, str]) -> xr.Dataset:
    """Return the virtual patients; covariates, of which `known` says the units, are prefixed `covariate_`."""
    dims = (schema.REPLICATE, schema.SUBJECT)
    units = parameter_units(model)
    parameters = {n: (dims, np.asarray(v), _attrs(f"Patient's {n}", units[n])) for n, v in found.parameters.items()}
    covariates = {
        f"covariate_{n}": (dims, np.asarray(v), _attrs(f"Covariate {n}", known.get(n, "")))
        for n, v in found.covariates.items()
    }
    draw = {
        "posterior_draw": (
            schema.REPLICATE,
            np.asarray(found.draw),
            _attrs("Posterior draw, counted over chains and draws"),
        )
    }
    replicates, subjects = next(iter(found.parameters.values())).shape
    return xr.Dataset(
        parameters | covariates | draw, {schema.REPLICATE: np.arange(replicates), schema.SUBJECT: np.arange(subjects)}
    )


def cohort_of(group: xr.Dataset, model: AbstractModel) -> Cohort:
    """Return the virtual patients of a stored group."""
    return Cohort(
        draw=jnp.asarray(group["posterior_draw"].to_numpy()),
        parameters={n: jnp.asarray(group[n].to_numpy()) for n in parameter_units(model) if n in group},
        covariates={
            str(n).removeprefix("covariate_"): jnp.asarray(group[n].to_numpy())
            for n in group
            if str(n).startswith("covariate_")
        },
    )


def _about(endpoint: AbstractEndpoint, model: AbstractModel) -> dict[str, Any]:
    """Return what a reader must know of an endpoint beside its unit."""
    return {
        "output": endpoint.window.output,
        "marks": list(endpoint.marks(model)),
        "binary": int(endpoint.binary),
    }


def outcomes(
    found: Outcomes, design: AbstractDesign, endpoints: Mapping[str, AbstractEndpoint], model: AbstractModel
) -> xr.Dataset:
    """Return the potential outcomes; courses are named `course_` and the output."""
    dims = (schema.REPLICATE, schema.SUBJECT, schema.ARM)
    values = {
        name: (
            dims,
            value,
            _attrs(endpoints[name].describe(), endpoints[name].unit(model)) | _about(endpoints[name], model),
        )
        for name, value in found.values.items()
    }
    code = {"code": (dims, found.code, _attrs("; ".join(f"{c}: {s}" for c, s in schema.RESULT_CODES.items())))}
    courses = {
        f"course_{o}": (
            (schema.REPLICATE, schema.ARM, schema.TIME, schema.QUANTILE),
            v,
            _attrs(f"Quantiles of {o} over the patients of a replicate", model.outputs[o]),
        )
        for o, v in found.course.items()
    }
    group = xr.Dataset(
        values | code | courses,
        {
            schema.REPLICATE: np.arange(found.code.shape[0]),
            schema.SUBJECT: np.arange(found.code.shape[1]),
            schema.ARM: list(design.names),
            "label": (schema.ARM, [arm.describe() for arm in design.arms]),
            schema.TIME: found.time,
            schema.QUANTILE: list(QUANTILES),
        },
    )
    group[schema.TIME].attrs |= _attrs("Time since the first dose", model.time)
    return group


def trial(found: Trials, names: tuple[str, ...], unit: str) -> xr.Dataset:
    """Return each trial's allocation, analysis and selection; `truth` is of the patients not enrolled."""
    patients, arms = (schema.REPLICATE, "patient"), (schema.REPLICATE, schema.ARM)
    result = found.comparison
    entries = {
        "allocated": (patients, found.arm, _attrs("Arm number given to the patient; -1: never enrolled")),
        "outcome": (patients, found.outcome, _attrs("Primary endpoint seen", unit)),
        "selected": (schema.REPLICATE, found.selected, _attrs("Arm number selected; -1: none")),
        "stopped": (schema.REPLICATE, found.stopped, _attrs("Whether the design ended the trial")),
        "count": (arms, result.count, _attrs("Patients with a known outcome")),
        "estimate": (arms, result.estimate, _attrs("Estimated mean of the primary endpoint", unit)),
        "standard_error": (arms, result.error, _attrs("Standard error of the estimate", unit)),
        "difference": (arms, result.difference, _attrs("Estimated difference from the reference arm", unit)),
        "lower": (arms, result.lower, _attrs("Lower confidence limit of the difference", unit)),
        "upper": (arms, result.upper, _attrs("Upper confidence limit of the difference", unit)),
        "p_value": (arms, result.p, _attrs("Two-sided p-value of no difference")),
        "truth": (
            arms,
            found.truth,
            _attrs("Mean potential outcome of the patients not enrolled", unit),
        ),
    }
    variables = {name: (dims, np.asarray(value), attrs) for name, (dims, value, attrs) in entries.items()}
    return xr.Dataset(variables, {schema.REPLICATE: np.arange(len(found.selected)), schema.ARM: list(names)})
