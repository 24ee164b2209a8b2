"""Adjustment by bands: a table of factors for the present dose."""

import equinox as eqx
import jax.numpy as jnp

from vtrial._types import numbers, texts
from vtrial.dosing.policy.adjustable import Adjustable
from vtrial.dosing.policy.bands import band, check_bands, check_values, describe_bands
from vtrial.dosing.policy.base import AbstractPolicy, Decision, Past
from vtrial.dosing.policy.monitor import Monitor


class Adjustment(AbstractPolicy):
    """A table by bands of what is seen that multiplies the present dose, as tables for maintenance do.

    Args:
        monitor: what is seen, and when.
        limits: limits between the bands with their unit, ascending; a limit itself belongs to the band above it.
        factors: for each band, one more than limits, what the present dose is multiplied by; 0 gives nothing until
            another decision, after which the dose goes on from where it was.
        doses: which doses change, limits and rounding.
    """

    monitor: Monitor
    limits: tuple[str, ...] = eqx.field(static=True, converter=texts)
    factors: tuple[float, ...] = eqx.field(static=True, converter=numbers)
    doses: Adjustable = Adjustable()

    def __check_init__(self):
        """Refuse a table of the wrong length."""
        check_values(self.limits, self.factors, "factors")

    def decide(self, past: Past, unit: str) -> Decision:
        """Look the factor up."""
        factor = jnp.asarray(self.factors, float)[band(past.latest, self.limits, unit)]
        held = factor == 0
        return Decision(jnp.where(held, past.level, past.level * factor), held)

    def check_rule(self, unit: str) -> None:
        """Check the limits."""
        check_bands(self.limits, unit)

    def rule(self) -> str:
        """Say the table."""
        return "the present dose times, " + describe_bands(self.limits, [f"{x:g}" for x in self.factors])
