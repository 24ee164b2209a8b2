"""One patient's event table changed inside a traced program: doses left out, moved or added, samples moved."""

from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from vtrial.dosing.table import EventTable, Kind

_RECORD = (
    "time", "amount", "rate", "state", "kind", "start", "given_amount", "given_rate", "given_duration", "until",
    "follows", "span", "steady", "slot",
)  # fmt: skip
"""Fields with one value for each entry."""
_STATES = ("dosed", "infused", "rated", "timed")
"""Fields that name the states that something may enter."""


def given_only(table: EventTable, part: Float[Array, " record"]) -> EventTable:
    """Return the table with each entry's dose times `part`: 0 for a dose that is not taken.

    Infusions keep their duration: those of given rate have it times `part` too.
    """
    return replace(
        table,
        amount=table.amount * part,
        rate=table.rate * part,
        given_amount=table.given_amount * part,
        given_rate=jnp.where(jnp.asarray(table.given_rate) > 0, table.given_rate * part, table.given_rate),
    )


def moved(table: EventTable, by: Float[Array, " record"]) -> EventTable:
    """Return the table with each dose later by so much, its infusion too; what a record at steady state had stays."""
    by = jnp.where(np.isin(table.kind, (Kind.BOLUS, Kind.START, Kind.END)), by, 0.0)
    return replace(table, time=table.time + by, start=table.start + by, moved=True)


def sampled(table: EventTable, time: Float[Array, " sample"]) -> tuple[EventTable, Int[Array, " sample"]]:
    """Return the table with its samples at other times, and the place of each of them in it: samples ascend."""
    order = jnp.argsort(time, stable=True)
    names = ("sample_after", "sample_follows", "sample_span")
    fields = {name: jnp.asarray(getattr(table, name))[order] for name in names}
    return replace(table, sample_time=time[order], moved=True, **fields), jnp.argsort(order, stable=True)


def joined(table: EventTable, added: Sequence[EventTable]) -> EventTable:
    """Return the table with the doses of further ones, which have no record at steady state; samples are its own."""
    if not added:
        return table
    fields = {n: _joined([getattr(table, n), *(getattr(one, n)[1:] for one in added)]) for n in _RECORD}
    states = {n: tuple(sorted(set(getattr(table, n)).union(*(getattr(one, n) for one in added)))) for n in _STATES}
    return replace(table, moved=True, **fields, **states)


def divided(table: EventTable, time: Float[Array, " change"]) -> EventTable:
    """Return the table with spans of its parameters: up to the first of times that ascend, and from each of them on."""
    entry = {name: jnp.zeros(len(time), jnp.asarray(getattr(table, name)).dtype) for name in _RECORD}
    entry |= {"time": time, "start": time, "until": jnp.full(len(time), jnp.inf)}
    fields = {name: _joined([getattr(table, name), value]) for name, value in entry.items()}
    return replace(
        table,
        **fields
        | {
            "span": jnp.sum(fields["start"][:, None] >= time[None], axis=1, dtype=jnp.int32),
            "span_time": jnp.append(jnp.asarray(table.time)[:1], time),
            "sample_span": jnp.sum(jnp.asarray(table.sample_time)[:, None] > time[None], axis=1, dtype=jnp.int32),
            "carried": "locf",
            "moved": True,
        },
    )


def _joined(parts: Sequence[Shaped[Array | np.ndarray, " _"]]) -> Shaped[Array | np.ndarray, " _"]:
    """Join arrays; numbers stay numbers, of which a solver may know something."""
    known = all(isinstance(part, np.ndarray) for part in parts)
    return np.concatenate(parts) if known else jnp.concatenate([jnp.asarray(part) for part in parts])
