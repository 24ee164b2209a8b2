"""A nomogram: a table of doses by decision and band."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp

from vtrial._types import texts
from vtrial.dosing.policy.adjustable import Adjustable
from vtrial.dosing.policy.bands import band, check_bands, check_values, describe_bands
from vtrial.dosing.policy.base import AbstractPolicy, Decision, Past
from vtrial.dosing.policy.monitor import Monitor
from vtrial.errors import UserError


def _rows(values: Sequence[Sequence[float] | float]) -> tuple[tuple[float, ...], ...]:
    rows = [row for row in values if isinstance(row, Sequence)]
    if len(rows) < len(values):
        raise UserError(f"policy.levels is a list of rows, such as [[1.0, 0.5]] for all decisions; got {list(values)}.")
    return tuple(tuple(row) for row in rows)


class Nomogram(AbstractPolicy):
    """A table that says the next doses by what is seen, whatever was given before, as tables for loading do.

    Args:
        monitor: what is seen, and when.
        limits: limits between the bands with their unit, ascending; a limit itself belongs to the band above it.
        levels: a row for each decision, or one for all: for each band, one more than limits, the doses from then on as
            a multiple of the regimen's; 0 gives nothing until another decision.
        doses: which doses change, limits and rounding.
    """

    monitor: Monitor
    limits: tuple[str, ...] = eqx.field(static=True, converter=texts)
    levels: tuple[tuple[float, ...], ...] = eqx.field(static=True, converter=_rows)
    doses: Adjustable = Adjustable()

    def __check_init__(self):
        """Refuse a table of the wrong size."""
        for row in self.levels:
            check_values(self.limits, row, "levels")
        if len(self.levels) not in (1, len(self.monitor.at)):
            raise UserError(
                f"policy.levels has {len(self.levels)} rows, but there are {len(self.monitor.at)} decisions; give a "
                "row for each, or one for all."
            )

    def decide(self, past: Past, unit: str) -> Decision:
        """Look the level up."""
        row = jnp.minimum(past.number, len(self.levels) - 1)
        level = jnp.asarray(self.levels, float)[row, band(past.latest, self.limits, unit)]
        held = level == 0
        return Decision(jnp.where(held, past.level, level), held)

    def check_rule(self, unit: str) -> None:
        """Check the limits."""
        check_bands(self.limits, unit)

    def rule(self) -> str:
        """Say the table."""
        whens = [f"at {time}" for time in self.monitor.at] if len(self.levels) > 1 else ["each time"]
        said = [
            f"{when} {describe_bands(self.limits, [f'{x:g}' for x in row])}"
            for when, row in zip(whens, self.levels, strict=True)
        ]
        return "the dose times, " + "; ".join(said)
