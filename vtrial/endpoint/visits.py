"""Endpoints at visits."""

from typing import ClassVar

from jaxtyping import Array, Float

from vtrial.endpoint.base import AbstractEndpoint, Course, Window
from vtrial.model import AbstractModel


class Visits(AbstractEndpoint):
    """What is measured at each visit, residual error included; the times of the window are the visits."""

    window: Window
    layout: ClassVar[str] = "visits"
    binary: ClassVar[bool] = False
    measured: ClassVar[bool] = True

    def __check_init__(self):
        """Refuse a single time."""
        self.window.whole("Visits")

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
        return f"measured {self.window.output} at {self.window.points} visits {self.window.describe()}"
