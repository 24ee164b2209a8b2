"""The table of potential outcomes that trials are conducted on, and what a trial sees of it at an instant."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vtrial.design import Progress, Seen

EVENT = "event"
"""Layout of an endpoint that is the time to an event."""


_FEW = 8
"""Arms among which one is chosen by comparing, which is quicker than fetching."""


class Potential(eqx.Module):
    """What would happen to many patients under each arm, and when it would be known.

    Arrays of many trials have a leading axis `replicate`, which is mapped over; those of one trial have not.
    """

    value: Float[Array | np.ndarray, "..."]
    """The primary endpoint [replicate subject arm *rest]: one number, or one for each period or visit. Of an event the
    time from entry; infinity for none."""
    until: Float[Array | np.ndarray, "..."]
    """Time since entry, or since the start of the period, at which the patient's observation would end
    [replicate subject arm *period]; infinity: not early."""
    target: Float[Array | np.ndarray, "..."]
    """The same endpoint as the estimand has it: what the truth is judged by."""
    covariates: Mapping[str, Float[Array | np.ndarray, "..."]]
    """What is known before allocation, by name [replicate subject]."""
    time: Float[Array | np.ndarray, "..."] | None = None
    """Time since entry at which each part of the endpoint is measured [replicate subject arm *rest]; None: when the
    clock says."""
    ended: Float[Array | np.ndarray, "..."] | None = None
    """Time since the start of the period from which the patient begins no later one [replicate subject arm period];
    infinity: goes on. None: all do."""

    def delay(
        self, clock: "Clock", arm: Int[Array, "patient *period"], shape: tuple[int, ...]
    ) -> Float[Array, "patient *rest"]:
        """Return the time since entry at which each part of each patient's outcome is known, in the outcome's shape."""
        if self.time is None:
            return jnp.broadcast_to(jnp.asarray(clock.delay), shape)
        found = under(self.time, arm, 1)
        return jnp.broadcast_to(_spread(found, len(shape)), shape)


class Clock(eqx.Module):
    """When outcomes are known after entry."""

    delay: Float[np.ndarray, "*rest"]
    """Time since entry at which each part of the outcome is known; of events, the end of follow-up."""
    layout: str = eqx.field(static=True)
    """ "value", "visits" or "event"."""
    start: Float[np.ndarray, "*period"] = eqx.field(default_factory=lambda: np.zeros(()))
    """Time since entry at which each period starts."""

    @property
    def timed(self) -> bool:
        """Whether the outcome is the time to an event."""
        return self.layout == EVENT

    @property
    def within(self) -> Float[np.ndarray, "*rest"]:
        """Time since the start of its own period at which each part of the outcome is known."""
        delay = np.asarray(self.delay)
        return delay - self.start.reshape(self.start.shape + (1,) * (delay.ndim - self.start.ndim))


def under(
    table: Float[Array | np.ndarray, "patient arm *rest"], arm: Int[Array, "patient *period"], periods: int
) -> Float[Array, "patient *rest"]:
    """Return what happens to each patient under the arm given, in each period if there are several."""
    which, table = jnp.maximum(arm, 0), jnp.asarray(table)
    patient = jnp.arange(table.shape[0])
    if periods == 1 and table.shape[1] <= _FEW:
        found = table[:, 0]
        for number in range(1, table.shape[1]):
            found = jnp.where(_spread(which == number, found.ndim), table[:, number], found)
        return found
    if periods == 1:
        return table[patient, which]
    return table[patient[:, None], which, jnp.arange(periods)[None]]


def reveal(
    given: Potential,
    clock: Clock,
    arm: Int[Array, "patient *period"],
    entered: Float[Array, " patient"],
    now: Float[Array, ""],
    allocated: Int[Array, ""],
) -> Seen:
    """Return what a trial sees at the calendar time `now` of the patients it has allocated.

    Args:
        given: the trial's patients.
        clock: when outcomes are known.
        arm: given to each patient; -1 for nobody.
        entered: calendar time of each one's entry; infinity if never.
        now: the calendar time.
        allocated: how many patients have been allocated.
    """
    periods = 1 if arm.ndim == 1 else arm.shape[1]
    first = arm if periods == 1 else arm[:, 0]
    there = (first >= 0) & (entered <= now)
    shown, until = under(given.value, arm, periods), under(given.until, arm, periods)
    start = jnp.where(there, entered, now)
    # Times of the calendar are added up as `progress` adds them, so that a look sees what it waited for.
    if clock.layout == EVENT:
        limit = jnp.minimum(until, clock.delay)
        event = (shown <= limit) & (start + shown <= now)
        censored = jnp.minimum(limit, now - start)
        outcome = jnp.where(jnp.isnan(shown), jnp.nan, jnp.where(event, shown, censored))
    else:
        delay = given.delay(clock, arm, shown.shape)
        within = delay if periods == 1 else jnp.broadcast_to(jnp.asarray(clock.within), shown.shape)
        seen = (within <= _spread(until, shown.ndim)) & (_spread(start, shown.ndim) + delay <= now)
        seen &= _spread(begun(given, arm), shown.ndim)
        outcome = jnp.where(seen, shown, jnp.nan)
        event = jnp.isfinite(outcome)
    known = _spread(there, shown.ndim)
    return Seen(
        arm=jnp.where(_spread(there, arm.ndim), arm, -1),
        outcome=jnp.where(known, outcome, jnp.nan),
        event=event & known,
        entered=jnp.where(there, entered, jnp.nan),
        next=allocated,
        covariates={name: jnp.asarray(value) for name, value in given.covariates.items()},
    )


def begun(given: Potential, arm: Int[Array, "patient *period"]) -> Bool[Array, "patient *period"]:
    """Return which patients begin which period under the arms given: those whose part did not end in one before."""
    if arm.ndim == 1 or given.ended is None:
        return jnp.ones(arm.shape, bool)
    goes_on = jnp.isinf(under(given.ended, arm, arm.shape[1]))
    return jnp.concatenate([jnp.ones_like(goes_on[:, :1]), jnp.cumprod(goes_on[:, :-1], axis=1, dtype=bool)], axis=1)


def progress(
    given: Potential, clock: Clock, arm: Int[Array, "patient *period"], entered: Float[Array, " patient"]
) -> Progress:
    """Return when each allocated patient's outcome will be in, and when their event will happen."""
    if arm.ndim == 1:
        last = np.max(clock.delay) if given.time is None else jnp.max(under(given.time, arm, 1), axis=1)
        end = jnp.minimum(under(given.until, arm, 1), last)
    else:
        # Of each period that is begun the outcome is in, or known not to come; the last of these counts.
        within = clock.within.reshape(arm.shape[1], -1).max(1)
        own = jnp.minimum(under(given.until, arm, arm.shape[1]), within[None])
        own += jnp.broadcast_to(jnp.asarray(clock.start), own.shape)
        end = jnp.where(begun(given, arm), own, 0.0).max(1)
    event = jnp.full(entered.shape, jnp.inf)
    if clock.layout == EVENT:
        shown = under(given.value, arm, 1)
        event = jnp.where(shown <= end, entered + shown, jnp.inf)
        end = jnp.where(jnp.isnan(shown), end, jnp.minimum(end, shown))
    return Progress(entered, entered + end, event)


def _spread(value: Array, ndim: int) -> Array:
    """Return values of patients with axes for what each patient has several of."""
    return value.reshape(value.shape + (1,) * (ndim - value.ndim))
