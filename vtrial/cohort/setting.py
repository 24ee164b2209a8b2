"""Where a patient's story takes place, and what is known there of hazards and paths."""

from collections.abc import Callable, Collection, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial.cohort.consequence import Therapy
from vtrial.cohort.course import Event, Hazard, Treatment, Visits
from vtrial.design import Arm
from vtrial.dosing import AbstractRegimen, EventTable
from vtrial.model import AbstractModel

type Path = Mapping[str, Float[Array, " time"]]
"""The model's outputs at the times of the plan."""
type Solved = tuple[Int[Array, ""], Path, Mapping[str, Array]]
"""Result code, path and ledger."""


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
    solve: Callable[[Therapy, Float[Array, ""]], Solved]
    """Solves the patient under a treatment, given when own doses end."""
    seen: Callable[[Path], Visits] = lambda _: {}
    """Returns what is seen at visits on a path."""
    person: Key[Array, ""] | None = None
    """Key of the patient in all periods; left out, there is one period."""

    @property
    def possible(self) -> dict[str, Arm]:
        """The arms a patient may be treated as: the own one, and those that events switch to."""
        reached = {self.arm, *(event.arm for event in self.course.events.values())}
        return {name: arm for name, arm in self.arms.items() if name in reached}

    @property
    def changing(self) -> dict[str, Event]:
        """The events that change the treatment."""
        return {name: event for name, event in self.course.events.items() if event.changes}

    @property
    def changes(self) -> int:
        """How often treatment may change: an event that switches to the own arm may not happen in it."""
        found = sum(any(event.applies(arm) for arm in self.possible) for event in self.changing.values())
        return found if self.course.changes is None else min(found, self.course.changes)

    def hazards(self, events: Mapping[str, Event], true: Path) -> dict[str, Hazard]:
        """Return the cumulative hazard of each event on a path."""
        grid, path = jnp.asarray(self.time)[self.hazard], {o: y[self.hazard] for o, y in true.items()}
        seen = self.seen(true) if any(event.endpoint is not None for event in events.values()) else {}
        return {n: event.hazard(grid, path, self.covariates, self.model, seen) for n, event in events.items()}

    def no_later(self, time: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """Return times, or the end of what is observed where they are later."""
        return jnp.minimum(time, jnp.max(jnp.asarray(self.time)))


def earliest(times: Collection[Float[Array, ""]]) -> Float[Array, ""]:
    """Return the first of times; infinity where there are none."""
    return jnp.min(jnp.stack([*times, jnp.asarray(jnp.inf)]))


def only_first(times: Mapping[str, Float[Array, ""]]) -> dict[str, Float[Array, ""]]:
    """Return the times with infinity for all but the first."""
    first = earliest(times.values())
    return {name: jnp.where(time <= first, time, jnp.inf) for name, time in times.items()}
