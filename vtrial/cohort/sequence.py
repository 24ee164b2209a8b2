"""Changes of a patient's treatment, one after the other: each is followed by a path of its own."""

from collections.abc import Mapping
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial.cohort.consequence import Change, Therapy
from vtrial.cohort.course import draw
from vtrial.cohort.setting import Path, Setting, Solved, earliest, only_first
from vtrial.dosing import EventTable

type Times = Mapping[str, Float[Array, ""]]
"""When each event happens; infinity for not."""


class Changed(eqx.Module):
    """A patient after some changes of treatment."""

    times: Times
    """When each event that may change it has happened."""
    left: Mapping[str, Float[Array, ""]]
    """Cumulative hazard still to be met until each event happens."""
    at: Float[Array, " change"]
    """When the changes came, in order; infinity: no more of them."""
    true: Path
    """The path that follows from them."""
    code: Int[Array, ""]
    ledger: Mapping[str, Array]
    """Of the decisions that adapted doses."""


def change(key: Key[Array, ""], setting: Setting, own: EventTable, unhindered: Solved) -> Changed:
    """Return a patient after all changes of treatment, each event at most once; arguments are those of `story.tell`.

    The path on which nothing happens is the true one up to the first change; what is solved again with it, up to the
    second; and so on. There are as many solves as changes may be.
    """
    events, count = setting.changing, setting.changes
    never = {name: jnp.asarray(jnp.inf) for name in events}
    code, true, ledger = unhindered
    start = Changed(never, {n: draw(key, n) for n in events}, jnp.full(count, jnp.inf), true, code, ledger)
    step = partial(_changed_once, key, setting, own)
    if count < 2:
        return step(start, 0) if count else start
    # One program for all of them: compiling does not take longer the more there are.
    return jax.lax.scan(lambda state, number: (step(state, number), None), start, jnp.arange(count))[0]


def _changed_once(
    key: Key[Array, ""], setting: Setting, own: EventTable, state: Changed, number: Int[Array, ""] | int
) -> Changed:
    """Return a patient after one more change, if another comes."""
    found, left = _upcoming(setting, state, jnp.where(number > 0, state.at[number - 1], 0.0))
    at = earliest(found.values())
    times = {name: jnp.minimum(time, found[name]) for name, time in state.times.items()}
    every = state.at.at[number].set(at)
    events, happens = setting.changing, jnp.isfinite(at)
    ends = earliest([time for name, time in times.items() if events[name].ends])
    code, path, ledger = setting.solve(_therapy(key, setting, own, times, every), ends)
    # Where nothing happens it is the same path to the last bit, and so it is until something does.
    true = {o: jnp.where(jnp.asarray(setting.time) > at, path[o], y) for o, y in state.true.items()}
    code = jnp.where(happens, jnp.maximum(state.code, code), state.code)
    ledger = {name: jnp.where(happens, ledger[name], value) for name, value in state.ledger.items()}
    return Changed(times, left, every, true, code, ledger)


def _upcoming(
    setting: Setting, state: Changed, since: Float[Array, ""]
) -> tuple[dict[str, Float[Array, ""]], dict[str, Float[Array, ""]]]:
    """Return when the next event happens, infinity for all others, and the hazards that are left then.

    Hazards are met along the true path: up to the last change, `since`, on those before, from then on on the present
    one, and not at all while an event cannot happen.
    """
    events, standing = setting.changing, _standing(setting, state.times, jnp.asarray(jnp.inf))
    hazards, found, met, may = setting.hazards(events, state.true), {}, {}, {}
    for name in events:
        may[name] = jnp.isinf(state.times[name]) & jnp.isfinite(since) & _applies(setting, name, *standing)
        met[name] = hazards[name].until(since)
        when = hazards[name].reaches(met[name] + state.left[name])
        # Not before the last change, also where what is left is lost in rounding.
        found[name] = jnp.where(may[name], jnp.maximum(when, since), jnp.inf)
    found = only_first(found)
    at = earliest(found.values())
    gone = {name: jnp.where(may[name], hazards[name].until(at) - met[name], 0.0) for name in events}
    return found, {name: left - gone[name] for name, left in state.left.items()}


def _standing(setting: Setting, times: Times, before: Float[Array, ""]) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """Return the number of the arm that a patient is treated as before a time, and whether its doses go on."""
    arms = tuple(setting.possible)
    arm, goes_on, last = jnp.asarray(arms.index(setting.arm)), jnp.asarray(True), jnp.asarray(-jnp.inf)
    for name, event in setting.changing.items():
        if event.ends:
            later = (times[name] < before) & (times[name] > last)
            arm = arm if event.arm is None else jnp.where(later, arms.index(event.arm), arm)
            goes_on = jnp.where(later, event.arm is not None, goes_on)
            last = jnp.where(later, times[name], last)
    return arm, goes_on


def _applies(setting: Setting, name: str, arm: Int[Array, ""], goes_on: Bool[Array, ""]) -> Bool[Array, ""]:
    """Return whether an event may happen to a patient treated so: what only stops doses, to whom they are given."""
    event = setting.changing[name]
    may = jnp.asarray([event.applies(one) for one in setting.possible])[arm]
    return may & goes_on if event.stops else may


def _therapy(
    key: Key[Array, ""], setting: Setting, own: EventTable, times: Times, at: Float[Array, " change"]
) -> Therapy:
    """Return the treatment with what has changed it: whatever the events' order in the course, by their times alone."""
    events, therapy = setting.changing, Therapy(own, changed=setting.no_later(at))
    ending = jnp.stack([*(times[name] for name, event in events.items() if event.ends), jnp.asarray(jnp.inf)])
    for name, event in events.items():
        one = Change(
            time=setting.no_later(times[name]),
            happens=jnp.isfinite(times[name]),
            end=jnp.max(jnp.asarray(setting.time)),
            until=jnp.min(jnp.where(ending > times[name], ending, jnp.inf)),
            arm=_standing(setting, times, times[name])[0],
            arms=setting.possible,
            taken=lambda regimen: setting.course.taken(key, setting.prescribed(regimen), setting.model, setting.person),
            prescribed=setting.prescribed,
        )
        for consequence in event.then:
            therapy = consequence.change(therapy, one)
    return therapy
