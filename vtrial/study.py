"""The study: what the YAML builds, checked as far as no data are needed."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np

from vtrial import diagnose
from vtrial._types import Values
from vtrial.cohort import (
    Recruitment,
    Treatment,
    check_source,
    kept_units,
    needed,
    preview,
)
from vtrial.data import AbstractData, Dataset
from vtrial.design import AbstractDesign, starts_of
from vtrial.dosing import AbstractRegimen, check_limits
from vtrial.endpoint import AbstractEndpoint
from vtrial.errors import UserError, nearest, within
from vtrial.inference import AbstractInference, Prior
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel, check_equations
from vtrial.noise import AbstractNoise, check_outputs, with_floor
from vtrial.population import Population, check_observed, check_virtual
from vtrial.solve import AbstractSolver
from vtrial.trial import (
    SCORE,
    AbstractAnalysis,
    AbstractDecision,
    AbstractEnrolment,
    AbstractEstimand,
    AbstractObjective,
    AtOnce,
    Clock,
    Greatest,
    OutcomeLink,
    Prognosis,
    Rules,
    TreatmentPolicy,
    check_course,
    check_endpoints,
    check_known,
    check_policies,
    check_trial,
)


class Study(eqx.Module):
    """A question, and everything needed to answer it. The constructor is the schema of a study file."""

    question: str = eqx.field(static=True)
    """What is asked, in one or two sentences."""
    context_of_use: str = eqx.field(static=True)
    """What the answer is for, and what it is not for."""
    seed: int = eqx.field(static=True)
    """All randomness follows from it."""
    model: AbstractModel
    data: AbstractData
    population: Population
    noise: Mapping[str, AbstractNoise]
    """Residual error of each observed output."""
    solver: AbstractSolver
    inference: AbstractInference
    gate: diagnose.Gate
    cohort: Recruitment
    design: AbstractDesign
    endpoints: Mapping[str, AbstractEndpoint]
    """By name."""
    primary: str = eqx.field(static=True)
    """The endpoint that decides."""
    analysis: AbstractAnalysis
    decision: AbstractDecision
    objective: AbstractObjective = eqx.field(default_factory=Greatest)
    """Which arm is the one to find."""
    enrolment: AbstractEnrolment = eqx.field(default_factory=AtOnce)
    """When patients arrive."""
    course: Treatment = eqx.field(default_factory=Treatment)
    """What may happen to patients during treatment."""
    estimand: AbstractEstimand = eqx.field(default_factory=TreatmentPolicy)
    """How the estimand takes it."""
    prognosis: Prognosis | None = None
    """The twin's prognostic score, which trials know of each patient as covariate `prognosis`; left out, none."""
    links: Mapping[str, OutcomeLink] = eqx.field(default_factory=dict)
    """Outcomes of larger trials whose risk follows from the effect on an endpoint, by name."""
    loo: diagnose.LeaveOneOut = eqx.field(default_factory=diagnose.LeaveOneOut)
    """Leave-one-out, by subject and by observation."""
    vpc: diagnose.VisualCheck = eqx.field(default_factory=diagnose.VisualCheck)
    """The visual predictive check."""

    def __check_init__(self):
        """Check everything that needs no data: names, units, windows, doses.

        Raises:
            UserError: at the first thing that does not fit.
        """
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed must be an integer from 0 to 2^63 - 1, not {self.seed}.")
        check_equations(self.model, self.population.for_model(self.model).typical())
        check_outputs(self.noise, self.model)
        if not self.endpoints:
            raise UserError("endpoints is empty; a trial needs at least one, for example endpoints.cmax.")
        if self.primary not in self.endpoints:
            raise UserError(
                f"primary is '{self.primary}', which is no endpoint. {nearest(self.primary, self.endpoints)}"
            )
        names = self.population.for_model(self.model).names
        check_endpoints(self.endpoints, self.noise, self.model)
        check_policies(self.design, self.noise, self.model)
        check_trial(self.design, self.analysis, self.endpoints, self.primary, self.model, self.cohort.subjects, names)
        if self.prognosis is not None:
            if self.analysis.beside:
                raise UserError(
                    "The twin's score predicts one endpoint, but the analysis reads several; leave prognosis out."
                )
            self.prognosis.check(self.design, self.endpoints, self.model, names)
        elif SCORE in self.analysis.covariates():
            raise UserError(f"The analysis reads '{SCORE}', the twin's score, but there is none; add prognosis=twin.")
        check_course(self.course, self.estimand, self.design, self.endpoints, self.primary, self.model, names)
        for name, link in self.links.items():
            with within(f"links.{name}"):
                link.check(self.endpoints, self.design, self.model)
        if (draws := self.inference.count()) is not None:
            self.cohort.refuse_beyond(draws)

    def statistical(self, data: Dataset) -> StatisticalModel:
        """Return the statistical model, checked against the data.

        Raises:
            UserError: a covariate or an observed output is missing, or somebody cannot be given a dose.
        """
        population, source = self.population.for_model(self.model), self.cohort.covariates
        if data.empty and not isinstance(self.inference, Prior):
            raise UserError("The study has no data, so there is nothing to fit; choose inference=prior, or give data.")
        if not data.empty:
            check_observed(population, data.covariate_units, data.every_covariate, data.subjects)
        check_source(source, data, needed(population))
        if data.empty:
            check_virtual(population, kept_units(source, data), preview(source, data))
        for key, regimen in self._regimens().items():
            with within(key):
                regimen.check_covariates(self.model, kept_units(source, data))
        patients = preview(source, data)
        check_limits((source, tuple(self._regimens().values())), patients, kept_units(source, data))
        self.check_doses(patients)
        self.course.check_covariates(kept_units(source, data))
        score = () if self.prognosis is None else (SCORE,)
        check_known(self.design, self.analysis, self.endpoints, (*kept_units(source, data), *score))
        self.vpc.check(data)
        for output in data.observations:
            if output not in self.noise:
                raise UserError(
                    f"The data observe '{output}', but noise has no residual error for it; add noise.{output}."
                )
        for output in self.noise:
            if data.empty:
                continue
            if output not in data.observations:
                raise UserError(
                    f"noise has '{output}', which the data do not observe; remove it, or add it to data.outputs."
                )
            self.noise[output].check(output, data)
        noise = {o: with_floor(one, data.observations[o]) for o, one in self.noise.items() if o in data.observations}
        return StatisticalModel(self.model, population, self.solver, {**self.noise, **noise})

    def check_doses(self, covariates: Values) -> None:
        """Check that every patient of these covariates can be given the doses of every arm.

        Raises:
            UserError: somebody's dose is nothing, negative, or no number.
        """
        for key, regimen in self._regimens().items():
            with within(key):
                regimen.check_patients(self.model, covariates)

    def _regimens(self) -> dict[str, AbstractRegimen]:
        """Return all regimens that patients may be given, by key."""
        arms = zip(self.design.names, self.design.arms, strict=True)
        return {f"design.arms.{name}": arm.regimen for name, arm in arms} | self.course.regimens()

    def rules(self) -> Rules:
        """Return what every trial follows."""
        read = [self.endpoints[name] for name in (self.primary, *self.analysis.beside)]
        delay = np.max([one.delay(self.model) for one in read], axis=0)  # of what is read together all is known at once
        start = starts_of(self.design, self.model)
        delay = delay + start if self.design.periods > 1 else delay
        if self.analysis.beside:
            delay = np.asarray(delay)[..., None]
        clock = Clock(np.asarray(delay, float), read[0].layout, start)
        return Rules(self.design, self.analysis, self.objective, self.enrolment, clock, self.model.time)

    def words(self) -> dict[str, Any]:
        """Return what people read about the study's plan, for the root attributes of the result."""
        return {
            "question": self.question,
            "context_of_use": self.context_of_use,
            "decision_rule": self.decision.rule(),
            "inference": self.inference.describe(),
            "cohort": self.cohort.describe(),
            "design": self.design.describe(),
            "arms": {n: arm.describe() for n, arm in zip(self.design.names, self.design.arms, strict=True)},
            "regimens": {n: arm.dosing() for n, arm in zip(self.design.names, self.design.arms, strict=True)},
            "endpoints": {n: e.describe() for n, e in self.endpoints.items()},
            "primary": self.primary,
            "analysis": self.analysis.describe(),
            "objective": self.objective.describe(),
            "enrolment": self.enrolment.describe(),
            "course": self.course.describe(),
            "estimand": self.estimand.describe(),
            "links": {n: link.describe() for n, link in self.links.items()},
            "prognosis": "none" if self.prognosis is None else self.prognosis.describe(),
        }
