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
    """What is carried from one patient to the next, in order of time."""

    risk: Float[Array, " arm"]  # at risk just before the present time
    died: Float[Array, " arm"]  # events at the present time
    left: Float[Array, " arm"]  # patients whose time is the present one
    survival: Float[Array, " arm"]  # Kaplan-Meier just before the present time, of the arm and the reference together
    excess: Float[Array, " arm"]
    variance: Float[Array, " arm"]
    slope: Float[Array, " arm"]


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
    arms = taken(table, member).astype(time.dtype)
    zero = jnp.zeros(arms.shape[1], time.dtype)
    start = _Walk(arms.sum(0), zero, zero, zero + 1.0, zero, zero, zero)

    def step(walk: _Walk, patient):
        new, arm, died = patient
        flushed = _flush(walk, reference, rho, gamma)
        walk = jax.tree.map(lambda a, b: jnp.where(new, a, b), flushed, walk)
        return walk._replace(died=walk.died + arm * died, left=walk.left + arm), None

    # No patient is before the first: the first flush adds nothing, and the last patients are flushed at the end.
    walk, _ = jax.lax.scan(step, start, (table.new, arms, table.event.astype(time.dtype)))
    end = _flush(walk, reference, rho, gamma)
    own = jnp.arange(arms.shape[1]) == reference
    return LogRank(*(jnp.where(own, 0.0, found) for found in (end.excess, end.variance, end.slope)))


def _flush(walk: _Walk, reference: int, rho: float, gamma: float) -> _Walk:
    """Count the events of the present time, and let go who left at it."""
    risk, died = walk.risk + walk.risk[reference], walk.died + walk.died[reference]
    share = walk.risk / jnp.maximum(risk, 1.0)
    weight = _power(walk.survival, rho) * _power(1 - walk.survival, gamma)
    ties = (risk - died) / jnp.maximum(risk - 1, 1.0)
    spread = died * share * (1 - share) * ties
    nothing = jnp.zeros_like(died)
    return _Walk(
        walk.risk - walk.left,
        nothing,
        nothing,
        walk.survival * (1 - died / jnp.maximum(risk, 1.0)),
        walk.excess + weight * (walk.died - died * share),
        walk.variance + weight**2 * spread,
        walk.slope + weight * spread,
    )


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
