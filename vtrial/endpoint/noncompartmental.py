"""Endpoints of noncompartmental analysis, from measured samples: residual error, quantification limit and all.

Conventions are PKNCA's (Denney and others 2015, doi:10.1007/s10928-015-9432-2): linear up and logarithmic down; samples
below the limit are 0 before the first and after the last quantified one, and left out between; the terminal slope has
the best adjusted r^2.
"""

import math
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from vtrial import units
from vtrial.endpoint.base import AbstractEndpoint, AbstractWindow, Course
from vtrial.endpoint.profile import Profile, area_to_infinity, area_to_last, greatest, profile, terminal
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class AbstractNoncompartmental(AbstractEndpoint):
    """An endpoint of one profile of samples; `lloq` is the lower limit of quantification, left out none."""

    lloq: eqx.AbstractVar[str | None]
    layout: ClassVar[str] = "value"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = True

    def samples(self, course: Course, model: AbstractModel) -> Profile:
        """Return the profile to analyse; times count from the first sample."""
        unit = self.window.unit(model)
        limit = 0.0 if self.lloq is None else units.quantity(self.lloq, unit, where="Endpoint's lloq")
        return profile(course.time - course.time[0], course.measured, limit)

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return the limit of quantification, if there is one."""
        if self.lloq is None:
            return ()
        return (units.quantity(self.lloq, self.window.unit(model), where="Endpoint's lloq"),)


class Cmax(AbstractNoncompartmental):
    """Greatest measured value."""

    window: AbstractWindow
    lloq: str | None = eqx.field(static=True, default=None)

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return it; 0 if no sample can be quantified."""
        return greatest(self.samples(course, model))[0]

    def unit(self, model: AbstractModel) -> str:
        """Return the output's unit."""
        return self.window.unit(model)

    def describe(self) -> str:
        """Say output and times."""
        return f"Cmax of {self.window.output}, measured {self.window.describe()}"


class Tmax(AbstractNoncompartmental):
    """Time of the greatest measured value, the first if there are several, since the first sample."""

    window: AbstractWindow
    lloq: str | None = eqx.field(static=True, default=None)

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return it."""
        return greatest(self.samples(course, model))[1]

    def unit(self, model: AbstractModel) -> str:
        """Return the unit of time."""
        return model.time

    def describe(self) -> str:
        """Say output and times."""
        return f"Tmax of {self.window.output}, measured {self.window.describe()}"


class AreaToLast(AbstractNoncompartmental):
    """Area under the measured curve, from the first sample to the last one quantified (AUC0-t, AUClast)."""

    window: AbstractWindow
    lloq: str | None = eqx.field(static=True, default=None)

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return it; 0 if no sample can be quantified."""
        return area_to_last(self.samples(course, model))

    def unit(self, model: AbstractModel) -> str:
        """Return the output's unit times the unit of time."""
        return _area(self.window.unit(model), model)

    def describe(self) -> str:
        """Say output and times."""
        return f"AUC of {self.window.output} to the last quantified sample, measured {self.window.describe()}"


class AreaToInfinity(AbstractNoncompartmental):
    """Area under the measured curve, from the first sample on to infinity (AUC0-inf, observed)."""

    window: AbstractWindow
    lloq: str | None = eqx.field(static=True, default=None)

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return it; not a number where there is no terminal slope."""
        return area_to_infinity(self.samples(course, model))

    def unit(self, model: AbstractModel) -> str:
        """Return the output's unit times the unit of time."""
        return _area(self.window.unit(model), model)

    def describe(self) -> str:
        """Say output and times."""
        return f"AUC of {self.window.output} to infinity, measured {self.window.describe()}"


class HalfLife(AbstractNoncompartmental):
    """Terminal half-life, log 2 / lambda z."""

    window: AbstractWindow
    lloq: str | None = eqx.field(static=True, default=None)

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return it; not a number where there is no terminal slope."""
        return math.log(2.0) / terminal(self.samples(course, model)).rate

    def unit(self, model: AbstractModel) -> str:
        """Return the unit of time."""
        return model.time

    def describe(self) -> str:
        """Say output and times."""
        return f"terminal half-life of {self.window.output}, measured {self.window.describe()}"


class Clearance(AbstractNoncompartmental):
    """Dose over AUC0-inf: the apparent clearance CL/F after a single dose by mouth, CL after one into a vein.

    Args:
        dose: with its unit, of every arm.
        window: sampling times, from the dose on.
        lloq: lower limit of quantification.
        flow: unit of the result.
    """

    dose: str = eqx.field(static=True)
    window: AbstractWindow
    lloq: str | None = eqx.field(static=True, default=None)
    flow: str = eqx.field(static=True, default="L/h")

    def __check_init__(self):
        """Refuse a dose that is nothing."""
        if self.dose.strip().startswith(("0 ", "-")):
            raise UserError(f"Clearance's dose is {self.dose}; it must be positive.")

    def value(self, course: Course, model: AbstractModel) -> Float[Array, ""]:
        """Return it; not a number where there is no terminal slope."""
        area = _area(self.window.unit(model), model)
        dose = units.quantity(self.dose, f"({self.flow}) * ({area})", where="Clearance's dose")
        return dose / area_to_infinity(self.samples(course, model))

    def unit(self, model: AbstractModel) -> str:
        """Return the unit asked for."""
        units.quantity(
            self.dose, f"({self.flow}) * ({_area(self.window.unit(model), model)})", where="Clearance's dose"
        )
        return self.flow

    def describe(self) -> str:
        """Say dose and times."""
        return f"{self.dose} over the AUC of {self.window.output} to infinity, measured {self.window.describe()}"


def _area(unit: str, model: AbstractModel) -> str:
    """Return the unit of an area under a curve."""
    return f"{unit}*{model.time}"
