"""Titration in steps."""

from itertools import pairwise

import equinox as eqx
import jax.numpy as jnp

from vtrial._types import numbers
from vtrial.dosing.policy.adjustable import Adjustable
from vtrial.dosing.policy.base import AbstractPolicy, Decision, Past
from vtrial.dosing.policy.monitor import Monitor
from vtrial.dosing.policy.threshold import AbstractThreshold
from vtrial.errors import UserError


class StepTitration(AbstractPolicy):
    """A ladder of doses: one level up or down at each decision, as thresholds say.

    Args:
        monitor: what is seen, and when.
        levels: the ladder, ascending, as multiples of the regimen's doses; 1, where patients start, is among them.
        up: when to go up by a level.
        down: when to go down by a level; if both are met, nothing changes.
        hold: when to give nothing until another decision; the level goes up or down all the same.
        doses: which doses change.
    """

    monitor: Monitor
    levels: tuple[float, ...] = eqx.field(static=True, converter=numbers)
    up: AbstractThreshold
    down: AbstractThreshold
    hold: AbstractThreshold | None = None
    doses: Adjustable = Adjustable()

    def __check_init__(self):
        """Refuse what is no ladder."""
        rising = all(a < b for a, b in pairwise(self.levels))
        if len(self.levels) < 2 or not rising or self.levels[0] <= 0 or 1.0 not in self.levels:
            raise UserError(
                "policy.levels ascend, are above 0 and have 1 among them, the regimen's own dose; got "
                f"{', '.join(f'{x:g}' for x in self.levels)}."
            )

    def decide(self, past: Past, unit: str) -> Decision:
        """Go one level up or down."""
        ladder = jnp.asarray(self.levels, float)
        now = jnp.argmin(jnp.abs(ladder - past.level))
        step = self.up.met(past.latest, unit).astype(int) - self.down.met(past.latest, unit).astype(int)
        held = jnp.asarray(False) if self.hold is None else self.hold.met(past.latest, unit)
        return Decision(ladder[jnp.clip(now + step, 0, len(self.levels) - 1)], held)

    def check_rule(self, unit: str) -> None:
        """Check the thresholds."""
        for threshold in (self.up, self.down, self.hold):
            if threshold is not None:
                threshold.value(unit)

    def rule(self) -> str:
        """Say ladder and thresholds."""
        hold = "" if self.hold is None else f", nothing if {self.hold.describe()}"
        return (
            f"one level up if {self.up.describe()}, down if {self.down.describe()}{hold}; levels "
            f"{', '.join(f'{x:g}' for x in self.levels)} times the dose"
        )
