"""Comparison of means by the posterior probability of a difference."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from vtrial.design import Comparison, Seen
from vtrial.errors import UserError
from vtrial.statistics import bayes
from vtrial.trial.analyses.base import ALIKE, check_alpha, compared, usable
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis


class BayesianMeans(AbstractMeanAnalysis):
    """Posterior of each difference of means: normal prior, normal likelihood with the observed variances.

    A difference is significant when the posterior probability of its sign exceeds a threshold; p is twice the
    probability of the other sign, so that the threshold is 1 - alpha / 2. Intervals are credible.
    Source: Spiegelhalter, Freedman and Parmar 1994, doi:10.2307/2983527.
    """

    reference: str = eqx.field(static=True)
    prior_mean: float = eqx.field(static=True, default=0.0)
    """Of the difference, in the endpoint's unit."""
    prior_sd: float = eqx.field(static=True, default=float("inf"))
    """Of the difference; infinite for no prior opinion."""
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability and a prior without width.

        Raises:
            UserError: the prior standard deviation is not above 0.
        """
        check_alpha(self.alpha)
        if not self.prior_sd > 0:
            raise UserError(f"analysis.prior_sd is above 0 ('.inf' for no prior opinion), not {self.prior_sd:g}.")

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare means; an arm needs two known outcomes, and the two of a comparison some variance."""
        member, code = usable(seen, arms, 2)
        count = member.sum(0)
        n = jnp.where(count > 1, count, jnp.nan)
        mean = jnp.where(member, seen.outcome[:, None], 0.0).sum(0) / n
        square = jnp.where(member, (seen.outcome[:, None] - mean[None]) ** 2, 0.0).sum(0) / (n - 1) / n
        both = square + square[reference]
        code = jnp.where((code == 0) & (both == 0) & (jnp.arange(arms) != reference), ALIKE, code)
        raw = mean - mean[reference]
        difference, sd = bayes.normal_posterior(raw, jnp.sqrt(both), self.prior_mean, self.prior_sd)
        return compared(
            reference,
            count=count,
            estimate=mean,
            error=jnp.sqrt(square),
            difference=difference,
            spread=sd,
            code=code,
            alpha=self.alpha,
        )

    def describe(self) -> str:
        """Say it."""
        prior = f"prior N({self.prior_mean:g}, {self.prior_sd:g})" if self.prior_sd < float("inf") else "flat prior"
        return (
            f"posterior difference of means from {self.reference}, {prior}, significant above probability "
            f"{1 - self.alpha / 2:g} of its sign"
        )
