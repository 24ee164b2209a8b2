"""Endpoints that are the time to an event."""

import re
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.endpoint.base import AbstractEndpoint, Course, Window
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class TimeToEvent(AbstractEndpoint):
    """Time from entry to an event whose cumulative hazard is an output of the model; infinity for none in the window.

    The event happens when the cumulative hazard reaches the patient's own draw from the exponential distribution with
    mean 1, which is the same under every arm: an arm of lower hazard makes the same patient's event later, never
    earlier. Between the points of the window the hazard is taken as constant.

    Source: inversion of the cumulative hazard, Bender and others 2005, doi:10.1002/sim.2059.

    Args:
        window: the output that is the cumulative hazard, 0 at the start; from time 0 to the end of follow-up.
        or_death: whether death (an event of the course) counts as the event. Otherwise it competes: who dies first
            never has the event, so that shares are cumulative incidences.
    """

    window: Window
    or_death: bool = eqx.field(static=True, default=False)
    layout: ClassVar[str] = "event"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a window that does not begin with the trial: what happens before its start would be missed."""
        self.window.whole("TimeToEvent")
        if re.fullmatch(r"[-+]?0*\.?0*\s*\w+", self.window.start) is None:
            raise UserError(f"TimeToEvent's window must start at 0, when patients enter, not at {self.window.start}.")

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return when the cumulative hazard first reaches the draw."""
        draw = jax.random.exponential(course.key, dtype=course.true.dtype)
        # A numerical solution may fall by its error.
        hazard = jax.lax.cummax(course.true)
        after = jnp.clip(jnp.searchsorted(hazard, draw, side="left"), 1, len(hazard) - 1)
        low, high = hazard[after - 1], hazard[after]
        share = jnp.clip((draw - low) / jnp.where(high > low, high - low, 1.0), 0.0, 1.0)
        time = jnp.asarray(course.time)
        when = time[after - 1] + share * (time[after] - time[after - 1])
        found = jnp.where(draw <= hazard[-1], when, jnp.inf)
        death = jnp.where(course.death <= time[-1], course.death, jnp.inf)
        found = jnp.minimum(found, death) if self.or_death else jnp.where(found <= death, found, jnp.inf)
        return jnp.where(jnp.isfinite(course.true).all(), found, jnp.nan)

    def unit(self, model: AbstractModel) -> str:
        """Return the unit of time.

        Raises:
            UserError: the output has a unit; a cumulative hazard has none.
        """
        if unit := self.window.unit(model):
            raise UserError(f"TimeToEvent reads '{self.window.output}' in {unit}; a cumulative hazard has no unit.")
        return model.time

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say output and window."""
        death = " or to death" if self.or_death else ""
        return f"time to the event with cumulative hazard {self.window.output}{death}, {self.window.describe()}"
