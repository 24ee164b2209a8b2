"""From an event table and a person's parameters to steps: what happens to whom, when, with every rule applied."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial._types import Named, Scalar
from vtrial.dosing.table import EventTable, Kind
from vtrial.errors import UserError
from vtrial.model import AbstractModel, Entry, entries


class Train(NamedTuple):
    """An endless train of equal doses into one state, as it enters: after bioavailability."""

    amount: Float[Array, ""]
    """Of a bolus; 0 for infusions."""
    rate: Float[Array, ""]
    """Of an infusion; 0 for boluses."""
    duration: Float[Array, ""]
    lag: Float[Array, ""]
    interval: Float[Array, ""]
    """0 for a constant infusion."""
    state: Int[Array, ""]


type Steady = Callable[[Train, Named], tuple[Float[Array, " state"], Bool[Array, ""]]]
"""Returns the states at the record time of a train's next dose, and whether they could be found."""


class Steps(eqx.Module):
    """One person's steps in order: at each perhaps a reset, then an amount into a state, then a change of input."""

    time: Float[Array, " step"]
    """Ascending; step 0 is the start."""
    amount: Float[Array, " step"]
    rate: Float[Array, " step"]
    state: Int[Array, " step"]
    reset: Bool[Array, " step"]
    span: Int[Array, " step"]
    """Span of the varying parameters in the interval that ends at the step."""
    sample_time: Float[Array, " sample"]
    sample_after: Int[Array, " sample"]
    sample_interval: Int[Array, " sample"]
    """Span of the interval from the last step to the sample."""
    sample_span: Int[Array, " sample"]
    """Span the sample is observed with."""
    steady: Bool[Array, ""]
    """Whether every steady state was found."""
    span_time: Float[Array, " span"]
    infused: tuple[int, ...] = eqx.field(static=True)
    """States that may have an input."""
    dosed: tuple[int, ...] = eqx.field(static=True)
    """States that may receive an amount."""
    linear: bool = eqx.field(static=True)
    """Whether varying parameters run linearly through their span; otherwise they are constant in it."""


def at_span(p: Named, span: Int[Array, ""] | int) -> dict[str, Scalar]:
    """Return the parameters in one span: varying ones have an axis of spans, the others are scalars."""
    return {name: value[span] if jnp.ndim(value) else value for name, value in p.items()}  # pyright: ignore


def at_time(p: Named, steps: Steps, t: Float[Array, ""], span: Int[Array, ""]) -> dict[str, Scalar]:
    """Return the parameters at a time within a span."""
    if not steps.linear:
        return at_span(p, span)
    left, right = steps.span_time[span], steps.span_time[span + 1]
    part = jnp.where(right > left, (t - left) / jnp.where(right > left, right - left, 1.0), 1.0)
    here, there = at_span(p, span), at_span(p, span + 1)
    return {name: here[name] + part * (there[name] - here[name]) if jnp.ndim(p[name]) else p[name] for name in p}


def varies(p: Named) -> bool:
    """Return whether some parameter varies with time."""
    return any(jnp.ndim(value) for value in p.values())


def resolve(
    model: AbstractModel, p: Named, events: EventTable, steady: Steady, initial: Float[Array, " state"]
) -> Steps:
    """Apply bioavailability, lag, modelled rates and durations, steady states and resets, and put all in order.

    Where nothing of it depends on parameters, and nothing was moved, the table is in order, and is taken as it is.

    Raises:
        UserError: a record asks for a rate or a duration that nobody gives.
    """
    entering = entries(model, at_span(p, 0))
    _check_modelled(model, entering, events)
    names = tuple(model.states)
    used = [entering[names[i]] for i in {*events.dosed, *events.infused}]
    kind, state = jnp.asarray(events.kind), jnp.asarray(events.state)
    everything = all(value is None for entry in used for value in entry[:2])
    if everything and not (events.rated or events.timed or events.steady_amount.shape[-1]):
        time, amount, rate = (jnp.asarray(x) for x in (events.time, events.amount, events.rate))
        after, found = jnp.asarray(events.sample_after), jnp.asarray(True)
        if not events.moved:
            return _steps(p, events, (time, amount, rate, state, kind == Kind.RESET), after, found)
    else:
        filled, found = _steady_states(model, p, events, steady, len(names))
        time, amount, rate = _values(model, p, events, filled, initial)
    start = jnp.asarray(events.start)
    # A dose that comes after a lag comes before the rows of its time; so says its place in the table.
    follows = jnp.where(time > start, 0, jnp.asarray(events.follows))
    live = time < jnp.asarray(events.until)
    order = jnp.lexsort((follows, jax.lax.stop_gradient(time)))
    after = _samples_after(events, time, follows, order)
    columns = (time, jnp.where(live, amount, 0.0), jnp.where(live, rate, 0.0), state, kind == Kind.RESET)
    return _steps(p, events, tuple(column[order] for column in columns), after, found)


def _check_modelled(model: AbstractModel, entering: dict[str, Entry], events: EventTable) -> None:
    for code, letter, field, states in ((-1, "R", "rate", events.rated), (-2, "D", "duration", events.timed)):
        for state in states:
            name = tuple(model.states)[state]
            if getattr(entering[name], field) is None:
                raise UserError(
                    f"A dose record into '{name}' has RATE {code}, which takes its {field} from parameter "
                    f"{letter}_{name}; add it to population.parameters."
                )


def _entering(model: AbstractModel, p: Named, span: Int[Array, " any"], state: Int[Array, " any"]) -> Entry:
    """Return how each dose enters, by its span and state; 1 stands for what is not given, 0 for a lag."""

    def by_state(span: Int[Array, ""] | int) -> Float[Array, "field state"]:
        found = entries(model, at_span(p, span))
        values = [[found[name][i] for name in model.states] for i in range(4)]
        defaults = (1.0, 0.0, 1.0, 1.0)
        return jnp.stack(
            [
                jnp.stack([jnp.asarray(default if v is None else v, float) for v in row])
                for row, default in zip(values, defaults, strict=True)
            ]
        )

    if varies(p):
        every = jax.vmap(by_state)(span)
        return Entry(*(every[jnp.arange(len(state)), i, state] for i in range(4)))
    once = by_state(0)
    return Entry(*(once[i][state] for i in range(4)))


def _infusion(
    entry: Entry, amount: Float[Array, " any"], rate: Float[Array, " any"], duration: Float[Array, " any"]
) -> tuple[Float[Array, " any"], Float[Array, " any"], Float[Array, " any"]]:
    """Return amount, rate and duration as they enter; rate and duration 0 for a bolus.

    Bioavailability changes the duration of an infusion of given or modelled rate, the rate of one of given or modelled
    duration: NONMEM's rule.
    """
    entering = jnp.asarray(entry.bioavailability) * amount
    fixed = jnp.where(duration > 0, duration, jnp.where(rate == -2, entry.duration, 0.0))  # pyright: ignore
    timed = fixed > 0
    by_time = entering / jnp.where(timed, fixed, 1.0)
    given = jnp.where(rate == -1, entry.rate, jnp.maximum(rate, 0.0))  # pyright: ignore
    # A modelled duration or rate of 0 has no meaning: the person is not solved, rather than left without the dose.
    wrong = ((rate == -2) & (duration <= 0) & ~timed) | ((rate == -1) & (given <= 0))
    given = jnp.where(wrong, jnp.nan, given)
    infused = (duration > 0) | (rate != 0)
    enters = jnp.where(infused, jnp.where(timed, by_time, given), 0.0)
    lasts = jnp.where(timed, fixed, entering / jnp.where(infused & ~timed, given, 1.0))
    return entering, enters, jnp.where(infused, lasts, 0.0)


def _steady_states(
    model: AbstractModel, p: Named, events: EventTable, steady: Steady, states: int
) -> tuple[Float[Array, "steady state"], Bool[Array, ""]]:
    """Return the states at each record at steady state, and whether all could be found."""
    if not events.steady_amount.shape[-1]:
        return jnp.zeros((1, states)), jnp.asarray(True)
    state, span = jnp.asarray(events.steady_state), jnp.asarray(events.steady_span)
    entry = _entering(model, p, span, state)
    recorded = tuple(jnp.asarray(x) for x in (events.steady_amount, events.steady_rate, events.steady_duration))
    amount, rate, duration = _infusion(entry, *recorded)
    interval, lag = jnp.asarray(events.steady_interval), jnp.asarray(entry.lag)
    trains = Train(jnp.where(rate > 0, 0.0, amount), rate, duration, lag, interval, state)
    filled, found = jax.vmap(lambda train, s: steady(train, at_span(p, s)))(trains, span)
    # The table has entries for so many earlier doses still entering, see records._slots.
    length = jnp.where(recorded[2] > 0, recorded[2], recorded[0] / jnp.where(recorded[1] > 0, recorded[1], 1.0))
    length = jnp.where(recorded[1] < 0, 3 * interval, jnp.where(rate > 0, length, 0.0))
    slots = 1 + jnp.ceil(length / jnp.where(interval > 0, interval, 1.0) - 1e-9)
    enough = (interval == 0) | (lag + duration <= (slots + 1) * interval)
    return filled, jnp.all(found & enough)


def _values(
    model: AbstractModel,
    p: Named,
    events: EventTable,
    filled: Float[Array, "steady state"],
    initial: Float[Array, " state"],
) -> tuple[Float[Array, " record"], Float[Array, " record"], Float[Array, " record"]]:
    """Return time, amount and change of the input rate of each entry of the table, in the table's order."""
    kind, state = jnp.asarray(events.kind), jnp.asarray(events.state)
    entry = _entering(model, p, jnp.asarray(events.span), jnp.where(kind == Kind.FILL, 0, state))
    recorded = (jnp.asarray(x) for x in (events.given_amount, events.given_rate, events.given_duration))
    dose, rate, duration = _infusion(entry, *recorded)
    start, lag = jnp.asarray(events.start), jnp.asarray(entry.lag)
    arrival = start + lag
    before, before_end = kind == Kind.BEFORE, kind == Kind.BEFORE_END
    earlier, constant = arrival, jnp.zeros_like(before)
    if events.steady_amount.shape[-1]:
        interval = jnp.asarray(events.steady_interval)[jnp.asarray(events.steady)]
        earlier, constant = arrival - jnp.asarray(events.slot) * interval, interval == 0
    ends = earlier + duration
    goes_on = ends > start
    time = jnp.asarray(events.time)
    time = jnp.where((kind == Kind.BOLUS) | (kind == Kind.START), arrival, time)
    time = jnp.where(kind == Kind.END, arrival + duration, time)
    time = jnp.where(before, jnp.where(constant, start, jnp.maximum(earlier, start)), time)
    time = jnp.where(before_end, jnp.maximum(ends, start), time)
    pending = before & (rate == 0) & (earlier >= start)
    amount = jnp.where((kind == Kind.BOLUS) | pending, dose, 0.0)
    fill = filled[jnp.asarray(events.steady), state] - initial[state]
    amount = jnp.where(kind == Kind.FILL, fill, amount)
    on = (kind == Kind.START) | (before & goes_on)
    off = (kind == Kind.END) | (before_end & goes_on)
    return time, amount, jnp.where(on, rate, 0.0) - jnp.where(off, rate, 0.0)


def _samples_after(
    events: EventTable, time: Float[Array, " record"], follows: Int[Array, " record"], order: Int[Array, " record"]
) -> Int[Array, " sample"]:
    """Return for each sample the last step before it, now that steps have moved."""
    at, what = jnp.asarray(events.sample_time)[:, None], jnp.asarray(events.sample_follows)[:, None]
    time, follows = time[order][None], follows[order][None]
    in_table = order[None] <= jnp.asarray(events.sample_after)[:, None]
    before = (follows < what) | ((follows == what) & in_table)
    return jnp.sum((time < at) | ((time == at) & before), axis=1, dtype=jnp.int32) - 1


def _steps(
    p: Named, events: EventTable, columns: tuple[Array, ...], after: Int[Array, " sample"], found: Bool[Array, ""]
) -> Steps:
    """Add to ordered steps the spans of the varying parameters."""
    time, amount, rate, state, reset = columns
    sample_time, span_time = jnp.asarray(events.sample_time), jnp.asarray(events.span_time)
    span = jnp.zeros(time.shape, jnp.int32)
    interval = sample_span = jnp.zeros(sample_time.shape, jnp.int32)
    if varies(p):
        span = _span(events, 0.5 * (time + jnp.append(time[:1], time[:-1])))
        interval = _span(events, 0.5 * (time[after] + sample_time))
        sample_span = jnp.asarray(events.sample_span)
    return Steps(
        time=time,
        amount=amount,
        rate=rate,
        state=state,
        reset=reset,
        span=span,
        sample_time=sample_time,
        sample_after=after,
        sample_interval=interval,
        sample_span=sample_span,
        steady=found,
        span_time=span_time,
        infused=events.infused,
        dosed=_dosed(events),
        linear=varies(p) and events.carried == "linear",
    )


def _dosed(events: EventTable) -> tuple[int, ...]:
    """Return the states that may receive an amount: at steady state all of them."""
    return events.filled or events.dosed


def _span(events: EventTable, middle: Float[Array, " any"]) -> Int[Array, " any"]:
    """Return the span of each interval by its middle."""
    bounds = jax.lax.stop_gradient(jnp.asarray(events.span_time))
    if events.carried == "nocb":
        found, last = jnp.searchsorted(bounds, middle, side="left"), len(bounds) - 1
    else:
        # A linear span runs to the next row, so that the last row opens none.
        last = max(len(bounds) - (2 if events.carried == "linear" else 1), 0)
        found = jnp.searchsorted(bounds, middle, side="right") - 1
    return jnp.clip(found, 0, last).astype(jnp.int32)
