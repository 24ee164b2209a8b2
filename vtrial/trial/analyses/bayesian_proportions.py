"""Comparison of proportions by the posterior probability of a difference."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics import bayes
from vtrial.trial.analyses.base import check_alpha, usable
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis


class BayesianProportions(AbstractMeanAnalysis):
    """Posterior of each difference of proportions, from one beta prior for every arm.

    A difference is significant when the posterior probability of its sign, which is exact, exceeds a threshold; p is
    twice the probability of the other sign, so that the threshold is 1 - alpha / 2. Intervals have the posterior mean
    and standard deviation and the shape of a normal distribution.
    """

    reference: str = eqx.field(static=True)
    prior_events: float = eqx.field(static=True, default=0.5)
    """First parameter of the beta prior; Jeffreys' has 0.5 and 0.5."""
    prior_others: float = eqx.field(static=True, default=0.5)
    """Second parameter of the beta prior."""
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = True

    def __check_init__(self):
        """Refuse a level that is no probability and a prior that is none.

        Raises:
            UserError: a prior parameter is not above 0.
        """
        check_alpha(self.alpha)
        if not (self.prior_events > 0 and self.prior_others > 0):
            raise UserError(
                "analysis.prior_events and analysis.prior_others are above 0 (1 and 1 for a uniform prior), not "
                f"{self.prior_events:g} and {self.prior_others:g}."
            )

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare proportions of outcomes, which are 0 or 1; an arm needs one."""
        member, code = usable(seen, arms, 1)
        count = member.sum(0)
        events = jnp.where(member, seen.outcome[:, None], 0.0).sum(0)
        a, b = self.prior_events + events, self.prior_others + count - events
        mean = a / (a + b)
        square = mean * (1 - mean) / (a + b + 1)
        above = jax.vmap(lambda c, d: bayes.beta_above(c, d, a[reference], b[reference]))(a, b)
        difference = mean - mean[reference]
        spread = jnp.sqrt(square + square[reference])
        half = norm.isf(self.alpha / 2) * spread
        # The sign of the statistic is that of the posterior probability, which that of the mean may differ from.
        lean = jnp.sign(above - 0.5) * jnp.where(difference < 0, -1.0, 1.0)
        return judged(
            reference,
            count=count,
            estimate=jnp.where(code == 0, mean, jnp.nan),
            error=jnp.where(code == 0, jnp.sqrt(square), jnp.nan),
            difference=difference,
            spread=spread,
            lower=jnp.maximum(difference - half, -1.0),
            upper=jnp.minimum(difference + half, 1.0),
            p=jnp.where(lean < 0, 1.0, 2 * jnp.minimum(above, 1 - above)),
            code=code,
        )

    def describe(self) -> str:
        """Say it."""
        return (
            f"posterior difference of proportions from {self.reference}, prior Beta({self.prior_events:g}, "
            f"{self.prior_others:g}), significant above probability {1 - self.alpha / 2:g} of its sign"
        )
