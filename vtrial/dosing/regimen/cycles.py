"""Doses on numbered days of cycles."""

import equinox as eqx

from vtrial._types import whole_numbers
from vtrial.dosing.amount import AbstractAmount, amount
from vtrial.dosing.records import rounded
from vtrial.dosing.regimen.base import AbstractRegimen, Order
from vtrial.dosing.regimen.clock import day, hours, listed, say
from vtrial.dosing.regimen.given import Given, delay, later, positive
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class Cycles(AbstractRegimen):
    """Doses on the same days of every cycle, as chemotherapy is given.

    Args:
        dose: amount of each dose with its unit, for example "300 mg"; or an amount that goes by covariates.
        days: days of the cycle, the first being day 1, for example [1, 8].
        cycle: length of a cycle, for example "21 d".
        cycles: how many.
        into: name of the model's state that receives them.
        at: hour of the day, or a list of several; the start of the day if left out.
        over: duration of an infusion; a bolus if neither this nor `rate` is given.
        rate: rate of an infusion.
        start: when day 1 of the first cycle begins; the start of the trial if left out.
        molar_mass: for example "180.2 g/mol", where doses are masses and the model counts amounts of substance.
    """

    dose: AbstractAmount = eqx.field(converter=amount)
    days: tuple[int, ...] = eqx.field(static=True, converter=whole_numbers)
    cycle: str = eqx.field(static=True)
    cycles: int = eqx.field(static=True)
    into: str = eqx.field(static=True)
    at: tuple[str, ...] = eqx.field(static=True, converter=listed, default=("0 h",))
    over: str | None = eqx.field(static=True, default=None)
    rate: str | None = eqx.field(static=True, default=None)
    start: str | None = eqx.field(static=True, default=None)
    molar_mass: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        """Refuse a regimen without doses, and days that come twice."""
        if self.cycles < 1:
            raise UserError(f"Regimen goes on for cycles={self.cycles}; it needs at least 1.")
        if not self.days or len(set(self.days)) < len(self.days) or min(self.days) < 1:
            said = ", ".join(str(d) for d in self.days) or "empty"
            raise UserError(f"Regimen's days are {said}; give each day of the cycle once, the first being day 1.")

    def orders(self, model: AbstractModel) -> list[Order]:
        """Return one record for each day and hour, repeated every cycle."""
        one_day, start = day(model), delay(self.start, model)
        cycle = positive(self.cycle, model.time, "cycle")
        if (max(self.days) - 1) * one_day >= cycle:
            raise UserError(f"Regimen gives a dose on day {max(self.days)} of a cycle of {self.cycle}.")
        given = Given(self.dose, self.into, self.over, self.rate, self.molar_mass)
        times = [rounded(start + (n - 1) * one_day + hour) for n in self.days for hour in hours(self.at, model)]
        return [given.order(model, t, additional=self.cycles - 1, interval=cycle) for t in sorted(times)]

    def length(self, model: AbstractModel) -> float:
        """Return the end of the last cycle."""
        return rounded(delay(self.start, model) + self.cycles * positive(self.cycle, model.time, "cycle"))

    def describe(self) -> str:
        """Say dose, days and cycles."""
        dose = Given(self.dose, self.into, self.over, self.rate, self.molar_mass).describe()
        days = f"day{'s' if len(self.days) > 1 else ''} {', '.join(str(d) for d in self.days)}"
        hour = "" if self.at == ("0 h",) else f" {say(self.at)}"
        return f"{dose} on {days} of every {self.cycle}{hour}, {self.cycles} cycles into {self.into}{later(self.start)}"
