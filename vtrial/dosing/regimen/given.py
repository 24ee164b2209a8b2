"""Given: how one dose is given, whatever the schedule; what all schedules of doses share."""

from typing import NamedTuple

from vtrial import units
from vtrial.dosing.amount import AbstractAmount
from vtrial.dosing.records import Dose
from vtrial.dosing.regimen.base import Order
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel


class Given(NamedTuple):
    """Amount, state and infusion of one dose."""

    dose: AbstractAmount
    into: str
    over: str | None
    rate: str | None
    molar_mass: str | None
    timed: bool = False
    """Whether parameter D of the state says how long the infusion lasts."""

    def order(self, model: AbstractModel, time: float, *, additional: int, interval: float, steady: int = 0) -> Order:
        """Return the order of this dose at a time and at equal intervals after it, in the model's unit.

        Raises:
            UserError: the state is unknown, a unit does not fit, or an amount, duration or rate is not possible.
        """
        states = tuple(model.states)
        if self.into not in states:
            raise UserError(
                f"Regimen doses into '{self.into}', which is no state of the model. {nearest(self.into, states)}"
            )
        unit, factor = self._unit(model.states[self.into])
        self.dose.check(unit)
        if self.timed and (self.over is not None or self.rate is not None):
            raise UserError(
                f"Regimen is timed, by parameter D_{self.into}, and says {self.over or self.rate} of the infusion too; "
                "leave one out."
            )
        record = Dose(
            time,
            1.0 if self.dose.covariates else factor * float(self.dose.value(unit, {})),
            states.index(self.into),
            additional,
            interval,
            rate=-2.0 if self.timed else factor * self._rate(unit, model.time),
            duration=positive(self.over, model.time, "over") if self.over is not None else 0.0,
            steady=steady,
        )
        return Order(record, self.dose, unit, factor)

    def describe(self) -> str:
        """Say amount and infusion."""
        over = f" over {self.over}" if self.over is not None else f" over D_{self.into}" if self.timed else ""
        return self.dose.describe() + over + (f" at {self.rate}" if self.rate is not None else "")

    def _unit(self, state: str) -> tuple[str, float]:
        """Return the unit to work amounts out in, and what leads from it to the unit of the state."""
        if self.molar_mass is None:
            return state, 1.0
        mass = positive(self.molar_mass, "g/mol", "molar_mass")
        return "mg", units.factor("mg", state, where="Regimen's dose", molar_mass=mass)

    def _rate(self, unit: str, time: str) -> float:
        if self.rate is None:
            return 0.0
        if self.over is not None:
            raise UserError(
                f"Regimen infuses over {self.over} and at {self.rate}; one follows from the other, so give one."
            )
        if self.dose.covariates:
            raise UserError(
                f"Regimen infuses {self.dose.describe()} at {self.rate}, so that each patient's infusion takes "
                "another time; give `over`, the time that it takes, instead of `rate`."
            )
        return positive(self.rate, f"({unit or '1'})/({time})", "rate")


def positive(text: str, unit: str, name: str) -> float:
    """Return a quantity that must be positive, `name` being its key.

    Raises:
        UserError: it is not, or is no quantity of this unit.
    """
    value = units.quantity(text, unit, where=f"Regimen's {name}")
    if value <= 0:
        raise UserError(f"Regimen's {name} is {text}; it must be positive.")
    return value


def delay(text: str | None, model: AbstractModel) -> float:
    """Return when a regimen starts, in the model's unit; 0 if nothing is said.

    Raises:
        UserError: it is negative, or is no time.
    """
    value = 0.0 if text is None else units.quantity(text, model.time, where="Regimen's start")
    if value < 0:
        raise UserError(f"Regimen's start is {text}; it must not be negative.")
    return value


def later(start: str | None) -> str:
    """Say when a regimen starts, unless it is with the trial."""
    return "" if start is None else f", from {start}"
