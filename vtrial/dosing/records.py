"""Dose records resolved into an event table: the only description of dosing a solver reads.

Ordering rule, NONMEM's. Records are processed by time; at equal times in the order of the data rows. The additional
doses of ADDL come after all rows of their time, so that a sample taken at the hour of a repeated dose is a trough;
a dose that enters after a lag comes before all rows of the time it enters. Samples that ask to be taken after the doses
of their time come last.

A reset (EVID 3, EVID 4, SS 1) empties the person: amounts go back to their initial values, infusions stop, and what
earlier records still had to give is cancelled, additional and lagged doses included.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from vtrial.dosing.table import EventTable, Kind


class Dose(NamedTuple):
    """One dose record: EVID 1, or EVID 4 with `reset`; with its additional doses."""

    time: float
    amount: float
    state: int
    """Position of the dosed state in the model's state vector."""
    additional: int = 0
    """ADDL: how many equal doses follow."""
    interval: float = 0.0
    """II: time between them, and between the doses of a steady state."""
    rate: float = 0.0
    """RATE: 0 for a bolus, above 0 an infusion at that rate (bioavailability then changes its duration), -1 an infusion
    at the modelled rate R, -2 one of the modelled duration D."""
    duration: float = 0.0
    """DUR or TINF: above 0 an infusion of that duration (bioavailability then changes its rate)."""
    steady: int = 0
    """SS: 1 the record comes at steady state, and what was there is gone; 2 the steady state is added to it."""
    reset: bool = False
    """EVID 4: everything is reset before the dose."""


class Reset(NamedTuple):
    """EVID 3: everything is reset."""

    time: float


class Mark(NamedTuple):
    """EVID 2: a row at which nothing happens but that covariates may change."""

    time: float


class After(NamedTuple):
    """A sample taken just after all doses of its time; a plain number is a sample taken before repeated doses."""

    time: float


type Row = Dose | Reset | Mark | After | float


def rounded(time: float) -> float:
    """Return a time to twelve digits: three times 0.7 h is then the same hour as 2.1 h, which it is not in binary."""
    return float(f"{time:.12g}")


class _Event(NamedTuple):
    """One entry of the table in the making; sorted by time, then `follows`, then number of the row and of the entry."""

    time: float
    follows: int
    row: int
    entry: int
    kind: Kind
    dose: Dose | None = None
    start: float = 0.0
    until: float = np.inf
    steady: int = 0
    slot: int = 0
    """For FILL the state that is filled; for infusions and doses of a steady state which dose before this one."""


def event_table(rows: Sequence[Row], *, states: int = 0, carried: str = "") -> EventTable:
    """Resolve one person's rows, doses and samples in data order, into an event table.

    Args:
        rows: a `Dose`, `Reset` or `Mark`, or a sample as its time or as `After`; times in the model's unit.
        states: number of states of the model; needed where a record is at steady state.
        carried: how parameters that vary with time go on between rows, "locf", "nocb" or "linear"; "" if none varies.
            Each row then has a value of its own, so rows must ascend.

    Raises:
        ValueError: there is no row at all, or rows do not ascend where parameters vary.
    """
    if not rows:
        raise ValueError("A person without a dose and without a sample has no events to solve.")
    times, varying = [rounded(_time(row)) for row in rows], bool(carried)
    if varying and np.any(np.diff(times) < 0):
        raise ValueError("Rows must ascend in time where parameters vary with it.")
    until = _until(rows, times)
    events: list[_Event] = [_Event(min(times), -1, -1, 0, Kind.NOTHING)]
    steady: list[Dose] = []
    for number, (row, time) in enumerate(zip(rows, times, strict=True)):
        if varying:
            events.append(_Event(time, 0, number, 0, Kind.NOTHING))
        if isinstance(row, Reset) or (isinstance(row, Dose) and (row.reset or row.steady == 1)):
            events.append(_Event(time, 0, number, 1, Kind.RESET))
        if isinstance(row, Dose):
            events += _dose(row, number, time, until[number], steady, states)
    events.sort(key=lambda e: e[:4])
    samples = sorted(
        (time, 2 if isinstance(row, After) else 0, number)
        for number, (row, time) in enumerate(zip(rows, times, strict=True))
        if isinstance(row, After | float | int)
    )
    return _table(events, samples, steady, _floats(times if varying else [min(times)]), carried)


def _time(row: Row) -> float:
    return row.time if isinstance(row, Dose | Reset | Mark | After) else float(row)


def _until(rows: Sequence[Row], times: Sequence[float]) -> list[float]:
    """Return for each row the time of the next reset, which cancels what the row still had to give."""
    result, following = [], np.inf
    for row, time in zip(reversed(rows), reversed(times), strict=True):
        result.append(following)
        if isinstance(row, Reset) or (isinstance(row, Dose) and (row.reset or row.steady == 1)):
            following = time
    return result[::-1]


def _dose(row: Dose, number: int, time: float, until: float, steady: list[Dose], states: int) -> list[_Event]:
    """Return the entries of one dose record: its steady state, the dose, the additional doses."""
    events, infusion = [], _infused(row)
    if row.steady:
        if not states:
            raise ValueError("A record at steady state needs the number of states of the model.")
        steady.append(row._replace(time=time))
        which = len(steady) - 1
        events += [
            _Event(time, 0, number, 2 + s, Kind.FILL, row, time, until, steady=which, slot=s) for s in range(states)
        ]
        for j in range(1, _slots(row) + 1):
            entry = 2 + states + 2 * j
            for k, kind in enumerate((Kind.BEFORE, Kind.BEFORE_END) if infusion else (Kind.BEFORE,)):
                events.append(_Event(time, 0, number, entry + k, kind, row, time, until, steady=which, slot=j))
        if row.interval == 0:
            return events  # a constant infusion, which ends with its record
    for k in range(row.additional + 1):
        start = rounded(time + k * row.interval)
        if k and start >= until:
            break  # a lag could only delay it further
        if infusion:
            events.append(_Event(start, int(k > 0), number, 10_000 + 2 * k, Kind.START, row, start, until))
            length = row.duration or (row.amount / row.rate if row.rate > 0 else 0.0)
            events.append(_Event(rounded(start + length), 0, number, 10_001 + 2 * k, Kind.END, row, start, until))
        else:
            events.append(_Event(start, int(k > 0), number, 10_000 + 2 * k, Kind.BOLUS, row, start, until))
    return events


def _slots(row: Dose) -> int:
    """Return how many doses before a record at steady state may still be entering at its time.

    One for a lag shorter than the interval, and as many as infusions of the recorded length overlap; where the length
    is modelled, three more. A person who needs more gets result code NO_STEADY_STATE.
    """
    if row.interval == 0:
        return 1
    length = row.duration or (row.amount / row.rate if row.rate > 0 else 3 * row.interval if row.rate < 0 else 0.0)
    return 1 + int(np.ceil(length / row.interval - 1e-9))


def _table(
    events: list[_Event],
    samples: list[tuple[float, int, int]],
    steady: list[Dose],
    span_time: np.ndarray,
    carried: str,
) -> EventTable:
    """Lay the sorted events and samples out as arrays."""
    varying = bool(carried)
    doses = [e.dose or Dose(e.time, 0.0, 0) for e in events]
    pairs = list(zip(events, doses, strict=True))
    keys = [e[:3] for e in events]
    signs = {Kind.START: 1.0, Kind.END: -1.0}
    given = [d for e, d in pairs if e.dose]
    filled = {e.steady: e.row for e in events if e.kind == Kind.FILL}
    return EventTable(
        time=_floats(e.time for e in events),
        amount=_floats(d.amount * (e.kind == Kind.BOLUS) * (e.time < e.until) for e, d in pairs),
        rate=_floats(_rate(d) * signs.get(e.kind, 0.0) * (e.time < e.until) for e, d in pairs),
        state=_ints(e.slot if e.kind == Kind.FILL else d.state for e, d in pairs),
        kind=_ints(e.kind for e in events),
        start=_floats(e.start if e.dose else e.time for e in events),
        given_amount=_floats(d.amount for d in doses),
        given_rate=_floats(d.rate for d in doses),
        given_duration=_floats(d.duration for d in doses),
        until=_floats(e.until for e in events),
        follows=_ints(e.follows for e in events),
        span=_ints(max(e.row, 0) if varying else 0 for e in events),
        steady=_ints(e.steady for e in events),
        slot=_ints(0 if e.kind == Kind.FILL else e.slot for e in events),
        steady_amount=_floats(d.amount for d in steady),
        steady_rate=_floats(d.rate for d in steady),
        steady_duration=_floats(d.duration for d in steady),
        steady_interval=_floats(d.interval for d in steady),
        steady_state=_ints(d.state for d in steady),
        steady_span=_ints(filled[i] if varying else 0 for i in range(len(steady))),
        span_time=span_time,
        sample_time=_floats(time for time, _, _ in samples),
        # Entry 0 is before every sample.
        sample_after=_ints(bisect_right(keys, sample) - 1 for sample in samples),
        sample_follows=_ints(follows for _, follows, _ in samples),
        sample_span=_ints(row if varying else 0 for _, _, row in samples),
        dosed=tuple(sorted({d.state for d in given if not _infused(d)})),
        infused=tuple(sorted({d.state for d in given if _infused(d)})),
        filled=tuple(sorted({e.slot for e in events if e.kind == Kind.FILL})),
        rated=tuple(sorted({d.state for d in given if d.rate == -1})),
        timed=tuple(sorted({d.state for d in given if d.rate == -2})),
        constant=any(d.interval == 0 for d in steady),
        carried=carried,
    )


def _floats(values: Iterable[float]) -> np.ndarray:
    return np.asarray(list(values), float)


def _ints(values: Iterable[int]) -> np.ndarray:
    return np.asarray(list(values), np.int32)


def _rate(dose: Dose) -> float:
    """Return the rate of an infusion as its record says it; 0 where it is modelled."""
    return dose.amount / dose.duration if dose.duration > 0 else max(dose.rate, 0.0)


def _infused(dose: Dose) -> bool:
    return dose.rate != 0 or dose.duration > 0
