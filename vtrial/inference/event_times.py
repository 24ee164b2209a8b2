"""When an event happens to people of a design, and what of it their rows show."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial import keys
from vtrial.data import Dataset, Observations
from vtrial.dosing import EventTable
from vtrial.dosing.batch import Batch
from vtrial.likelihood import StatisticalModel

_POINTS = 201
"""Times at which a cumulative hazard is computed; it is taken as linear between them."""


class Watch(NamedTuple):
    """How long the people of a design are watched for an event."""

    start: Float[np.ndarray, " subject"]
    """When their time begins, and the cumulative hazard is 0."""
    until: Float[np.ndarray, " subject"]
    """Not a number for people without a row of the output."""
    bound: Float[np.ndarray, " obs"]
    """Time of each row if the event has not come before it."""
    exact: bool
    """Whether the time of the event is seen, or only the rows it lies between."""


def watch(data: Dataset, output: str) -> Watch:
    """Return how long people are watched, as far as the data say it.

    Those without an event are watched until their last row. Those whose exact time is known would have been watched
    longer, nobody knows how long: until the last row of any subject. An event between two rows is looked for at the
    rows that there are.
    """
    seen = data.observations[output]
    start = np.zeros(len(data.subjects))
    for table, members in zip(data.events.tables, data.events.members, strict=True):
        start[members] = np.asarray(table.time)[:, 0]
    exact = not np.any(seen.censored)
    last = np.ones(len(seen.value), bool)
    last[seen.previous[seen.previous >= 0]] = False
    bound = np.where(last & (seen.value == 1) & exact, np.max(seen.time), seen.time)
    until = np.full(len(data.subjects), np.nan)
    until[seen.subject[last]] = bound[last]
    return Watch(start, until, bound, exact)


def event_times(
    key: Key[Array, ""],
    statistical: StatisticalModel,
    p: Mapping[str, Array],
    output: str,
    data: Dataset,
    watched: Watch,
) -> Float[Array, " subject"]:
    """Draw when the event comes to people with parameters `p`; not a number where a person's solve fails.

    It is where the cumulative hazard reaches a threshold that is exponential with mean 1 (inversion), found on a grid
    and then on one within the interval found. A time later than a person is watched says that the event is not seen.
    """
    until = np.where(np.isfinite(watched.until), watched.until, watched.start)
    low, high = jnp.asarray(watched.start), jnp.asarray(until)
    threshold = jax.random.exponential(keys.named(key, "threshold"), (len(until),))

    def hazards(low: Array, high: Array) -> tuple[Array, Array]:
        grid = low[:, None] + (high - low)[:, None] * jnp.linspace(0.0, 1.0, _POINTS)
        predicted, code = statistical.predict(p, sampled(data, output, grid))
        return grid, jnp.where(code[:, None] == 0, predicted[output].reshape(grid.shape), jnp.nan)

    grid, cumulative = hazards(low, high)
    happened = threshold <= cumulative[:, -1]
    after = jnp.clip(jax.vmap(jnp.searchsorted)(cumulative, threshold), 1, _POINTS - 1)
    low, high = (jnp.take_along_axis(grid, at[:, None], 1)[:, 0] for at in (after - 1, after))
    grid, cumulative = hazards(low, high)
    time = jax.vmap(jnp.interp)(threshold, cumulative, grid)
    return jnp.where(jnp.isnan(cumulative[:, -1]), jnp.nan, jnp.where(happened, time, jnp.asarray(until) + 1.0))


def sampled(data: Dataset, output: str, grid: Float[Array, "subject point"]) -> Dataset:
    """Return the same subjects, with an output sampled at ascending times of their own and nothing else seen."""
    tables = []
    for table, members in zip(data.events.tables, data.events.members, strict=True):
        at = grid[members]
        after, follows, span = _places(table, at)
        own = {"sample_time": at, "sample_after": after, "sample_follows": follows, "sample_span": span}
        tables.append(dataclasses.replace(table, **own))
    subject, sample = np.divmod(np.arange(grid.size), grid.shape[1])
    nothing, before = np.full(grid.size, np.nan), np.where(sample > 0, np.arange(grid.size) - 1, -1)
    seen = Observations(np.zeros(grid.size), nothing, nothing, np.zeros(grid.size), subject, sample, before)
    seen = eqx.tree_at(lambda o: o.time, seen, grid.reshape(-1))
    events = Batch(tuple(tables), data.events.members, data.events.used)
    return eqx.tree_at(lambda d: (d.events, d.observations), data, (events, {output: seen}))


def _places(
    table: EventTable, at: Float[Array, "member sample"]
) -> tuple[Int[Array, "member sample"], Int[Array, "member sample"], Int[Array, "member sample"]]:
    """Return where samples that come after all that happens at their time stand in a table: entry, rank and span."""
    find = jax.vmap(lambda times, when: jnp.searchsorted(times, when, side="right") - 1)
    after, span = find(jnp.asarray(table.time), at), find(jnp.asarray(table.span_time), at)
    return jnp.maximum(after, 0), jnp.full(at.shape, 3), jnp.maximum(span, 0)


def seen_event(data: Dataset, output: str, watched: Watch, time: Float[Array, " subject"]) -> Dataset:
    """Return the data of people whose event comes at given times, later than they are watched if it is not seen.

    The row at which the event is known has value 1, and its time if that is exact. Rows that would come later stand at
    the same time with value 0: they have no likelihood of their own, so that the number of rows never changes.
    """
    seen, bound = data.observations[output], jnp.asarray(watched.bound)
    own = time[seen.subject]
    before = jnp.where(seen.previous >= 0, bound[seen.previous], -jnp.inf)
    value = ((own <= bound) & (before < own)).astype(float)
    known = time
    if not watched.exact:
        rows = jnp.where(own <= bound, bound, jnp.inf)
        known = jnp.full(len(data.subjects), jnp.inf).at[seen.subject].min(rows)
    moved = jnp.minimum(bound, known[seen.subject])
    limit = np.full(len(seen.value), np.nan if watched.exact else -np.inf)
    fields = (value, limit, -limit, moved)
    shown = eqx.tree_at(lambda o: (o.value, o.lower, o.upper, o.time), seen, fields)
    data = eqx.tree_at(lambda d: d.observations, data, dict(data.observations) | {output: shown})
    return _moved(data, output, moved)


def _moved(data: Dataset, output: str, time: Float[Array, " obs"]) -> Dataset:
    """Return data whose event tables have the samples of an output at other times, again in order of time."""
    seen, tables = data.observations[output], []
    position = jnp.zeros((len(data.subjects), max(t.sizes[1] for t in data.events.tables)), int)
    for table, members in zip(data.events.tables, data.events.members, strict=True):
        row = np.full(len(data.subjects), len(members))
        row[members] = np.arange(len(members))
        # Rows of people in other buckets fall outside, and are dropped.
        place = row[seen.subject], seen.sample
        new = jnp.asarray(table.sample_time).at[place].set(time, mode="drop")
        mine = jnp.zeros(new.shape, bool).at[place].set(True, mode="drop")
        old = (table.sample_after, table.sample_follows, table.sample_span)
        fields = [jnp.where(mine, a, jnp.asarray(b)) for a, b in zip(_places(table, new), old, strict=True)]
        order = jnp.argsort(new, axis=1, stable=True)
        position = position.at[members, : new.shape[1]].set(jnp.argsort(order, axis=1))
        columns = (jnp.take_along_axis(column, order, 1) for column in (new, *fields))
        names = ("sample_time", "sample_after", "sample_follows", "sample_span")
        tables.append(dataclasses.replace(table, **dict(zip(names, columns, strict=True))))
    events = Batch(tuple(tables), data.events.members, data.events.used)
    observations = {
        o: eqx.tree_at(lambda s: s.sample, each, position[each.subject, each.sample])
        for o, each in data.observations.items()
    }
    return eqx.tree_at(lambda d: (d.events, d.observations), data, (events, observations))
