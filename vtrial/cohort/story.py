"""What happens to one patient in one arm: which events, when, and the path that follows from them."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial.cohort.course import Event, draw
from vtrial.cohort.sequence import change
from vtrial.cohort.setting import Path, Setting, Solved, earliest, only_first
from vtrial.dosing import EventTable


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


def tell(key: Key[Array, ""], setting: Setting, own: EventTable, unhindered: Solved) -> Story:
    """Return what happens to a patient.

    First the events that change the treatment, one after the other: the first reads the path on which nothing happens,
    the second the path that follows from the first, and so on. Then death and leaving, which read the path that follows
    from all. Death is the end of the rest: what would have come after it did not happen. Who has left goes on unseen.

    Args:
        key: the patient's.
        setting: where.
        own: the doses of the arm, as the patient takes them, with the samples.
        unhindered: result code, path and ledger where nothing happens.
    """
    events, changed = setting.course.events, change(key, setting, own, unhindered)
    dying = {name: event for name, event in events.items() if event.dies}
    leaving = {name: event for name, event in events.items() if not (event.dies or event.changes)}
    deaths, left = (only_first(_times(key, setting, kind, changed.true)) for kind in (dying, leaving))
    death, never = earliest(deaths.values()), jnp.asarray(jnp.inf)
    before = {name: jnp.where(time < death, time, never) for name, time in ({**changed.times} | left).items()}
    times = {name: (before | deaths).get(name, never) for name in events}
    return Story(times, changed.true, changed.code, changed.ledger)


def _times(
    key: Key[Array, ""], setting: Setting, events: Mapping[str, Event], true: Path
) -> dict[str, Float[Array, ""]]:
    """Return when each event would happen on a path, did no other come before it."""
    return {name: hazard.reaches(draw(key, name)) for name, hazard in setting.hazards(events, true).items()}


def carried(time: Float[Array | np.ndarray, " time"], true: Path, stop: Float[Array, ""]) -> Path:
    """Return a path up to a time, its last value before it carried on."""
    time = jnp.asarray(time)
    before = jnp.where(time <= stop, time, -jnp.inf)
    # Of samples at one hour the last is the one that comes after its doses.
    last = len(time) - 1 - jnp.argmax(before[::-1])
    return {o: jnp.where(time <= stop, y, y[last]) for o, y in true.items()}
