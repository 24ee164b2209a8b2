"""Endpoints of exposure: greatest, least and average value over a window, and single measurements."""

from typing import ClassVar

import jax.numpy as jnp
from jax.scipy.integrate import trapezoid
from jaxtyping import Array, Float

from vtrial.endpoint.base import AbstractEndpoint, Course, Window
from vtrial.model import AbstractModel


class Maximum(AbstractEndpoint):
    """Greatest true value over the window (Cmax)."""

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = False

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return the maximum."""
        return jnp.max(course.true)

    def unit(self, model: AbstractModel) -> str:
        """Return the output's unit."""
        return self.window.unit(model)

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say output and window."""
        return f"greatest {self.window.output} {self.window.describe()}"


class Minimum(AbstractEndpoint):
    """Least true value over the window (Cmin)."""

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = False

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return the minimum."""
        return jnp.min(course.true)

    def unit(self, model: AbstractModel) -> str:
        """Return the output's unit."""
        return self.window.unit(model)

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say output and window."""
        return f"least {self.window.output} {self.window.describe()}"


class Average(AbstractEndpoint):
    """Time average of the true value over the window, by the trapezoidal rule (Cav = AUC / tau)."""

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a single time."""
        self.window.whole("Average")

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return area over length."""
        return trapezoid(course.true, jnp.asarray(course.time)) / (course.time[-1] - course.time[0])

    def unit(self, model: AbstractModel) -> str:
        """Return the output's unit."""
        return self.window.unit(model)

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say output and window."""
        return f"average {self.window.output} {self.window.describe()}"


class Measured(AbstractEndpoint):
    """One measured value, residual error included: what a blood sample at the start of the window would show."""

    window: Window
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = True

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return the first measured value."""
        return course.measured[0]

    def unit(self, model: AbstractModel) -> str:
        """Return the output's unit."""
        return self.window.unit(model)

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say output and time."""
        return f"measured {self.window.output} at {self.window.start}, residual error included"
