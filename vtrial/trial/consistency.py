"""Whether design, analysis, endpoint and covariates of a study go together."""

from collections.abc import Collection, Mapping

import jax
import numpy as np

from vtrial import schema
from vtrial.cohort import Treatment
from vtrial.design import AbstractDesign, AbstractRandomisation, spacing_of
from vtrial.endpoint import AbstractEndpoint
from vtrial.errors import UserError, nearest, within
from vtrial.model import AbstractModel
from vtrial.trial.analyses import AbstractAnalysis, AbstractArmsAnalysis
from vtrial.trial.conduct import check_enrolment
from vtrial.trial.estimand import AbstractEstimand, check_estimand

_TAKEN = (
    "course_",
    "baseline_",
    "event_",
    "hypothetical_",
    "on_treatment_",
    "alive_",
    "estimand_",
    "visited_",
    "decision_",
)
"""How names of other variables of the outcomes begin."""
_DIMENSIONS = (
    *(schema.REPLICATE, schema.SUBJECT, schema.ARM, schema.VISIT, schema.PERIOD, schema.LEVEL),
    *(schema.QUANTILE, schema.LOOK, "interval", "reason", "strategy"),
)
"""Names of axes of the outcomes and of what is said of them."""


def check_endpoints(endpoints: Mapping[str, AbstractEndpoint], measured: Collection[str], model: AbstractModel) -> None:
    """Check endpoints against the model; `measured` are the outputs that have a residual error.

    Raises:
        UserError: a name is taken, an output has no residual error to measure with, a window or unit does not fit.
    """
    for name, endpoint in endpoints.items():
        with within(f"endpoints.{name}"):
            if name in ("code", "label", "until", *_DIMENSIONS) or name.startswith(_TAKEN):
                raise UserError("this name is taken in the result; choose another.")
            if endpoint.measured and endpoint.window.output not in measured:
                raise UserError(
                    f"output '{endpoint.window.output}' has no residual error to measure with; add it to noise."
                )
            endpoint.window.times(model)
            endpoint.unit(model)
            endpoint.marks(model)


def check_policies(design: AbstractDesign, measured: Collection[str], model: AbstractModel) -> None:
    """Check the policies of all arms; `measured` are the outputs that have a residual error; raises `UserError`."""
    for name, arm in zip(design.names, design.arms, strict=True):
        if arm.policy is not None:
            with within(f"design.arms.{name}"):
                arm.policy.check(model, arm.regimen, measured)


def check_trial(
    design: AbstractDesign,
    analysis: AbstractAnalysis,
    endpoints: Mapping[str, AbstractEndpoint],
    primary: str,
    model: AbstractModel,
    subjects: int,
    parameters: Collection[str],
) -> None:
    """Check all that needs no data; `parameters` are those of the population.

    Raises:
        UserError: the cohort is too small, the analysis cannot read the primary endpoint, a look has no time.
    """
    for name, arm in zip(design.names, design.arms, strict=True):
        with within(f"design.arms.{name}"):
            arm.regimen.orders(model)
            _check_factors(arm.factors, parameters)
    design.timing.check(len(design.sizes))
    check_enrolment(design, analysis, subjects)
    if isinstance(analysis, AbstractArmsAnalysis):
        analysis.check_arms(design.names)
    read = endpoints[primary]
    layout = "periods" if design.periods > 1 else read.layout
    for name in analysis.beside:
        _check_beside(name, endpoints, primary, model)
    if design.periods > 1:
        for name in (primary, *analysis.beside):
            _check_periods(design, name, endpoints[name], model)
    if layout not in analysis.layouts:
        raise UserError(
            f"The analysis reads outcomes of layout {' or '.join(analysis.layouts)}, but primary '{primary}' of this "
            f"design is of layout {layout}; choose another analysis or primary endpoint."
        )
    if analysis.binary and not read.binary:
        raise UserError(
            f"The analysis is for endpoints that are 0 or 1, but primary '{primary}' is not; use analysis=means."
        )
    for name in set(analysis.covariates()) & set(endpoints):
        if endpoints[name].layout != "value" or endpoints[name].delay(model).item() > 0:
            raise UserError(
                f"The analysis takes endpoint '{name}' as a covariate, but it is not known before the first dose; "
                "its window must be the start 0 alone."
            )


def check_course(
    course: Treatment,
    estimand: AbstractEstimand,
    design: AbstractDesign,
    endpoints: Mapping[str, AbstractEndpoint],
    primary: str,
    model: AbstractModel,
    parameters: Collection[str],
) -> None:
    """Check what may happen during treatment; `parameters` are those of the population.

    Raises:
        UserError: a consequence, a visit's window or the estimand does not fit, or a period with events is not over.
    """
    course.check(model, dict(zip(design.names, design.arms, strict=True)), parameters)
    if course.events and design.periods > 1:
        for name, endpoint in endpoints.items():
            _check_over(design, name, endpoint, model)
    for name, event in course.events.items():
        seen = [n for n, endpoint in endpoints.items() if endpoint.layout == "visits"]
        if event.endpoint is not None and event.endpoint not in seen:
            raise UserError(
                f"course.events.{name}.endpoint is '{event.endpoint}', which is no endpoint with visits. "
                f"{nearest(event.endpoint, seen)}"
            )
    if course.visits is not None:
        for name, endpoint in endpoints.items():
            if endpoint.layout == "visits":
                with within(f"endpoints.{name}"):
                    course.visits.check(endpoint.window.times(model), model)
    events = [name for name, event in course.events.items() if event.intercurrent]
    check_estimand(estimand, events, course.deadly, design.names, timed=endpoints[primary].layout == "event")


def _check_factors(factors: Mapping[str, float], parameters: Collection[str]) -> None:
    """Check what an arm changes of its patients' parameters."""
    for name, factor in factors.items():
        if name not in parameters:
            raise UserError(
                f"factors has '{name}', which is no parameter of the population. {nearest(name, parameters)}"
            )
        if not factor > 0:
            raise UserError(f"factors.{name} is {factor}; a factor is positive.")


def _check_periods(design: AbstractDesign, name: str, read: AbstractEndpoint, model: AbstractModel) -> None:
    """Check that a period is over before the next one starts."""
    if read.layout != "value":
        raise UserError(f"A design with periods needs endpoints of one number, and '{name}' has {read.layout}.")
    _check_over(design, name, read, model)


def _check_over(design: AbstractDesign, name: str, read: AbstractEndpoint, model: AbstractModel) -> None:
    """Check that an endpoint of a period is known before the next period starts."""
    if (end := float(np.max(read.delay(model)))) > spacing_of(design, model):
        raise UserError(
            f"design.spacing is {design.spacing}, but endpoint '{name}' of a period is known {end:g} {model.time} "
            "after its start; periods must not overlap."
        )


def _check_beside(name: str, endpoints: Mapping[str, AbstractEndpoint], primary: str, model: AbstractModel) -> None:
    """Check that an endpoint which the analysis reads beside the primary is one like it."""
    if name not in endpoints or name == primary:
        others = [other for other in endpoints if other != primary]
        raise UserError(
            f"The analysis reads '{name}' beside primary '{primary}', which is no other endpoint. "
            f"{nearest(name, others)}"
        )
    both = [endpoints[primary], endpoints[name]]
    layouts = [one.layout for one in both]
    if layouts[0] != layouts[1]:
        raise UserError(
            f"The analysis reads '{primary}' and '{name}' together, which are of layouts {layouts[0]} and "
            f"{layouts[1]}; make both of one layout."
        )
    times = [list(np.atleast_1d(one.window.times(model))) for one in both]
    if layouts[0] == "visits" and times[0] != times[1]:
        raise UserError(
            f"The analysis reads '{primary}' and '{name}' at the same visits; let one take the other's times: "
            f"endpoints.{name}.window.at: ${{endpoints.{primary}.window.at}}."
        )


def known_before(design: AbstractDesign, analysis: AbstractAnalysis) -> tuple[str, ...]:
    """Return the names that analysis and randomisation read of a patient before allocation."""

    def is_one(x: object) -> bool:
        return isinstance(x, AbstractRandomisation)

    found = [r for r in jax.tree.leaves(design, is_leaf=is_one) if isinstance(r, AbstractRandomisation)]
    return tuple(dict.fromkeys([*analysis.covariates(), *(name for r in found for name in r.covariates())]))


def check_known(
    design: AbstractDesign, analysis: AbstractAnalysis, endpoints: Collection[str], covariates: Collection[str]
) -> None:
    """Check that what analysis and randomisation read is there.

    Raises:
        UserError: it is neither a covariate of the data nor an endpoint.
    """
    for name in known_before(design, analysis):
        if name not in covariates and name not in endpoints:
            raise UserError(
                f"The trial reads '{name}' before allocation, which is no covariate of the data and no endpoint. "
                f"{nearest(name, [*covariates, *endpoints])}"
            )
