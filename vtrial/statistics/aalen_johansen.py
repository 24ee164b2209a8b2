"""Cumulative incidence of events that exclude one another."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial.statistics.ordered import ordered, taken


def cumulative_incidence(
    time: Float[Array, " patient"],
    cause: Int[Array, " patient"],
    known: Bool[Array, " patient"],
    at: Float[Array, " time"],
    *,
    causes: int,
) -> Float[Array, "time cause"]:
    """Return the share of patients who have had each kind of event by each time, by Aalen and Johansen's estimate.

    Args:
        time: from entry to event or censoring.
        cause: which event it was, 1 to `causes`; 0 for censored.
        known: who counts.
        at: times to say it at.
        causes: how many kinds of event there are.

    Source: Aalen and Johansen 1978, Scand J Stat 5:141.
    """
    table = ordered(time, cause > 0, known)
    died = jnp.where(table.event, taken(table, cause), 0)
    risk = jnp.cumsum(table.known[::-1].astype(time.dtype))[::-1]
    # Events of one time one after the other: each takes survival / risk just before that time, whatever the order.
    survival = jnp.cumprod(1 - jnp.where(died > 0, 1 / jnp.maximum(risk, 1.0), 0.0))
    before = jnp.concatenate([jnp.ones(1, time.dtype), survival[:-1]])
    step = before / jnp.maximum(risk, 1.0)
    kinds = died[:, None] == jnp.arange(1, causes + 1)[None]
    total = jnp.cumsum(jnp.where(kinds, step[:, None], 0.0), axis=0)
    past = jnp.searchsorted(table.time, at, side="right")
    return jnp.concatenate([jnp.zeros_like(total[:1]), total])[past]
