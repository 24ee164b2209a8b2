"""Kaplan-Meier curves, with medians and restricted means."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vtrial.statistics.ordered import ordered, taken

_EQUAL = 1e-9
"""A survival this near to a share is equal to it: products have rounding errors."""


class Curves(NamedTuple):
    """Kaplan-Meier curves of several arms on one set of times; at equal times the last entry is the curve's.

    Between the entries of one time the events are taken one after the other. The products and sums telescope, so that
    the last is exactly the estimate for ties, and nothing lies between.
    """

    time: Float[Array, " patient"]
    """Ascending; infinite for patients who do not count."""
    survival: Float[Array, "patient arm"]
    """Share free of the event just after the time."""
    hazard_variance: Float[Array, "patient arm"]
    """Greenwood's sum: survival^2 times it is the variance of survival."""
    risk: Float[Array, "patient arm"]
    """Patients still at risk, this one included."""
    event: Bool[Array, "patient arm"]
    """Whether this is the time of an event in the arm."""
    reach: Float[Array, " arm"]
    """How far the curve is known: its last time, or infinity where that is an event; 0 for an arm without patients."""


def kaplan_meier(
    time: Float[Array, " patient"], event: Bool[Array, " patient"], member: Bool[Array, "patient arm"]
) -> Curves:
    """Return the curve of each arm.

    Args:
        time: from entry to event or censoring.
        event: whether it is the time of an event.
        member: which arm's patient each is; a patient of no arm does not count.

    Source: Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452.
    """
    table = ordered(time, event, member.any(1))
    arm = taken(table, member) & table.known[:, None]
    count = arm.astype(time.dtype)
    risk = jnp.cumsum(count[::-1], axis=0)[::-1]
    died = arm & table.event[:, None]
    survival = jnp.cumprod(1 - jnp.where(died, 1 / jnp.maximum(risk, 1.0), 0.0), axis=0)
    # The last at risk who dies leaves survival 0 with variance 0.
    added = jnp.where(died & (risk > 1), 1 / jnp.maximum(risk * (risk - 1), 1.0), 0.0)
    last = jnp.max(jnp.where(arm, table.time[:, None], 0.0), axis=0)
    reach = jnp.where(arm.any(0) & (survival[-1] < _EQUAL), jnp.inf, last)
    return Curves(table.time, survival, jnp.cumsum(added, axis=0), risk, died, reach)


class RestrictedMeans(NamedTuple):
    """Mean time free of the event, within a horizon."""

    mean: Float[Array, " arm"]
    error: Float[Array, " arm"]
    """Standard error from Greenwood's variance of the curve."""


def restricted_mean(curves: Curves, horizon: float | Float[Array, ""]) -> RestrictedMeans:
    """Return the area under each curve from 0 to the horizon; a curve that ends before it goes on level.

    Look at `curves.reach` before using the latter.

    Source: Irwin 1949, doi:10.1017/S0022172400014443; variance as in Uno and others 2014,
    doi:10.1200/JCO.2014.55.2208.
    """
    time = jnp.minimum(curves.time, horizon)[:, None]
    before = jnp.concatenate([jnp.zeros_like(time[:1]), time[:-1]])
    level = jnp.concatenate([jnp.ones_like(curves.survival[:1]), curves.survival[:-1]])
    area = jnp.cumsum(level * (time - before), axis=0)
    total = area[-1] + curves.survival[-1] * (horizon - time[-1])
    weight = jnp.where(
        curves.event & (curves.risk > 1) & (curves.time <= horizon)[:, None],
        1 / jnp.maximum(curves.risk * (curves.risk - 1), 1.0),
        0.0,
    )
    return RestrictedMeans(total, jnp.sqrt(((total[None] - area) ** 2 * weight).sum(0)))


def log_limits(curves: Curves, z: float) -> tuple[Float[Array, "patient arm"], Float[Array, "patient arm"]]:
    """Return lower and upper limits of survival at `z` standard errors of its logarithm."""
    half = z * jnp.sqrt(curves.hazard_variance)
    return curves.survival * jnp.exp(-half), jnp.minimum(curves.survival * jnp.exp(half), 1.0)


def log_log_limits(curves: Curves, z: float) -> tuple[Float[Array, "patient arm"], Float[Array, "patient arm"]]:
    """Return lower and upper limits of survival at `z` standard errors of log(-log S).

    Where survival is 1 or 0 both are that.
    """
    inside = (curves.survival > 0) & (curves.survival < 1)
    survival = jnp.where(inside, curves.survival, 0.5)
    factor = jnp.exp(z * jnp.sqrt(curves.hazard_variance) / -jnp.log(survival))
    lower = jnp.where(inside, survival**factor, curves.survival)
    return lower, jnp.where(inside, survival ** (1 / factor), curves.survival)


def time_to_share(
    time: Float[Array, " patient"], survival: Float[Array, "patient arm"], share: float = 0.5
) -> Float[Array, " arm"]:
    """Return when each curve falls to a share: 0.5 gives medians; infinite where it never does.

    A curve that is level at the share exactly crosses it in the middle of the level stretch. Of a limit of a curve, it
    is the limit of that time.

    Source: Brookmeyer and Crowley 1982, doi:10.2307/2530286.
    """
    reached = _first(time, survival <= share + _EQUAL)
    passed = _first(time, survival < share - _EQUAL)
    return jnp.where(jnp.isfinite(passed), 0.5 * (reached + jnp.where(jnp.isfinite(passed), passed, 0.0)), reached)


def _first(time: Float[Array, " patient"], hit: Bool[Array, "patient arm"]) -> Float[Array, " arm"]:
    """Return the first time at which it is true; infinite if it never is."""
    return jnp.min(jnp.where(hit, time[:, None], jnp.inf), axis=0)
