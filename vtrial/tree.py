"""The engine's objects as groups of result.zarr, and back: names, dimensions and units in one place."""

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.cohort import HYPOTHETICAL, LEDGER, Cohort, Outcomes, Treatment, World, fates
from vtrial.cohort.outcomes import MOMENTS, QUANTILES
from vtrial.data import Dataset
from vtrial.design import AbstractDesign, Corrected, starts_of
from vtrial.endpoint import AbstractEndpoint
from vtrial.model import AbstractModel, parameter_units
from vtrial.trial import SCORE, Trials, decompose
from vtrial.trial.variance import LEVELS


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
    columns |= {
        f"covariate_{n}": (value, _attrs(f"Covariate {n} at the dose", data.covariate_units[n]))
        for n, value in data.varying_at_doses().items()
    }
    doses = {f"dose_{name}": (schema.RECORD, value, attrs) for name, (value, attrs) in columns.items()}
    covariates = {
        n: (schema.SUBJECT, v, _attrs(f"Covariate {n}", data.covariate_units[n])) for n, v in data.covariates.items()
    }
    return xr.Dataset(doses | covariates, {schema.SUBJECT: list(data.subjects)})


def cohort(
    found: Cohort, model: AbstractModel, known: Mapping[str, str], facts: Mapping[str, float] | None = None
) -> xr.Dataset:
    """Return the virtual patients; covariates, of which `known` says the units, are prefixed `covariate_`.

    `facts` are what their source tells, such as the share that fulfils criteria.
    """
    dims = (schema.REPLICATE, schema.SUBJECT)
    units = parameter_units(model)
    several = dims if next(iter(found.parameters.values())).ndim == 2 else (*dims, schema.PERIOD)
    parameters = {n: (several, np.asarray(v), _attrs(f"Patient's {n}", units[n])) for n, v in found.parameters.items()}
    covariates = {
        f"covariate_{n}": (dims, np.asarray(v), _attrs(f"Covariate {n}", known.get(n, "")))
        for n, v in found.covariates.items()
    }
    draw = {
        "posterior_draw": (
            schema.REPLICATE,
            np.asarray(found.draw),
            _attrs("Posterior draw, counted over chains and draws; -1 the posterior mean"),
        )
    }
    replicates, subjects, *_ = next(iter(found.parameters.values())).shape
    return xr.Dataset(
        parameters | covariates | draw,
        {schema.REPLICATE: np.arange(replicates), schema.SUBJECT: np.arange(subjects)},
        dict(facts or {}),
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


def _rest(name: str, layout: str, periods: int) -> tuple[str, ...]:
    """Return the dimensions an endpoint has beside replicate, subject and arm."""
    return ((schema.PERIOD,) if periods > 1 else ()) + ((f"{name}_{schema.VISIT}",) if layout == "visits" else ())


def outcomes(
    found: Outcomes,
    patients: Cohort,
    design: AbstractDesign,
    endpoints: Mapping[str, AbstractEndpoint],
    model: AbstractModel,
    course: Treatment,
    world: World | None = None,
) -> xr.Dataset:
    """Return the potential outcomes; courses are named `course_` and the output, covariates `baseline_`."""
    dims = (schema.REPLICATE, schema.SUBJECT, schema.ARM)
    values, visits, moments = {}, {}, {}
    for name, value in found.values.items():
        endpoint = endpoints[name]
        attrs = _attrs(endpoint.describe(), endpoint.unit(model)) | _about(endpoint, model)
        rest = _rest(name, endpoint.layout, design.periods)
        values[name] = ((*dims, *rest), value, attrs)
        about = _attrs(f"Moments of {name} over the patients of a replicate, of a moment's own unit")
        moments[f"{name}_moments"] = ((schema.REPLICATE, schema.ARM, *rest, schema.MOMENT), found.moments[name], about)
        if endpoint.layout == "visits":
            time = endpoint.window.times(model)
            visits[f"{name}_{schema.VISIT}"] = (f"{name}_{schema.VISIT}", time, _attrs("Time of visit", model.time))
    code = {"code": (dims, found.code, _attrs("; ".join(f"{c}: {s}" for c, s in schema.RESULT_CODES.items())))}
    courses = {
        f"course_{o}": (
            (schema.REPLICATE, schema.ARM, schema.TIME, schema.QUANTILE),
            v,
            _attrs(f"Quantiles of {o} over the patients of a replicate", model.outputs[o]),
        )
        for o, v in found.course.items()
    }
    baseline = {
        f"baseline_{n}": (dims[:2], np.asarray(v), _attrs(f"Covariate {n}, known before allocation"))
        for n, v in patients.covariates.items()
    }
    since = "entry" if design.periods == 1 else "the start of the period"
    told, decisions = fates(endpoints, course, world, since=since), _decisions(found, design, model, dims)
    fate = _fate(found, told, design, endpoints, course, model)
    group = xr.Dataset(
        values | code | courses | fate | decisions | baseline | moments,
        visits
        | {
            schema.REPLICATE: np.arange(found.code.shape[0]),
            schema.SUBJECT: np.arange(found.code.shape[1]),
            schema.ARM: list(design.names),
            "label": (schema.ARM, [arm.describe() for arm in design.arms]),
            schema.TIME: found.time,
            schema.QUANTILE: list(QUANTILES),
            schema.MOMENT: list(MOMENTS),
        }
        | _periods(design, model)
        | _decision_times(found, design, model),
    )
    group[schema.TIME].attrs |= _attrs("Time since the first dose", model.time)
    return group


def with_score(table: xr.Dataset, score: np.ndarray) -> xr.Dataset:
    """Return the outcomes with the twin's score [replicate patient] of those who may enrol; of the others it is NaN."""
    whole = np.full((table.sizes[schema.REPLICATE], table.sizes[schema.SUBJECT]), np.nan)
    whole[:, : score.shape[1]] = score
    about = _attrs("The twin's prediction of the primary endpoint under the reference, known before allocation")
    return table.assign({f"baseline_{SCORE}": ((schema.REPLICATE, schema.SUBJECT), whole, about)})


_FATES = ("hypothetical_", "on_treatment_", "alive_", "visited_", "estimand_")
"""How names begin of what there is of every endpoint."""


def _fate(
    found: Outcomes,
    told: Mapping[str, str],
    design: AbstractDesign,
    endpoints: Mapping[str, AbstractEndpoint],
    course: Treatment,
    model: AbstractModel,
) -> dict[str, Any]:
    """Return what happened to patients during treatment, as variables."""
    entries = {}
    for name, value in found.fate.items():
        endpoint = next((name.removeprefix(p) for p in _FATES if name.startswith(p)), "")
        rest, attrs = (schema.PERIOD,) if design.periods > 1 else (), _attrs(told[name], model.time)
        if endpoint in endpoints:
            rest = _rest(endpoint, endpoints[endpoint].layout, design.periods)
            if not name.startswith("visited_"):
                attrs["units"] = endpoints[endpoint].unit(model)
        if (event := course.events.get(name.removeprefix("event_"))) is not None:
            kinds = {"changes": event.changes, "intercurrent": event.intercurrent, "leaves": event.leaves}
            kinds |= {"dies": event.dies, "finishes": event.finishes}
            attrs |= {kind: int(so) for kind, so in kinds.items()}
        entries[name] = ((schema.REPLICATE, schema.SUBJECT, schema.ARM, *rest), value, attrs)
    return entries


def _periods(design: AbstractDesign, model: AbstractModel) -> dict[str, Any]:
    """Return when periods start, as coordinates; none of a design without."""
    if design.periods == 1:
        return {}
    about = _attrs("Time since entry at which the period starts", model.time)
    return {
        schema.PERIOD: np.arange(1, design.periods + 1),
        f"{schema.PERIOD}_start": (schema.PERIOD, starts_of(design, model), about),
    }


def _decisions(found: Outcomes, design: AbstractDesign, model: AbstractModel, dims: tuple[str, ...]) -> dict[str, Any]:
    """Return the ledger of the decisions that adapted doses, as variables."""
    if not found.ledger:
        return {}
    seen = {arm.policy.monitor.unit(model) for arm in design.arms if arm.policy is not None}
    units = {"observed": seen.pop() if len(seen) == 1 else ""}
    rest = ((schema.PERIOD,) if design.periods > 1 else ()) + (schema.DECISION,)
    entries = {}
    for name, value in found.ledger.items():
        own = name.removeprefix(HYPOTHETICAL)
        said = LEDGER[own] + ("" if own == name else "; if nothing happened that ends treatment")
        entries[f"decision_{name}"] = ((*dims, *rest), value, _attrs(said, units.get(own, "")))
    return entries


def _decision_times(found: Outcomes, design: AbstractDesign, model: AbstractModel) -> dict[str, Any]:
    """Return when each decision was made in each arm, and by which output, as coordinates."""
    if not found.ledger:
        return {}
    policies, count = [arm.policy for arm in design.arms], next(iter(found.ledger.values())).shape[-1]
    entries: dict[str, Any] = {schema.DECISION: np.arange(1, count + 1)}
    for name, what in (("time", "Time of the sample of a decision"), ("effective", "Time from which doses follow it")):
        times = np.full((len(policies), count), np.nan)
        for row, policy in zip(times, policies, strict=True):
            if policy is not None:
                own = policy.monitor.times(model) if name == "time" else policy.monitor.effective(model)
                row[: len(own)] = own
        entries[f"decision_{name}"] = ((schema.ARM, schema.DECISION), times, _attrs(what, model.time))
    outputs = ["" if policy is None else policy.monitor.output for policy in policies]
    return entries | {"decision_output": (schema.ARM, outputs, _attrs("Output that the policy of the arm sees"))}


def variance(outcomes: xr.Dataset, names: Collection[str]) -> xr.Dataset:
    """Return the variance of each endpoint by level, from the moments of the outcomes."""
    entries = {}
    for name in names:
        table = outcomes[f"{name}_moments"]
        found = decompose(*(table.sel({schema.MOMENT: moment}).to_numpy() for moment in MOMENTS))
        dims = tuple(str(d) for d in table.dims if d not in (schema.REPLICATE, schema.MOMENT))
        unit = outcomes[name].attrs["units"]
        unit = f"({unit})^2" if unit else ""
        for what, part, error, own in (
            ("variance by level", found.component, found.component_error, (schema.LEVEL, *dims)),
            ("total variance", found.total, found.total_error, dims),
        ):
            key = name if own[0] == schema.LEVEL else f"{name}_total"
            entries[key] = (own, part, _attrs(f"{name}, {what}", unit))
            entries[f"{key}_mcse"] = (own, error, _attrs(f"Monte-Carlo standard error of {name}, {what}", unit))
    coords = {str(c): v for c, v in outcomes.coords.items() if str(c) not in (schema.REPLICATE, schema.MOMENT)}
    kept = {c: v for c, v in coords.items() if set(v.dims) <= {d for dims, *_ in entries.values() for d in dims}}
    return xr.Dataset(entries, {schema.LEVEL: list(LEVELS)} | kept)


def trial(
    found: Trials,
    corrected: Corrected | None,
    design: AbstractDesign,
    endpoints: tuple[str, ...],
    units: Mapping[str, str],
) -> xr.Dataset:
    """Return each trial's allocation, analysis and selection; `truth` is of the patients not enrolled.

    Args:
        found: the trials.
        corrected: their estimates corrected for looks and selection, if there are such.
        design: of the trials.
        endpoints: names of those that the analysis reads, the primary first; of several outcomes have a last axis.
        units: of level, effect and time.
    """
    arms, each = (schema.REPLICATE, schema.ARM), (schema.REPLICATE,)
    people = (schema.REPLICATE, "patient")
    result, level, effect = found.comparison, units["level"], units["effect"]
    codes = "; ".join(f"{c}: {s}" for c, s in schema.ANALYSIS_CODES.items())
    reasons = "; ".join(f"{c}: {s}" for c, s in schema.STOP_REASONS.items())
    periods = (schema.PERIOD,) if design.periods > 1 else ()
    several = (schema.ENDPOINT,) if len(endpoints) > 1 else ()
    visits = (schema.VISIT,) if found.outcome.ndim > 2 + len(periods + several) else ()
    rest = periods + visits + several
    entries = {
        "allocated": (people + periods, found.arm, _attrs("Arm number given to the patient; -1: never enrolled")),
        "outcome": (people + rest, found.outcome, _attrs("Primary endpoint seen; of several, each by name", level)),
        "event": (people + rest, found.event, _attrs("Whether the outcome is the time of an event; others: is known")),
        "entered": (people, found.entered, _attrs("Calendar time of enrolment", units["time"])),
        "selected": (each, found.selected, _attrs("Arm number selected; -1: none")),
        "stopped": (each, found.stopped, _attrs("Whether the design ended the trial")),
        "rejected": (arms, found.rejected, _attrs("Whether the trial claims an effect of the arm")),
        "reason": (each, found.reason, _attrs(f"Why the trial ended; {reasons}")),
        "look": (each, np.asarray(found.look) + 1, _attrs("Number of the last look")),
        "duration": (each, found.duration, _attrs("Calendar time of the last look", units["time"])),
        "count": (arms, result.count, _attrs("Patients analysed")),
        "estimate": (arms, result.estimate, _attrs("Estimated level of the primary endpoint", level)),
        "standard_error": (arms, result.error, _attrs("Standard error of the estimate", level)),
        "difference": (arms, result.difference, _attrs("Estimated effect against the reference arm", effect)),
        "lower": (arms, result.lower, _attrs("Lower confidence limit of the effect", effect)),
        "upper": (arms, result.upper, _attrs("Upper confidence limit of the effect", effect)),
        "p_value": (arms, result.p, _attrs("Two-sided p-value of no effect")),
        "statistic": (arms, result.statistic, _attrs("Standard-normal equivalent of the test statistic")),
        "code": (arms, result.code, _attrs(f"Why an arm could not be analysed; {codes}")),
        "truth": (arms, found.truth, _attrs("True level of the primary endpoint, in patients not enrolled", level)),
        "effect": (arms, found.effect, _attrs("True effect against the reference, likewise", effect)),
        "pursued": (
            arms,
            found.pursued,
            _attrs("The same over the follow-up the trial had, which it tends to", effect),
        ),
    }
    entries |= _corrected(corrected, effect)
    variables = {name: (dims, np.asarray(value), attrs) for name, (dims, value, attrs) in entries.items()}
    coords = {schema.REPLICATE: np.arange(len(found.selected)), schema.ARM: list(design.names)}
    return xr.Dataset(variables, coords | ({schema.ENDPOINT: list(endpoints)} if several else {}))


def _corrected(corrected: Corrected | None, unit: str) -> dict[str, tuple]:
    """Return the entries of estimates corrected for looks and selection; none where there are no such."""
    if corrected is None:
        return {}
    what, dims = "corrected for looks and selection", (schema.REPLICATE, schema.ARM)
    return {
        "difference_corrected": (dims, corrected.difference, _attrs(f"Estimated effect, {what}", unit)),
        "lower_corrected": (dims, corrected.lower, _attrs(f"Lower confidence limit, {what}", unit)),
        "upper_corrected": (dims, corrected.upper, _attrs(f"Upper confidence limit, {what}", unit)),
    }
