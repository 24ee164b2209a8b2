"""Dose records resolved into an event table: the only description of dosing a solver reads.

Ordering rule. Records are processed by time; at equal times in the order of the data rows; the additional doses of an
ADDL record come after all rows of the same time, so that a sample taken at the hour of a repeated dose is a trough;
samples that ask to be taken after the doses of their time come last.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int


class Dose(NamedTuple):
    """One bolus record: EVID 1, with its additional doses."""

    time: float
    amount: float
    state: int
    """Position of the dosed state in the model's state vector."""
    additional: int = 0
    """ADDL: how many equal doses follow."""
    interval: float = 0.0
    """II: time between them."""


class After(NamedTuple):
    """A sample taken just after all doses of its time; a plain number is a sample taken before repeated doses."""

    time: float


class EventTable(eqx.Module):
    """One person's doses and samples, in order; or many persons', padded to one shape and stacked on leading axes.

    Record 0 is the start of the person's time and doses nothing. Padding repeats the last time with amount 0.
    """

    time: Float[Array | np.ndarray, "... record"]
    """Time of each dose, ascending, in the model's time unit."""
    amount: Float[Array | np.ndarray, "... record"]
    """Amount added at that time, in the state's unit."""
    state: Int[Array | np.ndarray, "... record"]
    """State it is added to."""
    sample_time: Float[Array | np.ndarray, "... sample"]
    """Time of each sample, ascending, in the model's time unit."""
    sample_after: Int[Array | np.ndarray, "... sample"]
    """The last record processed before the sample: this resolves equal times once, for every solver."""


def rounded(time: float) -> float:
    """Return a time to twelve digits: three times 0.7 h is then the same hour as 2.1 h, which it is not in binary."""
    return float(f"{time:.12g}")


def event_table(rows: Sequence[Dose | After | float]) -> EventTable:
    """Resolve one person's rows, doses and sample times in data order, into an event table.

    Args:
        rows: a `Dose`, or a sample as its time or as `After`; times in the model's unit, not negative.

    Raises:
        ValueError: there is no row at all.
    """
    if not rows:
        raise ValueError("A person without a dose and without a sample has no events to solve.")
    # Sort key: time, then data rows, additional doses, samples after them, then row number.
    events: list[tuple[float, int, int, Dose | None]] = []
    for number, row in enumerate(rows):
        if isinstance(row, Dose):
            events += [
                (rounded(row.time + k * row.interval), int(k > 0), number, row) for k in range(row.additional + 1)
            ]
        elif isinstance(row, After):
            events.append((rounded(row.time), 2, number, None))
        else:
            events.append((rounded(float(row)), 0, number, None))
    events.sort(key=lambda event: event[:3])

    time, amount, state = [events[0][0]], [0.0], [0]
    sample_time, sample_after = [], []
    for at, _, _, dose in events:
        if dose is None:
            sample_time.append(at)
            sample_after.append(len(time) - 1)
        else:
            time.append(at)
            amount.append(dose.amount)
            state.append(dose.state)
    return EventTable(
        time=np.asarray(time, float),
        amount=np.asarray(amount, float),
        state=np.asarray(state, np.int32),
        sample_time=np.asarray(sample_time, float),
        sample_after=np.asarray(sample_after, np.int32),
    )


def _padded(values: Sequence[np.ndarray], fills: Sequence[float]) -> np.ndarray:
    """Stack arrays of different lengths, each padded at its end with its fill."""
    length = max(len(v) for v in values)
    return np.stack(
        [np.append(v, np.full(length - len(v), fill, v.dtype)) for v, fill in zip(values, fills, strict=True)]
    )


def stack(tables: Sequence[EventTable]) -> EventTable:
    """Pad the event tables of several persons to one shape and stack them on a leading `subject` axis.

    Padding samples repeat the person's last sample; padding doses follow it with amount 0: time never runs back.
    """
    none = [0] * len(tables)
    times = [np.asarray(t.time) for t in tables]
    samples = [np.asarray(t.sample_time) for t in tables]
    after = [np.asarray(t.sample_after) for t in tables]
    last_sample = [float(s[-1] if len(s) else t[-1]) for s, t in zip(samples, times, strict=True)]
    last_after = [int(a[-1]) if len(a) else len(t) - 1 for a, t in zip(after, times, strict=True)]
    return EventTable(
        time=_padded(times, np.maximum([t[-1] for t in times], last_sample).tolist()),
        amount=_padded([np.asarray(t.amount) for t in tables], none),
        state=_padded([np.asarray(t.state) for t in tables], none),
        sample_time=_padded(samples, last_sample),
        sample_after=_padded(after, last_after),
    )
