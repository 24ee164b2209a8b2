"""Restricted mean times to an event."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics.kaplan_meier import kaplan_meier, restricted_mean
from vtrial.trial.analyses.base import ALIKE, SHORT, AbstractAnalysis, check_alpha, usable


class RestrictedMean(AbstractAnalysis):
    """Difference of mean times free of the event within a horizon: areas under Kaplan-Meier curves.

    It needs no proportional hazards. An arm whose curve ends, censored, before the horizon is not analysed (code 5).

    Args:
        reference: name of the reference arm.
        horizon: in the model's time unit.
        alpha: two-sided significance level.

    Source: Royston and Parmar 2013, doi:10.1186/1471-2288-13-152; Uno and others 2014, doi:10.1200/JCO.2014.55.2208.
    """

    reference: str = eqx.field(static=True)
    horizon: float = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("event",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability, and a horizon that is no time."""
        check_alpha(self.alpha)
        if not self.horizon > 0:
            raise UserError(f"analysis.horizon is a time above 0, not {self.horizon:g}.")

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare areas, by the normal distribution; an arm needs two patients."""
        member, code = usable(seen, arms, 2)
        curves = kaplan_meier(seen.outcome, seen.event, member)
        mean, error = restricted_mean(curves, self.horizon)
        code = jnp.where((code == 0) & (curves.reach < self.horizon), SHORT, code)
        difference = mean - mean[reference]
        spread = jnp.sqrt(error**2 + error[reference] ** 2)
        code = jnp.where((code == 0) & (spread == 0) & (jnp.arange(arms) != reference), ALIKE, code)
        half = ndtri(1 - self.alpha / 2) * spread
        return judged(
            reference,
            count=member.sum(0),
            estimate=mean,
            error=error,
            difference=difference,
            spread=spread,
            lower=difference - half,
            upper=difference + half,
            p=2 * norm.sf(jnp.abs(difference) / jnp.where(spread > 0, spread, 1.0)),
            code=code,
        )

    def target(
        self, table: Float[Array, "subject arm"], reference: int
    ) -> tuple[Float[Array, " arm"], Float[Array, " arm"]]:
        """Return true restricted means, and their differences."""
        level = jnp.nanmean(jnp.minimum(table, self.horizon), axis=0)
        return level, level - level[reference]

    def unit(self, unit: str) -> str:
        """Return the endpoint's: a time."""
        return unit

    def describe(self) -> str:
        """Say it."""
        return (
            f"difference of mean times free of the event within {self.horizon:g} from {self.reference}, two-sided "
            f"alpha {self.alpha:g}"
        )
