"""Endpoints of a target range: staying inside, getting there, and the time spent inside."""

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.integrate import trapezoid
from jaxtyping import Array, Float

from vtrial import units
from vtrial.endpoint.base import AbstractEndpoint, Course, Window
from vtrial.errors import UserError
from vtrial.model import AbstractModel

_FLAT = 1e-12
"""A piece that rises less than this, in the output's unit, counts as level."""


def limits(lower: str | None, upper: str | None, window: Window, model: AbstractModel) -> tuple[float, float]:
    """Return the range in the output's unit; a side left out is infinite."""
    unit = window.unit(model)
    low = -math.inf if lower is None else units.quantity(lower, unit, where="Endpoint's lower")
    high = math.inf if upper is None else units.quantity(upper, unit, where="Endpoint's upper")
    if lower is None and upper is None:
        raise UserError("An endpoint's range needs lower, upper or both.")
    if not low < high:
        raise UserError(f"An endpoint's range must have lower below upper; got {lower} to {upper}.")
    return low, high


def finite_limits(lower: str | None, upper: str | None, window: Window, model: AbstractModel) -> tuple[float, ...]:
    """Return the sides of the range that there are, in the output's unit."""
    return tuple(x for x in limits(lower, upper, window, model) if math.isfinite(x))


def words(lower: str | None, upper: str | None) -> str:
    """Say the range."""
    if lower is None:
        return f"at or below {upper}"
    return f"at or above {lower}" if upper is None else f"within {lower} to {upper}"


class Inside(AbstractEndpoint):
    """Responder: 1 if the true output stays within a range over the whole window, else 0."""

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = True
    measured: ClassVar[bool] = False
    lower: str | None = eqx.field(static=True, default=None)
    upper: str | None = eqx.field(static=True, default=None)

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Compare the least and greatest value with the limits."""
        low, high = limits(self.lower, self.upper, self.window, model)
        held = (jnp.min(course.true) >= low) & (jnp.max(course.true) <= high)
        # A comparison turns not-a-number into "no"; keep it visible as a failure.
        return jnp.where(jnp.all(jnp.isfinite(course.true)), held.astype(float), jnp.nan)

    def unit(self, model: AbstractModel) -> str:
        """Return none: averaged over patients it is a share."""
        return ""

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return the limits of the range."""
        return finite_limits(self.lower, self.upper, self.window, model)

    def describe(self) -> str:
        """Say range and window."""
        return (
            f"share of patients whose {self.window.output} stays {words(self.lower, self.upper)} "
            f"{self.window.describe()}"
        )


class AverageInside(AbstractEndpoint):
    """Responder: 1 if the time average of the true output over the window (Cav = AUC / tau) is in a range, else 0."""

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = True
    measured: ClassVar[bool] = False
    lower: str | None = eqx.field(static=True, default=None)
    upper: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        """Refuse a single time."""
        self.window.whole("AverageInside")

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Compare the average, by the trapezoidal rule, with the limits."""
        low, high = limits(self.lower, self.upper, self.window, model)
        average = trapezoid(course.true, jnp.asarray(course.time)) / (course.time[-1] - course.time[0])
        return jnp.where(jnp.isfinite(average), ((average >= low) & (average <= high)).astype(float), jnp.nan)

    def unit(self, model: AbstractModel) -> str:
        """Return none: averaged over patients it is a share."""
        return ""

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return none: single values may well be outside."""
        return ()

    def describe(self) -> str:
        """Say range and window."""
        return (
            f"share of patients whose average {self.window.output} is {words(self.lower, self.upper)} "
            f"{self.window.describe()}"
        )


class Reached(AbstractEndpoint):
    """Responder: 1 if the true output is in a range at the window's end and never rose above a limit before, else 0.

    Args:
        window: from when on it may not rise too far, and when it must be in range.
        lower: the range at the end.
        upper: the range at the end.
        never_above: what the output may not exceed in the window.
    """

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = True
    measured: ClassVar[bool] = False
    never_above: str = eqx.field(static=True)
    lower: str | None = eqx.field(static=True, default=None)
    upper: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        """Refuse a single time."""
        self.window.whole("Reached")

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Compare the last value with the range, and the greatest with the limit."""
        low, high = limits(self.lower, self.upper, self.window, model)
        last, most = course.true[-1], self._most(model)
        held = (last >= low) & (last <= high) & (jnp.max(course.true) <= most)
        return jnp.where(jnp.all(jnp.isfinite(course.true)), held.astype(float), jnp.nan)

    def unit(self, model: AbstractModel) -> str:
        """Return none: averaged over patients it is a share."""
        return ""

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return the limits."""
        return (*finite_limits(self.lower, self.upper, self.window, model), self._most(model))

    def describe(self) -> str:
        """Say range and limit."""
        return (
            f"share of patients whose {self.window.output} is {words(self.lower, self.upper)} at {self.window.end}, "
            f"and was never above {self.never_above} from {self.window.start} on"
        )

    def _most(self, model: AbstractModel) -> float:
        """Return the limit in the output's unit."""
        return units.quantity(self.never_above, self.window.unit(model), where="Endpoint's never_above")


class TimeInside(AbstractEndpoint):
    """Percentage of the window that the true output spends within a range, crossings found by linear interpolation."""

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = False
    lower: str | None = eqx.field(static=True, default=None)
    upper: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        """Refuse a single time."""
        self.window.whole("TimeInside")

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Add up, over the pieces between points, the part of each that lies within the range."""
        low, high = limits(self.lower, self.upper, self.window, model)
        left, right = course.true[:-1], course.true[1:]
        bottom, top = jnp.minimum(left, right), jnp.maximum(left, right)
        rise = top - bottom
        overlap = jnp.clip(jnp.minimum(top, high) - jnp.maximum(bottom, low), 0.0, None)
        level = ((bottom >= low) & (top <= high)).astype(float)
        share = jnp.where(rise > _FLAT, overlap / jnp.where(rise > _FLAT, rise, 1.0), level)
        return 100.0 * jnp.mean(jnp.where(jnp.isfinite(rise), share, jnp.nan))

    def unit(self, model: AbstractModel) -> str:
        """Return percent."""
        return "%"

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return the limits of the range."""
        return finite_limits(self.lower, self.upper, self.window, model)

    def describe(self) -> str:
        """Say range and window."""
        return f"percentage of time with {self.window.output} {words(self.lower, self.upper)} {self.window.describe()}"
