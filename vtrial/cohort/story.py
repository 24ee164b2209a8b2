"""What happens to one patient in one arm: which events, when, and the path that follows from them."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial import keys
from vtrial.cohort.consequence import Change, Therapy
from vtrial.cohort.course import Event, Treatment, Visits
from vtrial.design import Arm
from vtrial.dosing import AbstractRegimen, EventTable
from vtrial.model import AbstractModel

type Path = Mapping[str, Float[Array, " time"]]
"""The model's outputs at the times of the plan."""


class Setting(eqx.Module):
    """Where a patient's story takes place."""

    course: Treatment
    model: AbstractModel
    arms: Mapping[str, Arm]
    arm: str
    time: Float[Array | np.ndarray, " time"]
    """Times of the paths."""
    hazard: Int[np.ndarray, " evaluation"]
    """Which of them hazards are evaluated at."""
    covariates: Mapping[str, Array]
    prescribed: Callable[[AbstractRegimen], EventTable]
    """Returns the doses of a regimen, without samples."""
    solve: Callable[[Therapy, Float[Array, ""], Float[Array, ""]], tuple[Array, Path, Mapping[str, Array]]]
    """Returns result code, path and ledger under a treatment, given when it changes and when own doses end."""
    seen: Callable[[Path], Visits] = lambda _: {}
    """Returns what is seen at visits on a path."""
    person: Key[Array, ""] | None = None
    """Key of the patient in all periods; left out, there is one period."""


class Story(eqx.Module):
    """What happened."""

    times: dict[str, Float[Array, ""]]
    """When each event happened; infinity where it did not."""
    true: Path
    """The path that follows from it; after death that of who had lived on."""
    code: Int[Array, ""]
    ledger: Mapping[str, Array]
    """Of the decisions that adapted doses."""

    def first(self, events: Mapping[str, Event], kind: Callable[[Event], bool]) -> Float[Array, ""]:
        """Return when the first event of a kind happened; infinity if none did."""
        return earliest([time for name, time in self.times.items() if kind(events[name])])


def earliest(times: list[Float[Array, ""]]) -> Float[Array, ""]:
    """Return the first of times; infinity where there are none."""
    return jnp.min(jnp.stack([*times, jnp.asarray(jnp.inf)]))


def tell(
    key: Key[Array, ""],
    setting: Setting,
    own: EventTable,
    unhindered: Path,
    code: Int[Array, ""],
    ledger: Mapping[str, Array],
) -> Story:
    """Return what happens to a patient.

    First the events that change the treatment, of which the first happens: they read the path on which nothing happens,
    which up to then is the true one. Then death and leaving, which read the path that follows. Death is the end of the
    rest: what would have come after it did not happen. Who has left goes on unseen.

    Args:
        key: the patient's.
        setting: where.
        own: the doses of the arm, as the patient takes them, with the samples.
        unhindered: the path on which nothing happens.
        code: its result code.
        ledger: its decisions.
    """
    events = setting.course.events
    changing = {name: event for name, event in events.items() if event.changes}
    times = _only_first(_times(key, setting, changing, unhindered))
    true = unhindered
    if changing:
        at = earliest(list(times.values()))
        ends = earliest([time for name, time in times.items() if changing[name].ends])
        therapy = _therapy(key, setting, own, times, at)
        again, changed, decided = setting.solve(therapy, _no_later(setting, at), ends)
        # Where nothing happens it is the same path to the last bit, and so it is until something does.
        code = jnp.where(jnp.isfinite(at), jnp.maximum(code, again), code)
        ledger = {name: jnp.where(jnp.isfinite(at), decided[name], value) for name, value in ledger.items()}
        true = {o: jnp.where(jnp.asarray(setting.time) > at, changed[o], y) for o, y in unhindered.items()}
    dying = {name: event for name, event in events.items() if event.dies}
    leaving = {name: event for name, event in events.items() if not (event.dies or event.changes)}
    deaths = _only_first(_times(key, setting, dying, true))
    left = _only_first(_times(key, setting, leaving, true))
    death = earliest(list(deaths.values()))
    before = {name: jnp.where(time < death, time, jnp.inf) for name, time in (times | left).items()}
    return Story({name: (before | deaths)[name] for name in events}, true, code, ledger)


def _times(
    key: Key[Array, ""], setting: Setting, events: Mapping[str, Event], true: Path
) -> dict[str, Float[Array, ""]]:
    """Return when each event would happen on a path, did no other come before it."""
    grid, path = jnp.asarray(setting.time)[setting.hazard], {o: y[setting.hazard] for o, y in true.items()}
    seen = setting.seen(true) if any(event.endpoint is not None for event in events.values()) else {}
    return {
        name: event.time(keys.named(key, f"event {name}"), grid, path, setting.covariates, setting.model, seen)
        if event.applies(setting.arm)
        else jnp.asarray(jnp.inf)
        for name, event in events.items()
    }


def _only_first(times: dict[str, Float[Array, ""]]) -> dict[str, Float[Array, ""]]:
    """Return the times with infinity for all but the first."""
    first = earliest(list(times.values()))
    return {name: jnp.where(time <= first, time, jnp.inf) for name, time in times.items()}


def _no_later(setting: Setting, at: Float[Array, ""]) -> Float[Array, ""]:
    """Return a time, or the end of what is observed if it is later."""
    return jnp.minimum(at, jnp.max(jnp.asarray(setting.time)))


def _therapy(
    key: Key[Array, ""], setting: Setting, own: EventTable, times: Mapping[str, Float[Array, ""]], at: Float[Array, ""]
) -> Therapy:
    """Return the treatment with whatever event changes it at a time."""
    therapy = Therapy(own)
    for name, time in times.items():
        change = Change(
            time=_no_later(setting, at),
            happens=jnp.isfinite(time),
            end=jnp.max(jnp.asarray(setting.time)),
            arm=setting.arms[setting.arm],
            arms=setting.arms,
            taken=lambda regimen: setting.course.taken(key, setting.prescribed(regimen), setting.model, setting.person),
            prescribed=setting.prescribed,
        )
        for consequence in setting.course.events[name].then:
            therapy = consequence.change(therapy, change)
    return therapy


def carried(time: Float[Array | np.ndarray, " time"], true: Path, stop: Float[Array, ""]) -> Path:
    """Return a path up to a time, its last value before it carried on."""
    time = jnp.asarray(time)
    before = jnp.where(time <= stop, time, -jnp.inf)
    # Of samples at one hour the last is the one that comes after its doses.
    last = len(time) - 1 - jnp.argmax(before[::-1])
    return {o: jnp.where(time <= stop, y, y[last]) for o, y in true.items()}
