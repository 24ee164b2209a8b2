"""Dose proportionality, of parallel dose groups, ascending doses or a crossover of doses."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial.design import Comparison, Seen
from vtrial.errors import UserError
from vtrial.statistics import proportionality
from vtrial.statistics.equivalence import tost
from vtrial.trial.analyses.base import INFINITE, AbstractArmsAnalysis, check_alpha, check_doses
from vtrial.trial.analyses.equivalence import Logs, check_limit, equivalent, logged
from vtrial.trial.analyses.estimated import Target, log_ratios
from vtrial.trial.analyses.null import Disproportional

_NOTHING = 1e-9
"""An error of the slope below this is rounding."""


class DoseProportionality(AbstractArmsAnalysis):
    """The power model: the logarithm of an exposure against that of the dose; its slope is 1 if it is proportional.

    The effect of an arm is the log ratio of its dose-normalised exposure to the reference's, by the slope; an arm on a
    dose of 0 has none and is left out. All arms are claimed together: that the ratio of the highest to the lowest dose
    seen is inside the limits, by two one-sided tests of the slope.

    Args:
        reference: name of the reference arm, the lowest dose say.
        doses: dose of each arm of the design, in the same order and any unit.
        alpha: twice the level of each one-sided test; 0.1 gives tests at 5 % and 90 % intervals.
        limit: greatest ratio of dose-normalised exposures that is proportional; the least is its inverse.

    Source: Smith et al. 2000, doi:10.1023/A:1026451721686.
    """

    reference: str = eqx.field(static=True)
    doses: Mapping[str, float] = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.1)
    limit: float = eqx.field(static=True, default=1.25)
    layouts: ClassVar[tuple[str, ...]] = ("value", "periods")
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse doses that tell nothing.

        Raises:
            UserError: a dose is negative, fewer than two differ from 0 and each other, or the reference has none.
        """
        check_alpha(self.alpha)
        check_limit(self.limit)
        amounts = [float(dose) for dose in self.doses.values()]
        if len({a for a in amounts if a > 0}) < 2 or min(amounts) < 0:
            raise UserError(
                f"analysis.doses gives each arm's dose in the order of the design, 0 or more, two of them above 0 and "
                f"unlike; got {dict(self.doses)}."
            )
        if not self.doses.get(self.reference, 0.0) > 0:
            raise UserError(f"analysis.reference is '{self.reference}', which has no dose above 0 in analysis.doses.")

    @property
    def null(self) -> Disproportional:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A slope at the limit over the range of the doses."""
        return Disproportional(tuple(float(dose) for dose in self.doses.values()), self.limit)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def check_arms(self, names: Sequence[str]) -> None:
        """Check that there is a dose for each arm, in their order."""
        check_doses(self.doses, names)

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Fit and test; where an outcome of some dose has no logarithm there is no slope (code 4)."""
        dosed, x = self._places(reference)
        given = jnp.where((seen.arm >= 0) & dosed[jnp.maximum(seen.arm, 0)], seen.arm, -1)
        logs, code = logged(eqx.tree_at(lambda s: s.arm, seen, given), arms)
        code = jnp.where((code == INFINITE).any(), INFINITE, code)
        place = jnp.where(logs.arm >= 0, x[jnp.maximum(logs.arm, 0)], jnp.nan)
        fit = proportionality.slope(logs.value, place)
        df = jnp.full(arms, jnp.where((fit.df > 0) & (fit.error > _NOTHING), fit.df, jnp.nan))
        found = (fit.value - 1) * x, fit.error * jnp.abs(x), df
        p = tost(fit.value - 1, fit.error, df[0], math.log(self.limit) / _range(x, logs))
        return equivalent(logs, found, jnp.full(arms, p), code, reference, self.alpha)

    def target(self, table: Float[Array, "subject arm *period"], reference: int) -> Target:
        """Return true means of logarithms, and log ratios of dose-normalised exposures by their slope on log dose."""
        dosed, x = self._places(reference)
        level, _ = log_ratios(table, reference)
        known = dosed & jnp.isfinite(level)
        fit = proportionality.slope(jnp.where(known, level, jnp.nan)[:, None], x[:, None])
        return level, (fit.value - 1) * x

    def unit(self, unit: str) -> str:
        """Return none: a log ratio has none."""
        return ""

    def describe(self) -> str:
        """Say it."""
        return (
            f"dose proportionality by the power model, {self.reference} being the reference: the ratio of dose-"
            f"normalised exposures over the doses seen within {1 / self.limit:.4g} to {self.limit:.4g}; "
            f"{100 * (1 - self.alpha):g} % interval"
        )

    def _places(self, reference: int) -> tuple[Array, Float[Array, " arm"]]:
        """Return which arms have a dose, and its logarithm less the reference's; not a number where there is none."""
        dose = np.asarray(list(self.doses.values()), float)
        x = np.log(np.where(dose > 0, dose, np.nan)) - np.log(dose[reference])
        return jnp.asarray(dose > 0), jnp.asarray(x)


def _range(x: Float[Array, " arm"], logs: Logs) -> Float[Array, ""]:
    """Return the logarithm of the ratio of the highest dose seen to the lowest."""
    there = logs.given.any((0, 1)) & jnp.isfinite(x)
    return jnp.max(jnp.where(there, x, -jnp.inf)) - jnp.min(jnp.where(there, x, jnp.inf))
