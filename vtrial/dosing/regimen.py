"""Regimens: doses as a protocol says them."""

from collections.abc import Sequence

import equinox as eqx

from vtrial import units
from vtrial.dosing.records import After, Dose, EventTable, event_table
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel


class Regimen(eqx.Module):
    """Equal bolus doses at equal intervals, from time 0.

    Args:
        dose: amount of each dose with its unit, for example "300 mg".
        every: time between doses with its unit, for example "12 h".
        doses: how many doses are given.
        into: name of the model's state that receives them, for example "depot".
    """

    dose: str = eqx.field(static=True)
    every: str = eqx.field(static=True)
    doses: int = eqx.field(static=True)
    into: str = eqx.field(static=True)

    def __check_init__(self):
        """Refuse a regimen without doses."""
        if self.doses < 1:
            raise UserError(f"Regimen gives doses={self.doses}; it needs at least 1.")

    def record(self, model: AbstractModel) -> Dose:
        """Return the regimen as one dose record in the model's units.

        Raises:
            UserError: the state is unknown, a unit does not fit, or an amount or interval is not positive.
        """
        states = tuple(model.states)
        if self.into not in states:
            raise UserError(
                f"Regimen doses into '{self.into}', which is no state of the model. {nearest(self.into, states)}"
            )
        amount = units.quantity(self.dose, model.states[self.into], where="Regimen's dose")
        interval = units.quantity(self.every, model.time, where="Regimen's every")
        if amount < 0 or interval <= 0:
            raise UserError(
                f"Regimen gives {self.dose} every {self.every}; the dose must not be negative and the interval "
                "must be positive."
            )
        return Dose(0.0, amount, states.index(self.into), self.doses - 1, interval)

    def records(self, model: AbstractModel, samples: Sequence[After | float]) -> EventTable:
        """Return one person's event table: these doses and samples (the model's time unit).

        A sample at the hour of a dose is taken before it, the first dose included, unless it is an `After`.
        """
        return event_table([*samples, self.record(model)])

    def describe(self) -> str:
        """Say the regimen in words."""
        if self.doses == 1:
            return f"{self.dose} once into {self.into}"
        return f"{self.dose} every {self.every}, {self.doses} doses into {self.into}"
