"""Endpoints at visits."""

from typing import ClassVar

from jaxtyping import Array, Float

from vtrial.endpoint.base import AbstractEndpoint, AbstractWindow, Course, Schedule, Window
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class Visits(AbstractEndpoint):
    """What is measured at each visit, residual error included; the times of the window, or schedule, are the visits."""

    window: AbstractWindow
    layout: ClassVar[str] = "visits"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = True

    def __check_init__(self):
        """Refuse a single time."""
        if isinstance(self.window, Window):
            self.window.whole("Visits")
        elif isinstance(self.window, Schedule) and len(self.window.at) < 2:
            raise UserError(f"Visits needs two times or more, not only {self.window.describe()}.")

    def value(self, course: Course, model: AbstractModel) -> Float[Array, " visit"]:
        """Return the measurements."""
        return course.measured

    def unit(self, model: AbstractModel) -> str:
        """Return the output's unit."""
        return self.window.unit(model)

    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say output and times."""
        equal = f"at {self.window.points} visits " if isinstance(self.window, Window) else ""
        return f"measured {self.window.output} {equal}{self.window.describe()}"
