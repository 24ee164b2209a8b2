"""Strategies for intercurrent events: what a trial observes of an endpoint, and what is true of it.

The five strategies are those of ICH E9(R1), whose strategy of what is while on treatment is also one of what is while
alive. A virtual patient is simulated with the events and without, with the same keys, so that the true value of each is
known and not estimated. To leave, so that nothing is observed any more, is no intercurrent event: outcomes are then
missing, whatever the strategy.

In a design with periods the truth is, period by period, of patients who begin it under an arm: what happened in one
before decides who is seen, not what is true. Failures of a composite count in the period they happen in.
"""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float

from vtrial._types import texts
from vtrial.errors import UserError, nearest


class Lived(eqx.Module):
    """The primary endpoint of virtual patients under every arm, [replicate subject arm *rest], and what happened."""

    actual: Float[np.ndarray, "..."]
    """As things happened; not a number where death came before."""
    hypothetical: Float[np.ndarray, "..."]
    """If nothing had happened."""
    on_treatment: Float[np.ndarray, "..."]
    """From the course up to what happened first, its last value carried on."""
    alive: Float[np.ndarray, "..."]
    """From the course up to death, its last value carried on."""
    until: Float[np.ndarray, "replicate subject arm *period"]
    """Time since entry, or since the start of the period, at which observation ends; infinity for not early."""
    events: Mapping[str, Float[np.ndarray, "replicate subject arm *period"]] = eqx.field(default_factory=dict)
    """Time of each intercurrent event, counted likewise; infinity where it does not happen, or not before what is asked
    of the period is known."""
    deadly: tuple[str, ...] = eqx.field(static=True, default=())
    """Those that are death."""
    arms: tuple[str, ...] = eqx.field(static=True, default=())
    """Names of the arms."""
    timed: bool = eqx.field(static=True, default=False)
    """Whether the endpoint is the time to an event."""
    asked: Float[np.ndarray, "..."] | None = None
    """In the world of an estimand that takes some events one way and some another; None where there is none."""
    asked_events: Mapping[str, Float[np.ndarray, "replicate subject arm *period"]] = eqx.field(default_factory=dict)
    """Time of each intercurrent event in that world."""
    ended: Float[np.ndarray, "replicate subject arm period"] | None = None
    """Time since the start of the period from which the patient begins no later one; infinity: goes on. None of a
    design without periods."""

    def first(self, only: Sequence[str] = ()) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when the first of some events happens, of all unless told which; infinity for none."""
        never = np.full(self.until.shape, np.inf)
        return np.min([never, *(self.events[name] for name in only or self.events)], axis=0)

    def before(self) -> Float[np.ndarray, "..."]:
        """Return what is seen of it before the first event: death, even if it counts as one, is set aside."""
        if not self.timed:
            return self.actual
        return np.where(self.actual < like(self.first(), self.actual), self.actual, np.inf)


class AbstractEstimand(eqx.Module):
    """A strategy for what happens to patients during treatment: what it makes of the primary endpoint."""

    @abstractmethod
    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what a trial may observe, [replicate subject arm *rest]."""

    @abstractmethod
    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return the time since entry at which its observation ends."""

    @abstractmethod
    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what is true, [replicate subject arm *rest]; not a number of who is not in the population meant."""

    @abstractmethod
    def beyond(self, deadly: Collection[str]) -> tuple[str, ...]:
        """Return the deadly events after which it has no value for an endpoint that is no time to an event."""

    @abstractmethod
    def check(self, events: Collection[str], arms: Collection[str]) -> None:
        """Check that the events and arms it names exist; raises `UserError`."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class TreatmentPolicy(AbstractEstimand):
    """Whatever happens, the endpoint counts as it is; after death it is nothing."""

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it as things happened."""
        return lived.actual

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when observation ends."""
        return lived.until

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it as things happened, seen or not."""
        return lived.actual

    def beyond(self, deadly: Collection[str]) -> tuple[str, ...]:
        """Return all: there is no value to count."""
        return tuple(deadly)

    def check(self, events: Collection[str], arms: Collection[str]) -> None:
        """Nothing can be wrong."""

    def describe(self) -> str:
        """Say it."""
        return "treatment policy: the endpoint counts whatever happens"


class Hypothetical(AbstractEstimand):
    """What would be, had nothing happened; what is seen after an event is set aside."""

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it as things happened before an event."""
        return lived.before()

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when the first thing happens."""
        return np.minimum(lived.until, lived.first())

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it without events."""
        return lived.hypothetical

    def beyond(self, deadly: Collection[str]) -> tuple[str, ...]:
        """Return none: nobody dies."""
        return ()

    def check(self, events: Collection[str], arms: Collection[str]) -> None:
        """Nothing can be wrong."""

    def describe(self) -> str:
        """Say it."""
        return "hypothetical: had nothing happened that changes treatment or ends life"


class Composite(AbstractEstimand):
    """What happens is part of the endpoint: the patient then has the value of a failure, or the event at that time.

    Args:
        failure: that value, in the endpoint's unit; 0 of a responder. Of a time to an event it is the event itself.
        only: events that are failures; left out, all are. After others the endpoint counts as it is.
    """

    failure: float = eqx.field(static=True, default=0.0)
    only: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return the failure where something happened."""
        failed = lived.first(self.only)
        if lived.timed:
            return np.minimum(lived.actual, like(failed, lived.actual))
        return np.where(like(np.isfinite(failed), lived.actual), self.failure, lived.actual)

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when observation ends, but for those of whom the failure is known by then."""
        if lived.timed:
            return lived.until
        return np.where(lived.first(self.only) <= lived.until, np.inf, lived.until)

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what would be observed of all."""
        return self.observed(lived)

    def beyond(self, deadly: Collection[str]) -> tuple[str, ...]:
        """Return deaths that are no failures."""
        return tuple(name for name in deadly if self.only and name not in self.only)

    def check(self, events: Collection[str], arms: Collection[str]) -> None:
        """Refuse an event that there is not."""
        for name in self.only:
            if name not in events:
                raise UserError(
                    f"estimand.only has '{name}', which is no intercurrent event of course.events. "
                    f"{nearest(name, events)}"
                )

    def describe(self) -> str:
        """Say it."""
        events = " or ".join(self.only) if self.only else "an event"
        return f"composite: who has {events} counts as {self.failure:g} (of a time to an event: as an event)"


class WhileOnTreatment(AbstractEstimand):
    """The endpoint of the course up to the event, its last value carried on."""

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it up to the event."""
        return lived.on_treatment

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when observation ends, but for those with an event by then: nothing later is asked for."""
        return np.where(lived.first() <= lived.until, np.inf, lived.until)

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what would be observed of all."""
        return lived.on_treatment

    def beyond(self, deadly: Collection[str]) -> tuple[str, ...]:
        """Return none: nothing after death is asked for."""
        return ()

    def check(self, events: Collection[str], arms: Collection[str]) -> None:
        """Nothing can be wrong."""

    def describe(self) -> str:
        """Say it."""
        return "while on treatment: the course up to the event, its last value carried on"


class WhileAlive(AbstractEstimand):
    """The endpoint of the course up to death, its last value carried on; whatever else happens, it counts as it is."""

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it up to death."""
        return lived.alive

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when observation ends, but for those who die by then: nothing later is asked for."""
        if not lived.deadly:
            return lived.until
        return np.where(lived.first(lived.deadly) <= lived.until, np.inf, lived.until)

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return what would be observed of all."""
        return lived.alive

    def beyond(self, deadly: Collection[str]) -> tuple[str, ...]:
        """Return none: nothing after death is asked for."""
        return ()

    def check(self, events: Collection[str], arms: Collection[str]) -> None:
        """Nothing can be wrong."""

    def describe(self) -> str:
        """Say it."""
        return "while alive: the course up to death, its last value carried on, whatever else happens"


class PrincipalStratum(AbstractEstimand):
    """Patients to whom nothing would happen; a trial does not know who they are, and analyses those who complete.

    Args:
        arm: under this arm, for example the reference; left out, under any arm.
    """

    arm: str | None = eqx.field(static=True, default=None)

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it as things happened before an event."""
        return lived.before()

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when the first thing happens: the trial analyses those who complete."""
        return np.minimum(lived.until, lived.first())

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it of the stratum; after what happens under another arm as it is, and after death nothing."""
        spared = np.isinf(lived.first())
        if self.arm is not None:
            spared = spared[:, :, [lived.arms.index(self.arm)]]
        never = np.broadcast_to(spared.all(2, keepdims=True), lived.until.shape)
        return np.where(like(never, lived.actual), lived.actual, np.nan)

    def beyond(self, deadly: Collection[str]) -> tuple[str, ...]:
        """Return none if nobody of the stratum dies, all if they may under other arms."""
        return () if self.arm is None else tuple(deadly)

    def check(self, events: Collection[str], arms: Collection[str]) -> None:
        """Refuse an arm that there is not."""
        if self.arm is not None and self.arm not in arms:
            raise UserError(f"estimand.arm is '{self.arm}', which is no arm of the design. {nearest(self.arm, arms)}")

    def describe(self) -> str:
        """Say it."""
        return f"principal stratum: patients to whom nothing would happen under {self.arm or 'any arm'}"


STRATEGIES = (
    TreatmentPolicy(),
    Hypothetical(),
    Composite(),
    WhileOnTreatment(),
    WhileAlive(),
    PrincipalStratum(),
)
"""One of each; the truth of all is reported."""


def check_estimand(
    estimand: AbstractEstimand, events: Collection[str], deadly: Collection[str], arms: Collection[str], *, timed: bool
) -> None:
    """Check that an estimand has a value for whatever may happen.

    Args:
        estimand: the study's.
        events: names of the intercurrent events.
        deadly: those that are death.
        arms: names of the arms.
        timed: whether the primary endpoint is the time to an event.

    Raises:
        UserError: the endpoint does not exist after death, and the strategy does not say what counts then.
    """
    estimand.check(events, arms)
    if not timed and (undefined := estimand.beyond(deadly)):
        name = type(estimand).__name__
        raise UserError(
            f"course.events.{undefined[0]} is death, after which the primary endpoint does not exist, so that the "
            f"estimand {name} has no value; use estimand=composite (death is a failure) or estimand=while_alive."
        )


def like(value: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return values of patients with axes for what each has several of."""
    return value.reshape(value.shape + (1,) * (table.ndim - value.ndim))
