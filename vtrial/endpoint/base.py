"""The endpoint interface."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial import units
from vtrial._types import texts
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel


class AbstractWindow(eqx.Module):
    """Which output an endpoint reads, and when."""

    output: eqx.AbstractVar[str]
    """The model's output."""
    after_dose: eqx.AbstractClassVar[bool]
    """Whether the first of several times comes after the doses of its hour; the others come before those of theirs."""

    @abstractmethod
    def times(self, model: AbstractModel) -> Float[np.ndarray, " time"]:
        """Return the times, ascending, in the model's time unit; raises `UserError` where they make no sense."""

    @abstractmethod
    def describe(self) -> str:
        """Say the times in words."""

    def unit(self, model: AbstractModel) -> str:
        """Return the unit of the output.

        Raises:
            UserError: the model has no such output.
        """
        if self.output not in model.outputs:
            raise UserError(
                f"An endpoint reads '{self.output}', which is no output of model {type(model).__name__}. "
                f"{nearest(self.output, model.outputs)}"
            )
        return model.outputs[self.output]


class Window(AbstractWindow):
    """A stretch of time, or one time.

    A window from one dose to the next begins just after the first and ends just before the second: it has the peak of a
    bolus and the trough, each once. A single time at the hour of a dose is before it, as a trough sample is.

    Args:
        output: the model's output.
        start: first time with its unit, for example "324 h".
        end: last time; left out, the endpoint reads the start alone.
        points: equally spaced times from start to end; what happens between two of them is not seen.
    """

    output: str = eqx.field(static=True)
    start: str = eqx.field(static=True)
    end: str | None = eqx.field(static=True, default=None)
    points: int = eqx.field(static=True, default=49)
    after_dose: ClassVar[bool] = True

    def times(self, model: AbstractModel) -> Float[np.ndarray, " time"]:
        """Return the times, ascending, in the model's time unit.

        Raises:
            UserError: the window is empty or starts before time 0.
        """
        first = units.quantity(self.start, model.time, where="Window's start")
        if self.end is None:
            last = first
        else:
            last = units.quantity(self.end, model.time, where="Window's end")
            if last <= first or self.points < 2:
                raise UserError(
                    "An endpoint's window must end after its start and have 2 or more points; got "
                    f"{self.describe()}, {self.points} points."
                )
        if first < 0:
            raise UserError(f"An endpoint's window starts at {self.start}, before the trial.")
        return np.linspace(first, last, self.points if self.end is not None else 1)

    def whole(self, endpoint: str) -> None:
        """Refuse a single time where an endpoint needs a stretch.

        Raises:
            UserError: the window has no end.
        """
        if self.end is None:
            raise UserError(f"{endpoint} needs a window with an end, not only start {self.start}.")

    def describe(self) -> str:
        """Say the window in words."""
        return f"at {self.start}" if self.end is None else f"from {self.start} to {self.end}"


class Schedule(AbstractWindow):
    """Sampling times of a protocol, each written out; one at the hour of a dose is before it.

    Args:
        output: the model's output.
        at: times with their units, ascending, for example ["0 h", "0.5 h", "1 h", "2 h"].
    """

    output: str = eqx.field(static=True)
    at: tuple[str, ...] = eqx.field(static=True, converter=texts)
    after_dose: ClassVar[bool] = False

    def times(self, model: AbstractModel) -> Float[np.ndarray, " time"]:
        """Return the times, ascending, in the model's time unit.

        Raises:
            UserError: there is none, one is before the trial, or they do not go up.
        """
        times = np.array([units.quantity(time, model.time, where="Schedule's at") for time in self.at])
        if len(times) == 0 or times[0] < 0 or (np.diff(times) <= 0).any():
            said = ", ".join(self.at) or "none"
            raise UserError(f"A schedule's times go up from 0 or later, and there is at least one; got {said}.")
        return times

    def describe(self) -> str:
        """Say the times."""
        return f"at {', '.join(self.at)}"


class Course(eqx.Module):
    """One patient's output at the times of a window."""

    time: Float[Array | np.ndarray, " time"]
    """Times, in the model's time unit."""
    true: Float[Array, " time"]
    """The output without residual error."""
    measured: Float[Array, " time"]
    """The same with residual error: what an assay would show."""
    key: Key[Array, ""]
    """The patient's own, of this endpoint: the same under every arm."""
    death: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(jnp.inf))
    """When the patient dies; infinity: does not. The time to an event reads it; of others the engine knows."""


class AbstractEndpoint(eqx.Module):
    """What is worked out for one patient, from the course of one output over a window.

    Its layout is "value" for one number, "visits" for one at each time of the window, or "event" for the time to an
    event, which is infinity where there is none by the end of the window.
    """

    window: eqx.AbstractVar[AbstractWindow]
    layout: eqx.AbstractClassVar[str]
    binary: eqx.AbstractClassVar[bool]
    """Whether its values are 0 and 1; averaged over patients it is then a share."""
    measured: eqx.AbstractClassVar[bool]
    """Whether it reads the measured course, and needs a residual error of its output."""

    @abstractmethod
    def value(self, course: Course, model: AbstractModel) -> Float[Array, "*visit"]:
        """Return the endpoint of one patient; not a number where the course is not finite."""

    @abstractmethod
    def unit(self, model: AbstractModel) -> str:
        """Return its unit; "" for a number without."""

    @abstractmethod
    def describe(self) -> str:
        """Say in words what it is."""

    def delay(self, model: AbstractModel) -> Float[np.ndarray, "*visit"]:
        """Return how long after entry it is known, in the model's time unit: at the window's end, or visit by visit."""
        times = self.window.times(model)
        return times if self.layout == "visits" else np.asarray(times[-1])

    @abstractmethod
    def marks(self, model: AbstractModel) -> tuple[float, ...]:
        """Return values of the output worth a line in a plot of its course; none for many endpoints."""
