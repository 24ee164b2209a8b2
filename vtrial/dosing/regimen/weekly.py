"""Doses on days of the week."""

from collections.abc import Sequence

import equinox as eqx

from vtrial.dosing.amount import AbstractAmount, amount
from vtrial.dosing.records import rounded
from vtrial.dosing.regimen.base import AbstractRegimen, Order
from vtrial.dosing.regimen.clock import day, hours, listed, say
from vtrial.dosing.regimen.given import Given, delay, later
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel

_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _weekdays(days: str | Sequence[str]) -> tuple[str, ...]:
    """Return days of the week by their whole names; "mon" will do for "monday".

    Raises:
        UserError: one is unknown.
    """
    found = []
    for text in listed(days):
        (name,) = [d for d in _WEEK if text.casefold() in (d, d[:3])] or [""]
        if not name:
            raise UserError(f"'{text}' is no day of the week. {nearest(text, _WEEK)}")
        found.append(name)
    return tuple(found)


def _weekday(text: str) -> str:
    return _weekdays(text)[0]


class Weekly(AbstractRegimen):
    """Doses on the same days of every week.

    Args:
        dose: amount of each dose with its unit, for example "300 mg"; or an amount that goes by covariates.
        days: days of the week, for example [mon, wed, fri].
        at: hour of the day, for example "8 h" for eight in the morning; or a list of several.
        weeks: how many weeks, counted from the first day of the regimen.
        into: name of the model's state that receives them.
        over: duration of an infusion; a bolus if neither this nor `rate` is given.
        rate: rate of an infusion.
        first: day of the week on which the regimen begins, at midnight. Days of the week before it come in the week
            after.
        start: the midnight at which it begins; the start of the trial if left out.
        molar_mass: for example "180.2 g/mol", where doses are masses and the model counts amounts of substance.
    """

    dose: AbstractAmount = eqx.field(converter=amount)
    days: tuple[str, ...] = eqx.field(static=True, converter=_weekdays)
    at: tuple[str, ...] = eqx.field(static=True, converter=listed)
    weeks: int = eqx.field(static=True)
    into: str = eqx.field(static=True)
    over: str | None = eqx.field(static=True, default=None)
    rate: str | None = eqx.field(static=True, default=None)
    first: str = eqx.field(static=True, converter=_weekday, default="monday")
    start: str | None = eqx.field(static=True, default=None)
    molar_mass: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        """Refuse a regimen without doses, and days that come twice."""
        if self.weeks < 1:
            raise UserError(f"Regimen goes on for weeks={self.weeks}; it needs at least 1.")
        if not self.days or len(set(self.days)) < len(self.days):
            raise UserError(f"Regimen's days are {', '.join(self.days) or 'empty'}; give each day of the week once.")

    def orders(self, model: AbstractModel) -> list[Order]:
        """Return one record for each day and hour, repeated every week."""
        one_day, start = day(model), delay(self.start, model)
        given = Given(self.dose, self.into, self.over, self.rate, self.molar_mass)
        first = _WEEK.index(self.first)
        numbers = [(_WEEK.index(name) - first) % 7 for name in self.days]
        times = [rounded(start + n * one_day + hour) for n in numbers for hour in hours(self.at, model)]
        return [given.order(model, t, additional=self.weeks - 1, interval=7 * one_day) for t in sorted(times)]

    def length(self, model: AbstractModel) -> float:
        """Return the end of the last week."""
        return rounded(delay(self.start, model) + 7 * self.weeks * day(model))

    def describe(self) -> str:
        """Say dose, days, hours and weeks."""
        dose = Given(self.dose, self.into, self.over, self.rate, self.molar_mass).describe()
        return (
            f"{dose} on {', '.join(self.days)} {say(self.at)}, {self.weeks} weeks into {self.into}, "
            f"day 1 being a {self.first}{later(self.start)}"
        )
