"""EventTable: one person's doses and samples as arrays, in order; or many persons', padded and stacked."""

from collections.abc import Sequence
from enum import IntEnum

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int


class Kind(IntEnum):
    """What an entry of the event table does."""

    NOTHING = 0
    """Only marks a time."""
    BOLUS = 1
    START = 2
    """An infusion starts."""
    END = 3
    """An infusion ends."""
    RESET = 4
    FILL = 5
    """One state is filled with its amount at steady state."""
    BEFORE = 6
    """What a dose before a record at steady state still gives at its time: the bolus, or the infusion goes on."""
    BEFORE_END = 7
    """The end of such an infusion."""


class EventTable(eqx.Module):
    """One person's doses and samples, in order; or many persons', padded to one shape and stacked on leading axes.

    Entry 0 is the start of the person's time and does nothing. Padding repeats the last time and does nothing. `time`,
    `amount` and `rate` say what happens as far as the records alone tell; where bioavailability, lag, duration or rate
    are parameters, or where there is a steady state, `vtrial.dosing.steps.resolve` works them out from the rest.
    """

    time: Float[Array | np.ndarray, "... record"]
    """Time of each entry, ascending, in the model's time unit."""
    amount: Float[Array | np.ndarray, "... record"]
    """Amount added at that time, in the state's unit."""
    rate: Float[Array | np.ndarray, "... record"]
    """Change of the input rate at that time, in the state's unit per time."""
    state: Int[Array | np.ndarray, "... record"]
    """State that either is for."""
    kind: Int[Array | np.ndarray, "... record"]
    """A `Kind`."""
    start: Float[Array | np.ndarray, "... record"]
    """Time of the dose the entry belongs to, before any lag."""
    given_amount: Float[Array | np.ndarray, "... record"]
    """AMT of that dose."""
    given_rate: Float[Array | np.ndarray, "... record"]
    """RATE of that dose."""
    given_duration: Float[Array | np.ndarray, "... record"]
    """Duration of that dose."""
    until: Float[Array | np.ndarray, "... record"]
    """Time of the reset that cancels the entry; infinity for none."""
    follows: Int[Array | np.ndarray, "... record"]
    """Whether the entry comes after the rows of its time: the ordering rule."""
    span: Int[Array | np.ndarray, "... record"]
    """Which value of the varying parameters the dose of the entry has."""
    steady: Int[Array | np.ndarray, "... record"]
    """Which steady state the entry belongs to."""
    slot: Int[Array | np.ndarray, "... record"]
    """Which dose before its record the entry stands for."""
    steady_amount: Float[Array | np.ndarray, "... steady"]
    steady_rate: Float[Array | np.ndarray, "... steady"]
    steady_duration: Float[Array | np.ndarray, "... steady"]
    steady_interval: Float[Array | np.ndarray, "... steady"]
    """AMT, RATE, duration and II of each record at steady state; II 0 is a constant infusion."""
    steady_state: Int[Array | np.ndarray, "... steady"]
    steady_span: Int[Array | np.ndarray, "... steady"]
    span_time: Float[Array | np.ndarray, "... span"]
    """Time of each value of the varying parameters."""
    sample_time: Float[Array | np.ndarray, "... sample"]
    """Time of each sample, ascending, in the model's time unit."""
    sample_after: Int[Array | np.ndarray, "... sample"]
    """The last entry processed before the sample: this resolves equal times once, for every solver."""
    sample_follows: Int[Array | np.ndarray, "... sample"]
    sample_span: Int[Array | np.ndarray, "... sample"]
    """Which value of the varying parameters the sample is observed with."""
    dosed: tuple[int, ...] = eqx.field(static=True)
    """States that receive boluses."""
    infused: tuple[int, ...] = eqx.field(static=True)
    """States that receive infusions."""
    filled: tuple[int, ...] = eqx.field(static=True)
    """States that a steady state fills: none, or all."""
    rated: tuple[int, ...] = eqx.field(static=True)
    """States that receive infusions of modelled rate (RATE -1)."""
    timed: tuple[int, ...] = eqx.field(static=True)
    """States that receive infusions of modelled duration (RATE -2)."""
    constant: bool = eqx.field(static=True)
    """Whether a record is a constant infusion at steady state."""
    carried: str = eqx.field(static=True)
    """How varying parameters go on between rows: "locf" (the last row's), "nocb" (the next row's, as NONMEM has it),
    "linear" (from one to the next); "" where none varies."""
    moved: bool = eqx.field(static=True, default=False)
    """Whether entries or samples are no longer in order: `resolve` then sorts them."""

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Numbers of entries, samples, steady states and spans."""
        return (
            self.time.shape[-1],
            self.sample_time.shape[-1],
            self.steady_amount.shape[-1],
            self.span_time.shape[-1],
        )


_LAST = {"time", "start", "span_time", "sample_time", "sample_after", "sample_span"}
"""Fields whose padding repeats the last value: time never runs back."""
_FILLS = {"until": np.inf, "steady_interval": 1.0, "follows": 3, "sample_follows": 3}
"""Fields whose padding is neither that nor 0."""


def _padded(name: str, values: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Stack arrays of different lengths, each padded at its end."""
    rows = []
    for value in values:
        fill = value[-1] if name in _LAST and len(value) else _FILLS.get(name, 0)
        rows.append(np.append(value, np.full(length - len(value), fill, value.dtype)))
    return np.stack(rows)


def stack(tables: Sequence[EventTable]) -> EventTable:
    """Pad the event tables of several persons to one shape and stack them on a leading `subject` axis."""
    fields = {}
    for name in EventTable.__dataclass_fields__:
        values = [getattr(t, name) for t in tables]
        if isinstance(values[0], bool):
            fields[name] = any(values)
        elif isinstance(values[0], str):
            fields[name] = values[0]
        elif isinstance(values[0], tuple):
            fields[name] = tuple(sorted(set().union(*values)))
        else:
            values = [np.asarray(v) for v in values]
            fields[name] = _padded(name, values, max(len(v) for v in values))
    return _ordered(EventTable(**fields), tables)


def _ordered(stacked: EventTable, tables: Sequence[EventTable]) -> EventTable:
    """Correct the padding of the stacked tables where a field's own last value is not the right one."""
    sample_time, sample_after = np.array(stacked.sample_time), np.array(stacked.sample_after)
    time = np.array(stacked.time)
    for i, table in enumerate(tables):
        records, samples = table.time.shape[0], table.sample_time.shape[0]
        if not samples:
            sample_time[i], sample_after[i] = table.time[-1], records - 1
        time[i, records:] = max(table.time[-1], sample_time[i, -1] if sample_time.shape[1] else -np.inf)
    new = (time, sample_time, sample_after)
    return eqx.tree_at(lambda t: (t.time, t.sample_time, t.sample_after), stacked, new)
