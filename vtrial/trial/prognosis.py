"""The digital twin's prognostic score: what the model predicts of a patient under the reference, at enrolment.

The score is an average over people the patient could be: population draws of parameters and of individual deviations,
all with his baseline covariates. His own deviations and his future, which the simulation knows and a trial does not,
never enter: what computes it is not given them.
"""

import math
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial import keys
from vtrial._types import texts
from vtrial.cohort import Cohort, Levels, Simulator, simulator
from vtrial.design import AbstractDesign, Arm
from vtrial.endpoint import AbstractEndpoint
from vtrial.errors import UserError, nearest
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel
from vtrial.statistics.linear import invert

SCORE = "prognosis"
"""Name under which trials know the score, among the covariates."""

type Scorer = Callable[[int, Mapping[str, Array], Mapping[str, np.ndarray]], Float[np.ndarray, " patient"]]
"""Returns the scores of patients, given the number of the first, their covariates and their baseline measurements."""


class Prognosis(eqx.Module):
    """How the twin predicts the primary endpoint of each patient under the reference arm.

    Patients are predicted to take their doses and to stay; of visits it is the last, of an event the time to it or to
    the end of follow-up. Trials know the score as covariate `prognosis`.

    Args:
        people: people averaged over; the same for all patients, so that scores differ by what is known of patients.
        baseline: endpoints known before the first dose that the twin takes account of.
        drift: factors by which the twin is wrong, by parameter: a stress test. Left out, it is the fitted model.
    """

    people: int = eqx.field(static=True, default=200)
    baseline: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)
    drift: Mapping[str, float] = eqx.field(static=True, default_factory=dict)

    def __check_init__(self):
        """Refuse an average over too few, and factors that are none."""
        if self.people < 2 + 5 * len(self.baseline):
            raise UserError(
                f"prognosis.people is {self.people}; average over {2 + 5 * len(self.baseline)} or more, 200 say."
            )
        for name, factor in self.drift.items():
            if not (factor > 0 and math.isfinite(factor)):
                raise UserError(f"prognosis.drift.{name} is {factor}; a factor is positive.")

    def check(
        self,
        design: AbstractDesign,
        endpoints: Mapping[str, AbstractEndpoint],
        model: AbstractModel,
        parameters: tuple[str, ...],
    ) -> None:
        """Check what needs the rest of the study; `parameters` are the population's.

        Raises:
            UserError: the design has periods, a name is unknown or not of a baseline endpoint.
        """
        if design.periods > 1:
            raise UserError("A crossover compares patients with themselves; leave prognosis out.")
        for name in self.drift:
            if name not in parameters:
                raise UserError(f"prognosis.drift has '{name}', which is no parameter. {nearest(name, parameters)}")
        for name in self.baseline:
            if name not in endpoints:
                raise UserError(f"prognosis.baseline has '{name}', which is no endpoint. {nearest(name, endpoints)}")
            if endpoints[name].layout != "value" or float(endpoints[name].delay(model)) > 0:
                raise UserError(
                    f"prognosis.baseline has '{name}', which is not known before the first dose; its window must be "
                    "the start 0 alone."
                )

    def scorer(
        self,
        key: Key[Array, ""],
        arm: Arm,
        endpoints: Mapping[str, AbstractEndpoint],
        primary: str,
        *,
        posterior: Mapping[str, np.ndarray],
        statistical: StatisticalModel,
    ) -> Scorer:
        """Return the function that scores patients.

        Args:
            key: random key, of no patient's own.
            arm: the reference.
            endpoints: by name.
            primary: the one to predict.
            posterior: draws of the posterior, leading axis the draw.
            statistical: the fitted model.
        """
        draws = jax.jit(jax.vmap(_person(keys.named(key, "people"), self.people, self.drift, posterior, statistical)))

        def simulates(names: tuple[str, ...], *, residual: bool) -> Simulator:
            levels, wanted = Levels(parameters=False, residual=residual), {name: endpoints[name] for name in names}
            own, many = keys.named(key, "simulate"), 1_000_000
            return simulator(own, many, (arm,), wanted, posterior, statistical, levels, alike=True)

        ahead = simulates((primary,), residual=False)
        before = simulates(self.baseline, residual=True) if self.baseline else None

        def score(first: int, covariates: Mapping[str, Array], seen: Mapping[str, np.ndarray]) -> np.ndarray:
            count = len(next(iter(covariates.values())))
            each = {n: jnp.broadcast_to(v[:, None], (count, self.people)) for n, v in covariates.items()}
            cohort = Cohort(jnp.full(count, -1), draws(dict(covariates)), each)
            outcome = _number(ahead(first, cohort).values[primary][:, :, 0], endpoints[primary], statistical)
            if before is None:
                measured, known = np.zeros((count, self.people, 0)), np.zeros((count, 0))
            else:
                found = before(first, cohort).values
                measured = np.stack([found[name][:, :, 0] for name in self.baseline], axis=-1)
                known = np.stack([np.asarray(seen[name]) for name in self.baseline], axis=-1)
            return np.asarray(prognostic_score(*(jnp.asarray(x) for x in (outcome, measured, known))))

        return score

    def describe(self) -> str:
        """Say it."""
        told = f" and {', '.join(self.baseline)}" if self.baseline else ""
        wrong = ", ".join(f"{name} times {factor:g}" for name, factor in self.drift.items())
        return (
            f"the twin's mean prediction under the reference, over {self.people} people with the patient's covariates"
            + told
            + (f", by a twin that is wrong: {wrong}" if wrong else "")
        )


def prognostic_score(
    outcome: Float[Array, "patient person"],
    measured: Float[Array, "patient person baseline"],
    seen: Float[Array, "patient baseline"],
) -> Float[Array, " patient"]:
    """Return each patient's expected outcome given baseline measurements, linear in these.

    It is the mean over people, moved by what is seen of him: mean + Cov(outcome, measured) Var(measured)^-1 (seen -
    mean measured), the best linear prediction. People whose prediction failed say nothing; a measurement that is
    missing moves nothing. Source: Hartigan 1969, Linear Bayesian
    methods, Journal of the Royal Statistical Society B 31, 446.

    Args:
        outcome: of each of the people the patient could be, without residual error.
        measured: what would be measured of them at baseline.
        seen: what was measured of the patient.
    """

    def one(outcome: Array, measured: Array, seen: Array) -> Array:
        known = jnp.isfinite(outcome) & jnp.isfinite(measured).all(1)
        there = jnp.isfinite(seen)
        count = jnp.where(known.any(), known.sum(), jnp.nan)
        mean = jnp.where(known, outcome, 0.0).sum() / count
        if not len(seen):
            return mean
        centre = jnp.where(known[:, None], measured, 0.0).sum(0) / count
        off = jnp.where(known[:, None] & there[None], measured - centre[None], 0.0)
        slope = invert(off.T @ off)[0] @ (off.T @ jnp.where(known, outcome - mean, 0.0))
        return mean + slope @ jnp.where(there, seen - centre, 0.0)

    return jax.vmap(one)(outcome, measured, seen)


def _person(
    key: Key[Array, ""],
    people: int,
    drift: Mapping[str, float],
    posterior: Mapping[str, np.ndarray],
    statistical: StatisticalModel,
) -> Callable[[Mapping[str, Array]], dict[str, Float[Array, " person"]]]:
    """Return what takes a patient's covariates to the parameters of the people he could be: each of another draw."""
    known = {n: jnp.asarray(v) for n, v in Levels().posterior(posterior, statistical).items()}
    population, count = statistical.population, len(next(iter(posterior.values())))
    picked = jax.random.choice(keys.named(key, "draw"), count, (people,), replace=people > count)

    def one(number: Array, own: Key[Array, ""], covariates: Mapping[str, Array]) -> dict[str, Array]:
        draw = {name: value[number] for name, value in known.items()}
        study = population.new_study(keys.named(own, "study"), draw)
        found = population.new_subject(keys.named(own, "eta"), draw, population.factor(draw), covariates, study)
        return {name: value * drift.get(name, 1.0) for name, value in found.items()}

    def every(covariates: Mapping[str, Array]) -> dict[str, Array]:
        return jax.vmap(one, in_axes=(0, 0, None))(picked, keys.numbered(key, people), dict(covariates))

    return every


def _number(value: np.ndarray, endpoint: AbstractEndpoint, statistical: StatisticalModel) -> np.ndarray:
    """Return the one number that is predicted of an endpoint [patient person *visit]."""
    if endpoint.layout == "visits":
        return value[..., -1]
    if endpoint.layout == "event":
        return np.minimum(value, float(endpoint.delay(statistical.model)))
    return value
