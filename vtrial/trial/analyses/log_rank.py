"""The log-rank test."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from vtrial._types import numbers
from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics.log_rank import log_rank, stratified_log_rank
from vtrial.trial.analyses.base import ALIKE, check_alpha, usable
from vtrial.trial.analyses.estimated import AbstractHazardAnalysis


class LogRank(AbstractHazardAnalysis):
    """Log-rank test of each arm against the reference; the effect is the log hazard ratio, by Peto's one step.

    The one step is good for hazard ratios not far from 1; `Cox` estimates any. The level of an arm is the mean time at
    risk for each event, which is the mean time to the event where the hazard is constant.

    Args:
        reference: name of the reference arm.
        alpha: two-sided significance level.
        rho: exponent of survival in the weight of an event; 1 weighs early events more.
        gamma: exponent of 1 - survival; 1 weighs late events more, as where an effect comes with delay.
        strata: name of a covariate: patients are compared with patients of the same value only. Left out, with all.
        values: every value of it.

    Source: Fleming and Harrington 1981, doi:10.1080/03610928108828073; the one step Peto and others 1977,
    doi:10.1038/bjc.1977.1.
    """

    reference: str = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.05)
    rho: float = eqx.field(static=True, default=0.0)
    gamma: float = eqx.field(static=True, default=0.0)
    strata: str | None = eqx.field(static=True, default=None)
    values: tuple[float, ...] = eqx.field(static=True, converter=numbers, default=())
    layouts: ClassVar[tuple[str, ...]] = ("event",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability, negative weights, and strata without values."""
        check_alpha(self.alpha)
        if self.rho < 0 or self.gamma < 0:
            raise UserError(f"analysis.rho and gamma are 0 or more, not {self.rho:g} and {self.gamma:g}.")
        if (self.strata is None) != (not self.values):
            raise UserError("analysis.strata needs analysis.values, every value of that covariate, and they need it.")

    def covariates(self) -> tuple[str, ...]:
        """Return the covariate of the strata."""
        return () if self.strata is None else (self.strata,)

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Test; an arm needs one patient, and the two of a comparison an event that tells them apart."""
        member, code = usable(seen, arms, 1)
        found = self._tested(seen, member, reference)
        code = jnp.where((code == 0) & (found.variance <= 0) & (jnp.arange(arms) != reference), ALIKE, code)
        slope = jnp.where(found.slope > 0, found.slope, 1.0)
        spread = jnp.sqrt(found.variance) / slope
        effect = found.excess / slope
        half = ndtri(1 - self.alpha / 2) * spread
        count, level, error = time_per_event(seen, member)
        z = found.excess / jnp.sqrt(jnp.where(found.variance > 0, found.variance, 1.0))
        return judged(
            reference,
            count=count,
            estimate=level,
            error=error,
            difference=effect,
            spread=spread,
            lower=effect - half,
            upper=effect + half,
            p=2 * norm.sf(jnp.abs(z)),
            code=code,
            sign=-1.0,
        )

    def _tested(self, seen: Seen, member: Bool[Array, "patient arm"], reference: int):
        """Return the test, over strata if there are any."""
        if self.strata is None:
            return log_rank(seen.outcome, seen.event, member, reference=reference, rho=self.rho, gamma=self.gamma)
        hit = seen.covariates[self.strata][:, None] == jnp.asarray(self.values)[None]
        stratum = jnp.where(hit.any(1), jnp.argmax(hit, 1), -1)
        return stratified_log_rank(
            seen.outcome,
            seen.event,
            member,
            stratum,
            strata=len(self.values),
            reference=reference,
            rho=self.rho,
            gamma=self.gamma,
        )

    def describe(self) -> str:
        """Say it."""
        weight = "" if self.rho == self.gamma == 0 else f" weighted by S^{self.rho:g} (1 - S)^{self.gamma:g}"
        strata = "" if self.strata is None else f" stratified by {self.strata}"
        return (
            f"log hazard ratio against {self.reference}, log-rank test{weight}{strata}, two-sided alpha {self.alpha:g}"
        )


def time_per_event(
    seen: Seen, member: Bool[Array, "patient arm"]
) -> tuple[Int[Array, " arm"], Float[Array, " arm"], Float[Array, " arm"]]:
    """Return patients, time at risk for each event, and its standard error, of each arm.

    An arm without an event has its whole time at risk: as if there were one.
    """
    total = jnp.where(member, seen.outcome[:, None], 0.0).sum(0)
    events = jnp.maximum((member & seen.event[:, None]).sum(0), 1)
    count = member.sum(0)
    level = jnp.where(count > 0, total / events, jnp.nan)
    return count, level, level / jnp.sqrt(events)
