"""Strategies for intercurrent events: what a trial observes of an endpoint, and what is true of it.

The five strategies are those of ICH E9(R1). A virtual patient is simulated with the events and without, with the same
keys, so that the true value of each is known and not estimated.
"""

from abc import abstractmethod

import equinox as eqx
import numpy as np
from jaxtyping import Float


class Lived(eqx.Module):
    """The primary endpoint of virtual patients under every arm, [replicate subject arm *rest], and what happened."""

    actual: Float[np.ndarray, "..."]
    """As things happened."""
    hypothetical: Float[np.ndarray, "..."]
    """If nothing had happened."""
    on_treatment: Float[np.ndarray, "..."]
    """From the course up to what happened, its last value carried on."""
    first: Float[np.ndarray, "replicate subject arm"]
    """Time since entry of what happened first; infinity for nothing."""
    until: Float[np.ndarray, "replicate subject arm"]
    """Time since entry at which observation ends; infinity for not early."""


class AbstractEstimand(eqx.Module):
    """A strategy for what happens to patients during treatment: what it makes of the primary endpoint."""

    @abstractmethod
    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what a trial may observe, [replicate subject arm *rest]."""

    @abstractmethod
    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm"]:
        """Return the time since entry at which its observation ends."""

    @abstractmethod
    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what is true, [replicate subject arm *rest]; not a number of who is not in the population meant."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class TreatmentPolicy(AbstractEstimand):
    """Whatever happens, the endpoint counts as it is."""

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it as things happened."""
        return lived.actual

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm"]:
        """Return when observation ends."""
        return lived.until

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it as things happened, seen or not."""
        return lived.actual

    def describe(self) -> str:
        """Say it."""
        return "treatment policy: the endpoint counts whatever happens"


class Hypothetical(AbstractEstimand):
    """What would be, had nothing happened; what is seen after an event is set aside."""

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it as things happened."""
        return lived.actual

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm"]:
        """Return when the first thing happens."""
        return np.minimum(lived.until, lived.first)

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it without events."""
        return lived.hypothetical

    def describe(self) -> str:
        """Say it."""
        return "hypothetical: had nothing happened that ends treatment or observation"


class Composite(AbstractEstimand):
    """What happens is part of the endpoint: the patient then has the value of a failure.

    Args:
        failure: that value, in the endpoint's unit; 0 of a responder.
    """

    failure: float = eqx.field(static=True, default=0.0)

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return the failure where something happened."""
        return np.where(_like(np.isfinite(lived.first), lived.actual), self.failure, lived.actual)

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm"]:
        """Return infinity: that something happened is known."""
        return np.full_like(lived.until, np.inf)

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what is observed."""
        return self.observed(lived)

    def describe(self) -> str:
        """Say it."""
        return f"composite: who has an event counts as {self.failure:g}"


class WhileOnTreatment(AbstractEstimand):
    """The endpoint of the course up to the event, its last value carried on."""

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it up to the event."""
        return lived.on_treatment

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm"]:
        """Return infinity: nothing later is asked for."""
        return np.full_like(lived.until, np.inf)

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what is observed."""
        return lived.on_treatment

    def describe(self) -> str:
        """Say it."""
        return "while on treatment: the course up to the event, its last value carried on"


class PrincipalStratum(AbstractEstimand):
    """Patients to whom nothing would happen under any arm; a trial does not know who they are, and analyses all."""

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it as things happened."""
        return lived.actual

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm"]:
        """Return when the first thing happens: the trial analyses those who complete."""
        return np.minimum(lived.until, lived.first)

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it of those to whom nothing happens under any arm."""
        never = np.isinf(lived.first).all(2, keepdims=True)
        return np.where(_like(np.broadcast_to(never, lived.first.shape), lived.actual), lived.actual, np.nan)

    def describe(self) -> str:
        """Say it."""
        return "principal stratum: patients to whom nothing would happen under any arm"


STRATEGIES = (TreatmentPolicy(), Hypothetical(), Composite(), WhileOnTreatment(), PrincipalStratum())
"""One of each; the truth of all is reported."""


def _like(value: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return values of patients with axes for what each has several of."""
    return value.reshape(value.shape + (1,) * (table.ndim - value.ndim))
