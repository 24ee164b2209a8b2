"""Doses at equal intervals."""

import equinox as eqx

from vtrial.dosing.amount import AbstractAmount, amount
from vtrial.dosing.records import rounded
from vtrial.dosing.regimen.base import AbstractRegimen, Order
from vtrial.dosing.regimen.given import Given, delay, later, positive
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class Regimen(AbstractRegimen):
    """Equal doses at equal intervals.

    Args:
        dose: amount of each dose with its unit, for example "300 mg"; or an amount that goes by covariates.
        every: time between doses with its unit, for example "12 h".
        doses: how many doses are given.
        into: name of the model's state that receives them, for example "depot".
        over: duration of an infusion, for example "1 h"; a bolus if neither this nor `rate` is given.
        rate: rate of an infusion, for example "50 mg/h".
        start: time of the first dose; the start of the trial if left out.
        steady_state: whether the trial finds patients at steady state, after endlessly many such doses. A sample at
            time 0 is then the trough before the first of `doses`.
        molar_mass: for example "180.2 g/mol", where doses are masses and the model counts amounts of substance.
        timed: whether the infusion lasts as long as the patient's parameter D of the state says, as `D_central`:
            absorption at zero order, NONMEM's RATE -2.
    """

    dose: AbstractAmount = eqx.field(converter=amount)
    every: str = eqx.field(static=True)
    doses: int = eqx.field(static=True)
    into: str = eqx.field(static=True)
    over: str | None = eqx.field(static=True, default=None)
    rate: str | None = eqx.field(static=True, default=None)
    start: str | None = eqx.field(static=True, default=None)
    steady_state: bool = eqx.field(static=True, default=False)
    molar_mass: str | None = eqx.field(static=True, default=None)
    timed: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        """Refuse a regimen without doses, and a steady state out of nothing."""
        if self.doses < 1:
            raise UserError(f"Regimen gives doses={self.doses}; it needs at least 1.")
        if self.steady_state and self.start is not None:
            raise UserError(
                f"Regimen starts at {self.start} with steady_state=true; a steady state is there from the start of the "
                "trial, so leave `start` out."
            )

    def orders(self, model: AbstractModel) -> list[Order]:
        """Return one record with its additional doses."""
        every, start = positive(self.every, model.time, "every"), delay(self.start, model)
        given = self._given()
        if not self.steady_state:
            return [given.order(model, start, additional=self.doses - 1, interval=every)]
        # From one interval before the trial, so that a sample at time 0 is a trough; and added to what is there (SS 2),
        # for SS 1 would cancel the other parts of a combination.
        return [given.order(model, -every, additional=self.doses, interval=every, steady=2)]

    def length(self, model: AbstractModel) -> float:
        """Return the time at which another dose would be due."""
        return rounded(delay(self.start, model) + self.doses * positive(self.every, model.time, "every"))

    def describe(self) -> str:
        """Say dose, interval and number."""
        dose = self._given().describe()
        often = "once" if self.doses == 1 else f"every {self.every}, {self.doses} doses"
        steady = f", after such doses every {self.every} to steady state" if self.steady_state else ""
        return f"{dose} {often} into {self.into}{later(self.start)}{steady}"

    def _given(self) -> Given:
        """Return how each dose is given."""
        return Given(self.dose, self.into, self.over, self.rate, self.molar_mass, self.timed)
