"""The log-rank test, its weighted forms, and its strata."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial.statistics.ordered import ordered, taken


class LogRank(NamedTuple):
    """The log-rank test of each arm against the reference arm, from the patients of the two.

    excess / slope estimates the log hazard ratio where that is not far from 0, with error sqrt(variance) / slope
    (Peto's one step). Of the reference against itself all are 0.
    """

    excess: Float[Array, " arm"]
    """Weighted events in the arm, less those expected under equal hazards."""
    variance: Float[Array, " arm"]
    """Variance of `excess`, hypergeometric at each time."""
    slope: Float[Array, " arm"]
    """Derivative of the expected `excess` by the log hazard ratio, at 0; without weights it is the variance."""


class _Walk(NamedTuple):
    """What is carried from one patient to the next, in order of time; [other] are the arms but the reference."""

    risk: Float[Array, " other"]  # at risk just before the present time
    reference: Float[Array, ""]  # the same in the reference arm
    died: Float[Array, " other"]  # events at the present time
    reference_died: Float[Array, ""]
    left: Float[Array, " other"]  # patients whose time is the present one
    reference_left: Float[Array, ""]
    survival: Float[Array, " other"]  # Kaplan-Meier just before the present time, of the arm and the reference together
    excess: Float[Array, " other"]
    variance: Float[Array, " other"]
    slope: Float[Array, " other"]


def log_rank(
    time: Float[Array, " patient"],
    event: Bool[Array, " patient"],
    member: Bool[Array, "patient arm"],
    *,
    reference: int,
    rho: float = 0.0,
    gamma: float = 0.0,
) -> LogRank:
    """Return the test of each arm against the reference, weighted by S^rho (1 - S)^gamma.

    S is the Kaplan-Meier estimate of the two arms together just before the event. rho = gamma = 0 is the log-rank test,
    rho = 1 Peto and Peto's modification of Gehan's test. One pass over the sorted patients, ties included.

    Args:
        time: from entry to event or censoring.
        event: whether it is the time of an event.
        member: which arm's patient each is; a patient of no arm does not count.
        reference: number of the reference arm.
        rho: exponent of S.
        gamma: exponent of 1 - S.

    Source: Fleming and Harrington 1981, doi:10.1080/03610928108828073; Harrington and Fleming 1982,
    doi:10.1093/biomet/69.3.553.
    """
    table = ordered(time, event, member.any(1))
    others = jnp.asarray([arm for arm in range(member.shape[1]) if arm != reference], int)
    arms = taken(table, member)
    arm, own, event = arms[:, others].astype(time.dtype), arms[:, reference].astype(time.dtype), table.event
    zero, none = jnp.zeros(len(others), time.dtype), jnp.zeros((), time.dtype)
    start = _Walk(arm.sum(0), own.sum(), zero, none, zero, none, zero + 1.0, zero, zero, zero)

    def step(walk: _Walk, patient):
        new, arm, own, event = patient
        flushed = _flush(walk, rho, gamma)
        walk = jax.tree.map(lambda a, b: jnp.where(new, a, b), flushed, walk)
        here = walk._replace(
            died=walk.died + arm * event,
            reference_died=walk.reference_died + own * event,
            left=walk.left + arm,
            reference_left=walk.reference_left + own,
        )
        return here, None

    # No patient is before the first: the first flush adds nothing, and the last patients are flushed at the end.
    walk, _ = jax.lax.scan(step, start, (table.new, arm, own, event.astype(time.dtype)))
    end, whole = _flush(walk, rho, gamma), jnp.zeros(member.shape[1], time.dtype)
    return LogRank(*(whole.at[others].set(found) for found in (end.excess, end.variance, end.slope)))


def _flush(walk: _Walk, rho: float, gamma: float) -> _Walk:
    """Count the events of the present time, and let go who left at it."""
    risk, died = walk.risk + walk.reference, walk.died + walk.reference_died
    share = walk.risk / jnp.maximum(risk, 1.0)
    spread = died * share * (1 - share) * (risk - died) / jnp.maximum(risk - 1, 1.0)
    surprise, survival = walk.died - died * share, walk.survival
    if rho == gamma == 0:
        counted = walk.excess + surprise, walk.variance + spread, walk.slope + spread
    else:
        weight = _power(survival, rho) * _power(1 - survival, gamma)
        counted = (
            walk.excess + weight * surprise,
            walk.variance + weight**2 * spread,
            walk.slope + weight * spread,
        )
        survival = survival * (1 - died / jnp.maximum(risk, 1.0))
    zero, none = jnp.zeros_like(died), jnp.zeros_like(walk.reference)
    risk, reference = walk.risk - walk.left, walk.reference - walk.reference_left
    return _Walk(risk, reference, zero, none, zero, none, survival, *counted)


def _power(base: Array, exponent: float) -> Array:
    return jnp.ones_like(base) if exponent == 0 else base**exponent


def stratified_log_rank(
    time: Float[Array, " patient"],
    event: Bool[Array, " patient"],
    member: Bool[Array, "patient arm"],
    stratum: Int[Array, " patient"],
    *,
    strata: int,
    reference: int,
    rho: float = 0.0,
    gamma: float = 0.0,
) -> LogRank:
    """Return the test summed over strata: patients are compared with patients of their own stratum only.

    Args:
        time: from entry to event or censoring.
        event: whether it is the time of an event.
        member: which arm's patient each is.
        stratum: number of each patient's stratum; -1 does not count.
        strata: how many there are.
        reference: number of the reference arm.
        rho: exponent of S.
        gamma: exponent of 1 - S.
    """

    def of_one(number):
        inside = member & (stratum == number)[:, None]
        return log_rank(time, event, inside, reference=reference, rho=rho, gamma=gamma)

    each = jax.vmap(of_one)(jnp.arange(strata))
    return LogRank(each.excess.sum(0), each.variance.sum(0), each.slope.sum(0))
