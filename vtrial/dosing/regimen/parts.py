"""Regimens made of regimens: together, or one after another."""

from collections.abc import Sequence

import equinox as eqx

from vtrial.dosing.records import rounded
from vtrial.dosing.regimen.base import AbstractRegimen, Order
from vtrial.errors import UserError
from vtrial.model import AbstractModel


def _parts(parts: Sequence[AbstractRegimen]) -> tuple[AbstractRegimen, ...]:
    return tuple(parts)


class Combined(AbstractRegimen):
    """Regimens given side by side, each at its own times: several drugs, several routes, a dose on top.

    Args:
        parts: the regimens. Doses of one hour are given in this order.
    """

    parts: tuple[AbstractRegimen, ...] = eqx.field(converter=_parts)

    def __check_init__(self):
        """Refuse what combines nothing."""
        if len(self.parts) < 2:
            raise UserError(f"Combined needs at least 2 parts, not {len(self.parts)}.")

    def orders(self, model: AbstractModel) -> list[Order]:
        """Return the doses of all parts."""
        orders = [order for part in self.parts for order in part.orders(model)]
        if not model.linear and sum(order.record.steady > 0 for order in orders) > 1:
            raise UserError(
                "More than one part of a Combined regimen has steady_state=true. Steady states add up in linear models "
                "only, and this model is not linear; start with earlier doses instead."
            )
        return orders

    def length(self, model: AbstractModel) -> float:
        """Return the time at which the last part is over."""
        return max(part.length(model) for part in self.parts)

    def describe(self) -> str:
        """Say all parts."""
        return "; together with ".join(part.describe() for part in self.parts)


class Consecutive(AbstractRegimen):
    """Regimens given one after another: a loading dose, then maintenance. Each begins when the one before is over.

    A `Regimen` is over when another of its doses would be due, so that loading with one dose `every: 24 h` puts the
    first maintenance dose at 24 h.

    Args:
        parts: the regimens, in order.
    """

    parts: tuple[AbstractRegimen, ...] = eqx.field(converter=_parts)

    def __check_init__(self):
        """Refuse what follows nothing."""
        if len(self.parts) < 2:
            raise UserError(f"Consecutive needs at least 2 parts, not {len(self.parts)}.")

    def orders(self, model: AbstractModel) -> list[Order]:
        """Return the doses of all parts, delayed."""
        orders, begin = [], 0.0
        for number, part in enumerate(self.parts):
            found = part.orders(model)
            if number and any(order.record.steady for order in found):
                raise UserError(
                    f"Part {number + 1} of a Consecutive regimen has steady_state=true; only the first can be at "
                    "steady state when the trial starts."
                )
            orders += [order.after(begin) for order in found]
            begin = rounded(begin + part.length(model))
        return orders

    def length(self, model: AbstractModel) -> float:
        """Return the sum of all parts."""
        return rounded(sum(part.length(model) for part in self.parts))

    def describe(self) -> str:
        """Say all parts in order."""
        return "; then ".join(part.describe() for part in self.parts)
