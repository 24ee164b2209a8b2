"""Doses in proportion to target over observation."""

import equinox as eqx
import jax.numpy as jnp

from vtrial import units
from vtrial.dosing.policy.adjustable import Adjustable
from vtrial.dosing.policy.base import AbstractPolicy, Decision, Past
from vtrial.dosing.policy.monitor import Monitor
from vtrial.errors import UserError


class Proportional(AbstractPolicy):
    """Therapeutic drug monitoring: the dose times target over observation, right where what is seen goes with the dose.

    Args:
        monitor: what is seen, and when.
        target: what should be seen, with its unit.
        lower: from this up to `upper` nothing changes; left out, no such range.
        upper: the end of that range.
        most_change: the most that one decision multiplies, or divides, the dose by.
        doses: which doses change, limits and rounding.
    """

    monitor: Monitor
    target: str = eqx.field(static=True)
    lower: str | None = eqx.field(static=True, default=None)
    upper: str | None = eqx.field(static=True, default=None)
    most_change: float = eqx.field(static=True, default=2.0)
    doses: Adjustable = Adjustable()

    def __check_init__(self):
        """Refuse half a range, and a change that is none."""
        if (self.lower is None) != (self.upper is None):
            raise UserError("policy.lower and policy.upper are one range; give both or none.")
        if self.most_change <= 1:
            raise UserError(f"policy.most_change must be above 1, not {self.most_change:g}.")

    def decide(self, past: Past, unit: str) -> Decision:
        """Multiply; an observation of nothing, or less, asks for the most."""
        target, lower, upper = self._numbers(unit)
        seen = past.latest
        change = target / jnp.maximum(seen, target / self.most_change)
        change = jnp.maximum(change, 1.0 / self.most_change)
        inside = (seen >= lower) & (seen <= upper)
        return Decision(jnp.where(inside, past.level, past.level * change), jnp.asarray(False))

    def check_rule(self, unit: str) -> None:
        """Check target and range."""
        target, lower, upper = self._numbers(unit)
        if target <= 0:
            raise UserError(f"policy.target is {self.target}; it must be positive.")
        if self.lower is not None and not lower <= target <= upper:
            raise UserError(f"policy.target {self.target} must lie in {self.lower} to {self.upper}.")

    def rule(self) -> str:
        """Say target, range and bound."""
        kept = "" if self.lower is None else f", unchanged within {self.lower} to {self.upper}"
        return f"the dose times {self.target} over the observation, by a factor of at most {self.most_change:g}{kept}"

    def _numbers(self, unit: str) -> tuple[float, float, float]:
        """Return target and range in the unit of what is seen; an empty range where there is none."""
        target = units.quantity(self.target, unit, where="policy.target")
        if self.lower is None or self.upper is None:
            return target, float("inf"), float("-inf")
        lower = units.quantity(self.lower, unit, where="policy.lower")
        return target, lower, units.quantity(self.upper, unit, where="policy.upper")
