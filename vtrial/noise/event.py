"""Times of events, from a hazard."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vtrial._types import Values
from vtrial.data.dataset import Dataset, Observations
from vtrial.noise.base import AbstractWithoutError, Visits, refuse
from vtrial.noise.law import log1mexp
from vtrial.noise.poisson import draw_poisson, log_poisson
from vtrial.population import AbstractPrior

_LEAST = 1e-30
"""Least hazard and least increment of it: a numerical solution may be a little below 0."""


class AbstractEvent(AbstractWithoutError):
    """Events with a hazard; the prediction is its integral, the cumulative hazard."""

    hazard: eqx.AbstractVar[str]
    """The model's output that is the hazard."""

    @property
    def also(self) -> tuple[str, ...]:
        """Need the hazard."""
        return (self.hazard,)

    def priors(self) -> dict[str, AbstractPrior]:
        """Return none: the hazard's parameters are the model's."""
        return {}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return none."""
        return {}


class TimeToEvent(AbstractEvent):
    """An event that happens to a subject once, or not while it is watched; the prediction is the cumulative hazard H.

    DV is 1 at the time of the event and 0 at a time at which the subject is still free of it (right-censored). With
    `data.censored: use`, DV 1 and CENS 1 say that it happened between the row before and this one (interval-censored).
    Each row counts from the one before it: its probability is given that the subject was free of the event then. H is
    0 where the model begins, at the subject's first row of any kind.

    A replicate is 1 at the times by which the event has happened, 0 before. The same patient has it at the same time
    in every endpoint.
    """

    hazard: str = eqx.field(static=True)
    """The model's output that is the hazard, the derivative of H."""

    def check(self, output: str, data: Dataset) -> None:
        """Refuse values other than 0 and 1, and rows after an event."""
        seen = data.observations[output]
        refuse(~np.isin(seen.value, (0, 1)), output, data, "an event is 1, and its absence 0")
        _refuse_censored_absence(output, data)
        after = (seen.previous >= 0) & (np.asarray(seen.value)[seen.previous] == 1)
        reason = "the row follows the subject's event; remove it, or use vtrial.noise.RepeatedEvents"
        refuse(after, output, data, reason)

    def log_likelihood(
        self,
        prediction: Float[Array, " obs"],
        also: Mapping[str, Float[Array, " obs"]],
        values: Values,
        seen: Observations,
    ) -> Float[Array, " obs"]:
        """Return log h - dH of an event, log(1 - exp(-dH)) of one in the interval, and -dH of none."""
        more, event = _increment(prediction, seen.previous), jnp.asarray(seen.value) == 1
        exact = jnp.log(jnp.maximum(also[self.hazard], _LEAST)) - more
        return jnp.where(event, jnp.where(jnp.asarray(seen.censored), log1mexp(more), exact), -more)

    def replicate(
        self, prediction: Float[Array, " obs"], also: Mapping[str, Float[Array, " obs"]], values: Values, visits: Visits
    ) -> Float[Array, " obs"]:
        """Return whether H has reached the subject's own threshold, which is exponential with mean 1."""
        threshold = jax.vmap(jax.random.exponential)(visits.person)
        return (prediction >= threshold).astype(prediction.dtype)

    def describe(self) -> str:
        """Name the law."""
        return f"time to one event, cumulative hazard f, hazard {self.hazard}"


class RepeatedEvents(AbstractEvent):
    """Events that come back; the prediction is their cumulative hazard, a Poisson process given the subject.

    DV is 1 at the time of each event, and 0 where the subject is watched without one, as at the end. With
    `data.censored: use`, CENS 1 says that DV events, of unknown times, happened since the row before. A replicate is
    the number of events since the subject's measurement before. H is 0 where the model begins.
    """

    hazard: str = eqx.field(static=True)
    """The model's output that is the hazard, the derivative of H."""

    def check(self, output: str, data: Dataset) -> None:
        """Refuse values other than 0 and 1, and of censored rows other than whole numbers from 1 on."""
        seen = data.observations[output]
        _refuse_censored_absence(output, data)
        wrong = np.where(seen.censored, seen.value != np.round(seen.value), ~np.isin(seen.value, (0, 1)))
        refuse(wrong, output, data, "an event is 1, and its absence 0; with CENS 1 it is a number of events")

    def log_likelihood(
        self,
        prediction: Float[Array, " obs"],
        also: Mapping[str, Float[Array, " obs"]],
        values: Values,
        seen: Observations,
    ) -> Float[Array, " obs"]:
        """Return log h - dH of an event, the Poisson probability of a number of them, and -dH of none."""
        more, number = _increment(prediction, seen.previous), jnp.asarray(seen.value)
        exact = number * jnp.log(jnp.maximum(also[self.hazard], _LEAST)) - more
        return jnp.where(jnp.asarray(seen.censored), log_poisson(number, more), exact)

    def replicate(
        self, prediction: Float[Array, " obs"], also: Mapping[str, Float[Array, " obs"]], values: Values, visits: Visits
    ) -> Float[Array, " obs"]:
        """Return how many events happen since the measurement before."""
        return jax.vmap(draw_poisson)(visits.own, _increment(prediction, visits.previous))

    def describe(self) -> str:
        """Name the law."""
        return f"repeated events, cumulative hazard f, hazard {self.hazard}"


def _increment(cumulative: Float[Array, " obs"], previous: Int[Array | np.ndarray, " obs"]) -> Float[Array, " obs"]:
    """Return the increment of a cumulative hazard since the row before, 0 before the first; above 0."""
    before = jnp.where(jnp.asarray(previous) >= 0, cumulative[jnp.asarray(previous)], 0.0)
    return jnp.maximum(cumulative - before, _LEAST)


def _refuse_censored_absence(output: str, data: Dataset) -> None:
    """Refuse a censored row other than of an event in the interval that ends there; raises `UserError`."""
    seen = data.observations[output]
    with np.errstate(invalid="ignore"):
        wrong = seen.censored & ((seen.value < 1) | np.isfinite(seen.lower))
    reason = "CENS 1 says that an event happened since the row before, and needs DV 1 or more and no LIMIT or CENS -1"
    refuse(wrong, output, data, reason)
