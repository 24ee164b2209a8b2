"""Phases: one policy after another."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from vtrial.dosing.policy.adjustable import Adjustable
from vtrial.dosing.policy.base import AbstractPolicy, Decision, Past
from vtrial.dosing.policy.monitor import Monitor
from vtrial.errors import UserError


def _parts(parts: Sequence[AbstractPolicy]) -> tuple[AbstractPolicy, ...]:
    return tuple(parts)


class Phases(AbstractPolicy):
    """Policies one after another: a table for loading, then one for maintenance. The dose goes on from one to the next.

    Args:
        parts: the policies, in order of their samples; of one output, seen in one way, and of the same doses.
    """

    parts: tuple[AbstractPolicy, ...] = eqx.field(converter=_parts)

    def __check_init__(self):
        """Refuse phases that do not go together."""
        if len(self.parts) < 2:
            raise UserError(f"policy.parts needs at least 2 policies, not {len(self.parts)}.")
        seen = {(m.output, m.measured, m.delay) for m in (part.monitor for part in self.parts)}
        if len(seen) > 1 or any(part.doses != self.doses for part in self.parts):
            raise UserError(
                "Policies in policy.parts see the same output, measured or not, with the same delay, and change the "
                "same doses."
            )

    @property
    def monitor(self) -> Monitor:
        """All samples."""
        first = self.parts[0].monitor
        at = tuple(time for part in self.parts for time in part.monitor.at)
        return Monitor(first.output, at, first.measured, first.delay)

    @property
    def doses(self) -> Adjustable:
        """Those of the parts."""
        return self.parts[0].doses

    def decide(self, past: Past, unit: str) -> Decision:
        """Ask the policy whose sample it is; it knows its own samples alone."""
        found, begin = [], 0
        for part in self.parts:
            count = len(part.monitor.at)
            own = slice(begin, begin + count)
            number = jnp.clip(past.number - begin, 0, count - 1)
            found.append(
                part.decide(Past(number, past.time[own], past.observed[own], past.levels[own], past.held), unit)
            )
            begin += count
        ends = np.cumsum([len(part.monitor.at) for part in self.parts])
        which = jnp.searchsorted(jnp.asarray(ends), past.number, side="right")
        level, held = (jnp.stack(values)[which] for values in zip(*found, strict=True))
        return Decision(level, held)

    def check_rule(self, unit: str) -> None:
        """Check the rules of all parts."""
        for part in self.parts:
            part.check_rule(unit)

    def rule(self) -> str:
        """Say the rules of all parts in order."""
        return "; then ".join(part.rule() for part in self.parts)
