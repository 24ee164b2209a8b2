"""Adjustable: which doses of a regimen a policy changes, and what they may become."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial import units
from vtrial.dosing.amount import AbstractRounding
from vtrial.dosing.regimen import AbstractRegimen, Order
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel


class Adjustable(eqx.Module):
    """The doses that a policy changes, within limits, in whole tablets or vials.

    Infusions keep their duration. A dose that no decision has changed is the regimen's own, whatever the limits.

    Args:
        into: state whose doses are changed; left out, all doses are.
        least: the least that is given, unless doses are held, for example "1 mg"; one tablet if only `rounding` is
            given.
        most: the most that is given.
        rounding: to what can be given.
    """

    into: str | None = eqx.field(static=True, default=None)
    least: str | None = eqx.field(static=True, default=None)
    most: str | None = eqx.field(static=True, default=None)
    rounding: AbstractRounding | None = None

    def orders(self, model: AbstractModel, regimen: AbstractRegimen) -> list[Order]:
        """Return those doses of a regimen that may change.

        Raises:
            UserError: there is none.
        """
        states = tuple(model.states)
        if self.into is not None and self.into not in states:
            raise UserError(f"doses.into is '{self.into}', which is no state. {nearest(self.into, states)}")
        found = [o for o in regimen.orders(model) if self.into in (None, states[o.record.state])]
        if not found:
            raise UserError(f"doses.into is '{self.into}', but the regimen gives nothing into it.")
        return found

    def check(self, orders: Sequence[Order]) -> None:
        """Check the limits against the doses that may change.

        Raises:
            UserError: a limit is of another kind, the limits leave nothing, or doses are of several kinds.
        """
        if self._free:
            return
        if len({(order.unit, order.factor) for order in orders}) > 1:
            raise UserError("The regimen has doses of different units; say by doses.into which the limits are for.")
        least, most = self._limits(orders[0].unit)
        if not 0 <= least <= most or most <= 0:
            raise UserError(f"doses.least is {self.least} and doses.most is {self.most}; correct these limits.")
        if self.rounding is not None:
            tablet = units.quantity(self.rounding.to, orders[0].unit, where="doses.rounding.to")
            for name, limit in (("least", self.least), ("most", self.most)):
                amount = 0.0 if limit is None else units.quantity(limit, orders[0].unit, where=f"doses.{name}")
                if abs(amount / tablet - round(amount / tablet)) > 1e-9:
                    raise UserError(f"doses.{name} is {limit}, which is no whole number of {self.rounding.to}.")

    def possible(self, level: Float[Array, ""], amount: Float[Array, ""], order: Order) -> Float[Array, ""]:
        """Return the multiple of the regimen's doses nearest to `level` that can be given.

        Args:
            level: a multiple of the regimen's doses.
            amount: the regimen's own next dose, in the unit of the state.
            order: one of the doses that may change.
        """
        if self._free:
            return level
        own = amount / order.factor
        given = level * own
        if self.rounding is not None:
            tablet = units.quantity(self.rounding.to, order.unit, where="doses.rounding.to")
            given = tablet * jnp.asarray(self.rounding.count(given / tablet))
        given = jnp.clip(given, *self._limits(order.unit))
        some = own > 0
        return jnp.where(some & (level > 0), given / jnp.where(some, own, 1.0), level)

    def describe(self) -> str:
        """Say limits and rounding; "" if there are none."""
        said = [] if self.into is None else [f"doses into {self.into}"]
        said += [] if self.least is None else [f"at least {self.least}"]
        said += [] if self.most is None else [f"at most {self.most}"]
        said += [] if self.rounding is None else [self.rounding.describe()]
        return ", ".join(said)

    @property
    def _free(self) -> bool:
        """Whether doses may become anything."""
        return self.least is None and self.most is None and self.rounding is None

    def _limits(self, unit: str) -> tuple[float, float]:
        """Return the least and the most that is given."""
        least = 0.0 if self.rounding is None else units.quantity(self.rounding.to, unit, where="doses.rounding.to")
        if self.rounding is not None and least <= 0:
            raise UserError(f"doses.rounding.to is {self.rounding.to}; it must be positive.")
        if self.least is not None:
            least = units.quantity(self.least, unit, where="doses.least")
        most = float("inf") if self.most is None else units.quantity(self.most, unit, where="doses.most")
        return least, most
