"""The visual predictive check of times of events: Kaplan-Meier curves of the data and of replicates."""

import dataclasses
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Key

from vtrial import keys
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.data.dataset import Observations
from vtrial.diagnose.discrete import INTERVAL, survival_check
from vtrial.diagnose.replicate import thinned
from vtrial.dosing.batch import Batch
from vtrial.likelihood import StatisticalModel
from vtrial.noise import TimeToEvent

_POINTS = 201
"""Times at which a person's cumulative hazard is computed; it is taken as linear between them."""
_CURVE = 101
"""Times at which curves are compared."""
_BATCH = 20


def survival(
    key: Key[Array, ""], draws: Values, statistical: StatisticalModel, data: Dataset, count: int
) -> list[xr.Dataset]:
    """Return the curve of each output that is the exact time of an event, over the interval of replicated ones.

    A replicate takes one posterior draw, and new subjects with the observed doses and covariates. They are watched as
    long as the observed ones: those without an event until their last row, those with one, of whom that is not known,
    until the last row of any subject.

    Args:
        key: random key.
        draws: posterior draws, leading axis the draw.
        statistical: the fitted model.
        data: the observed data.
        count: how many replicates, at most.
    """
    found = []
    for output, noise in statistical.noise.items():
        if isinstance(noise, TimeToEvent) and not np.any(data.observations[output].censored):
            time, event = _ends(data.observations[output], len(data.subjects))
            watched = np.isfinite(time)
            until = np.where(event == 1, np.nanmax(time), time)
            again = _replicated(keys.named(key, output), draws, statistical, data, output, until, count)
            grid = np.linspace(0.0, float(np.nanmax(time)), _CURVE)
            solved = np.isfinite(again[0][:, watched]).all(axis=1)
            times, events = (part[solved][:, watched] for part in again)
            band = survival_check(time[watched], event[watched] == 1, times, events, grid)
            found.append(_named(output, grid, band.observed, band.simulated, data.time_unit))
    return found


def _named(output: str, grid: np.ndarray, observed: np.ndarray, simulated: np.ndarray, unit: str) -> xr.Dataset:
    at, curve = f"survival_time_{output}", "Kaplan-Meier estimate of being free of the event"
    words = {"units": "", "long_name": f"{curve}, {output}"}
    again = words | {"long_name": f"{curve}, replicates: 2.5, 50 and 97.5 % over replicates, {output}"}
    return xr.Dataset(
        {
            f"{output}_survival_observed": (at, observed, words),
            f"{output}_survival_simulated": (("interval", at), simulated, again),
        },
        {at: (at, grid, {"units": unit, "long_name": "Time"}), "interval": list(INTERVAL)},
    )


def _ends(seen: Observations, subjects: int) -> tuple[Float[np.ndarray, " subject"], Float[np.ndarray, " subject"]]:
    """Return the time of each subject's last row, and whether that is an event; not a number where there is none."""
    time, event = np.full((2, subjects), np.nan)
    time[seen.subject], event[seen.subject] = seen.time, seen.value  # a subject's rows stand in order of time
    return time, event


def _replicated(
    key: Key[Array, ""],
    draws: Values,
    statistical: StatisticalModel,
    data: Dataset,
    output: str,
    until: Float[np.ndarray, " subject"],
    count: int,
) -> tuple[Float[np.ndarray, "replicate subject"], Bool[np.ndarray, "replicate subject"]]:
    """Return the end of each new subject's time, and whether that is an event."""
    chosen = thinned(draws, count)
    watched, grid = _sampled(data, output, until)

    @jax.jit
    def one(arguments: tuple[Array, Mapping[str, Array]]) -> tuple[Array, Array]:
        number, draw = arguments
        mine = jax.random.fold_in(key, number)
        people = statistical.new_subjects(keys.named(mine, "people"), draw, watched)
        predicted, code = statistical.predict(people, watched)
        cumulative = jnp.where(code[:, None] == 0, predicted[output].reshape(grid.shape), jnp.nan)
        threshold = jax.random.exponential(keys.named(mine, "threshold"), (len(grid),))
        time = jax.vmap(jnp.interp)(threshold, cumulative, jnp.asarray(grid))
        return time, threshold <= cumulative[:, -1]

    number = jnp.arange(len(next(iter(chosen.values()))))
    found = jax.lax.map(one, (number, chosen), batch_size=min(_BATCH, len(number)))
    return np.asarray(found[0]), np.asarray(found[1])


def _sampled(
    data: Dataset, output: str, until: Float[np.ndarray, " subject"]
) -> tuple[Dataset, Float[np.ndarray, "subject point"]]:
    """Return the same subjects, an output sampled from the start of their time to the end of it, and these times."""
    start, tables = np.zeros(len(until)), []
    for table, members in zip(data.events.tables, data.events.members, strict=True):
        start[members] = np.asarray(table.time)[:, 0]
    until = np.where(np.isfinite(until), until, start)
    grid = start[:, None] + (until - start)[:, None] * np.linspace(0.0, 1.0, _POINTS)
    for table, members in zip(data.events.tables, data.events.members, strict=True):
        mine = grid[members]
        after = np.stack([np.searchsorted(t, g, "right") - 1 for t, g in zip(table.time, mine, strict=True)])
        span = np.stack([np.searchsorted(t, g, "right") - 1 for t, g in zip(table.span_time, mine, strict=True)])
        tables.append(
            dataclasses.replace(
                table,
                sample_time=mine,
                sample_after=after,
                sample_follows=np.full(mine.shape, 3),  # after all that happens at its time
                sample_span=np.maximum(span, 0),
            )
        )
    subject, sample = np.divmod(np.arange(grid.size), _POINTS)
    nothing, before = np.full(grid.size, np.nan), np.where(sample > 0, np.arange(grid.size) - 1, -1)
    seen = Observations(np.zeros(grid.size), nothing, nothing, grid.ravel(), subject, sample, before)
    events = Batch(tuple(tables), data.events.members, data.events.used)
    return eqx.tree_at(lambda d: (d.events, d.observations), data, (events, {output: seen})), grid
