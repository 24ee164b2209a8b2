"""Comparison of means with a control that borrows from earlier trials."""

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial._types import numbers
from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics import meta, mixture
from vtrial.trial.analyses.base import ALIKE, check_alpha, usable
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis

_HALVINGS = 60


class BorrowedMeans(AbstractMeanAnalysis):
    """Posterior of each difference of means; the reference has a robust meta-analytic-predictive prior.

    The prior is what earlier control arms predict for a new one, as a mixture of normal distributions, one of them
    vague for the case that this trial's control is different. Other arms have flat priors, and variances are those
    observed. p is twice the posterior probability of the other sign; intervals are credible, with equal tails.
    Source: Schmidli et al. 2014, doi:10.1111/biom.12242.
    """

    reference: str = eqx.field(static=True)
    means: tuple[float, ...] = eqx.field(static=True, converter=numbers)
    """Of the control arm of each earlier trial, in the endpoint's unit."""
    errors: tuple[float, ...] = eqx.field(static=True, converter=numbers)
    """Their standard errors."""
    sd: float = eqx.field(static=True)
    """Of one patient's outcome: the vague component is worth one patient."""
    vague: float = eqx.field(static=True, default=0.2)
    """Prior probability that this trial's control is different."""
    scale: float = eqx.field(static=True, default=0.5)
    """Of the half-normal prior of the standard deviation between trials, in standard deviations of one patient."""
    components: int = eqx.field(static=True, default=2)
    """Of the informative part of the prior."""
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability, and a history that is none.

        Raises:
            UserError: means and errors do not belong together, or something is not above 0.
        """
        check_alpha(self.alpha)
        mixture.check_weight(self.vague)
        if not self.means or len(self.means) != len(self.errors) or min(self.errors) <= 0:
            raise UserError("analysis.means and analysis.errors have an entry for each earlier trial, errors above 0.")
        if self.sd <= 0 or self.scale <= 0 or self.components < 1:
            raise UserError("analysis.sd and analysis.scale are above 0, and analysis.components is 1 or more.")

    def prior(self) -> mixture.NormalMixture:
        """Return the prior of the reference."""
        return _prior(self.means, self.errors, self.sd, self.scale, self.components, self.vague)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare means; every arm needs two known outcomes and some variance."""
        member, code = usable(seen, arms, 2)
        count = member.sum(0)
        n = jnp.where(count > 1, count, jnp.nan)
        mean = jnp.where(member, seen.outcome[:, None], 0.0).sum(0) / n
        square = jnp.where(member, (seen.outcome[:, None] - mean[None]) ** 2, 0.0).sum(0) / (n - 1) / n
        code = jnp.where((code == 0) & (square == 0), ALIKE, code)
        control = mixture.update_normal(self.prior(), mean[reference], jnp.sqrt(square[reference]))

        def above(margin: Float[Array, " arm"]) -> Float[Array, " arm"]:
            """Return the probability that each arm exceeds the reference by more than a margin."""
            return jax.vmap(lambda m, s, d: mixture.normal_mixture_below(control, m, s, d))(
                mean, jnp.sqrt(square), margin
            )

        middle, sd = mixture.normal_moments(control)
        own = jnp.arange(arms) == reference
        difference, spread = mean - middle, jnp.sqrt(square + sd**2)
        share = above(jnp.zeros_like(mean))
        agree = (share > 0.5) == (difference > 0)
        return judged(
            reference,
            count=count,
            estimate=jnp.where(own, middle, mean),
            error=jnp.where(own, sd, jnp.sqrt(square)),
            difference=difference,
            spread=spread,
            lower=_margin(above, 1 - self.alpha / 2, difference, spread),
            upper=_margin(above, self.alpha / 2, difference, spread),
            p=jnp.where(agree, 2 * jnp.minimum(share, 1 - share), 1.0),
            code=code,
        )

    def describe(self) -> str:
        """Say it."""
        return (
            f"posterior difference of means from {self.reference}, which borrows from {len(self.means)} earlier trials "
            f"with weight {1 - self.vague:g}, significant above probability {1 - self.alpha / 2:g} of its sign"
        )


def _margin(
    above: Callable[[Float[Array, " arm"]], Float[Array, " arm"]],
    share: float,
    difference: Float[Array, " arm"],
    spread: Float[Array, " arm"],
) -> Float[Array, " arm"]:
    """Return the margin each difference exceeds with a probability, by bisection within 20 standard deviations."""

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        more = above(middle) > share
        return jnp.where(more, middle, low), jnp.where(more, high, middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (difference - 20 * spread, difference + 20 * spread))
    return 0.5 * (low + high)


@lru_cache
def _prior(
    means: tuple[float, ...], errors: tuple[float, ...], sd: float, scale: float, components: int, vague: float
) -> mixture.NormalMixture:
    """Return the robust prior, computed once; the mean over trials has a prior that says next to nothing."""
    centre = float(np.mean(means))
    history = meta.normal(np.array(means), np.array(errors), mean=centre, sd=100 * sd, scale=scale * sd)
    value, mass = meta.predictive(history)
    return mixture.robust_normal(mixture.fit_normal(value, mass, components), vague, centre, sd)
