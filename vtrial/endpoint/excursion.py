"""Endpoints of leaving a range: whether it happens, and for how long at a stretch."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial import units
from vtrial.endpoint.base import AbstractEndpoint, Course, Window
from vtrial.endpoint.target import finite_limits, limits, words
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class Outside(AbstractEndpoint):
    """1 if the true output is outside a range for long enough at a stretch within the window, else 0.

    So a toxicity is written: neutrophils below 0.5 per nL for 7 days, say. Crossings are found by linear interpolation
    between the points of the window.

    Args:
        window: the output, and when it is watched.
        lower: bottom of the range, with its unit; left out, there is none.
        upper: top of the range.
        duration: how long at a stretch counts, with its unit; left out, any moment does.
    """

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = True
    measured: ClassVar[bool] = False
    lower: str | None = eqx.field(static=True, default=None)
    upper: str | None = eqx.field(static=True, default=None)
    duration: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        """Refuse a single time where a stretch is asked for."""
        if self.duration is not None:
            self.window.whole("Outside with a duration")

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Compare the longest stretch outside with the duration."""
        low, high = limits(self.lower, self.upper, self.window, model)
        beyond = jnp.maximum(low - course.true, course.true - high)
        if self.duration is None:
            happened = jnp.any(beyond > 0)
        else:
            happened = longest(jnp.asarray(course.time), beyond) >= self._duration(model)
        return jnp.where(jnp.all(jnp.isfinite(course.true)), happened.astype(float), jnp.nan)

    def _duration(self, model: AbstractModel) -> float:
        """Return the duration in the model's time unit."""
        found = units.quantity(self.duration or "", model.time, where="Outside's duration")
        times = self.window.times(model)
        if not 0 < found <= times[-1] - times[0]:
            raise UserError(
                f"Outside's duration is {self.duration}; it must be above 0 and fit into the window, which goes "
                f"{self.window.describe()}."
            )
        return found

    def unit(self, model: AbstractModel) -> str:
        """Return none: averaged over patients it is a share.

        Raises:
            UserError: the duration does not fit into the window.
        """
        if self.duration is not None:
            self._duration(model)
        return ""

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return the limits of the range."""
        return finite_limits(self.lower, self.upper, self.window, model)

    def describe(self) -> str:
        """Say range, duration and window."""
        often = "at any time" if self.duration is None else f"for {self.duration} at a stretch or longer"
        return (
            f"share of patients whose {self.window.output} is not {words(self.lower, self.upper)} {often} "
            f"{self.window.describe()}"
        )


def longest(time: Float[Array, " time"], beyond: Float[Array, " time"]) -> Float[Array, ""]:
    """Return the longest stretch over which a course that is linear between its points is above 0.

    Args:
        time: of the points, ascending.
        beyond: the course.
    """

    def piece(carried, ends):
        so_far, most = carried
        step, left, right = ends
        crossed = step / jnp.where(left == right, 1.0, jnp.abs(right - left))
        # Of a piece that crosses 0, the part above it.
        before = jnp.where(left > 0, jnp.where(right > 0, step, crossed * left), 0.0)
        after = jnp.where(right > 0, jnp.where(left > 0, step, crossed * right), 0.0)
        most = jnp.maximum(most, so_far + before)
        return (jnp.where((left > 0) & (right > 0), so_far + step, after), most), None

    none = jnp.zeros((), beyond.dtype)
    (last, most), _ = jax.lax.scan(piece, (none, none), (jnp.diff(time), beyond[:-1], beyond[1:]))
    return jnp.maximum(last, most)
