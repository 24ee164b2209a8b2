"""Comparison of proportions with a control that borrows from earlier trials."""

from functools import lru_cache
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from vtrial._types import whole_numbers
from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics import meta, mixture
from vtrial.trial.analyses.base import check_alpha, usable
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis


class BorrowedProportions(AbstractMeanAnalysis):
    """Posterior of each difference of proportions; the reference has a robust meta-analytic-predictive prior.

    The prior is what earlier control arms predict for a new one, as a mixture of beta distributions, one of them vague
    for the case that this trial's control is different. Other arms have uniform priors. p is twice the exact posterior
    probability of the other sign; intervals have the posterior mean and standard deviation and the shape of a normal
    distribution. Source: Schmidli et al. 2014, doi:10.1111/biom.12242.
    """

    reference: str = eqx.field(static=True)
    events: tuple[int, ...] = eqx.field(static=True, converter=whole_numbers)
    """Of the control arm of each earlier trial."""
    number: tuple[int, ...] = eqx.field(static=True, converter=whole_numbers)
    """Of its patients."""
    vague: float = eqx.field(static=True, default=0.2)
    """Prior probability that this trial's control is different."""
    scale: float = eqx.field(static=True, default=1.0)
    """Of the half-normal prior of the standard deviation between trials, in log odds."""
    components: int = eqx.field(static=True, default=3)
    """Of the informative part of the prior."""
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = True

    def __check_init__(self):
        """Refuse a level that is no probability, and a history that is none.

        Raises:
            UserError: counts do not belong together.
        """
        check_alpha(self.alpha)
        mixture.check_weight(self.vague)
        if len(self.events) != len(self.number):
            raise UserError("analysis.events and analysis.number have an entry for each earlier trial, both.")
        if self.components < 1:
            raise UserError(f"analysis.components is 1 or more, not {self.components}.")
        if not self.number or any(not 0 <= r <= n or n < 1 for r, n in zip(self.events, self.number, strict=True)):
            raise UserError("Every earlier trial has one patient or more, and 0 to all of them with an event.")

    def prior(self) -> mixture.BetaMixture:
        """Return the prior of the reference."""
        return _prior(self.events, self.number, self.scale, self.components, self.vague)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare proportions of outcomes, which are 0 or 1; an arm needs one."""
        member, code = usable(seen, arms, 1)
        count = member.sum(0)
        events = jnp.where(member, seen.outcome[:, None], 0.0).sum(0)
        control = mixture.update_beta(self.prior(), events[reference], count[reference].astype(events.dtype))
        a, b = 1.0 + events, 1.0 + count - events
        own = jnp.arange(arms) == reference
        above = jax.vmap(lambda c, d: mixture.beta_mixture_below(control, c, d))(a, b)
        middle, sd = mixture.beta_moments(control)
        mean = jnp.where(own, middle, a / (a + b))
        square = jnp.where(own, sd**2, a * b / ((a + b) ** 2 * (a + b + 1)))
        difference = mean - middle
        spread = jnp.sqrt(square + sd**2)
        half = norm.isf(self.alpha / 2) * spread
        agree = (above > 0.5) == (difference > 0)
        return judged(
            reference,
            count=count,
            estimate=jnp.where(code == 0, mean, jnp.nan),
            error=jnp.where(code == 0, jnp.sqrt(square), jnp.nan),
            difference=difference,
            spread=spread,
            lower=jnp.maximum(difference - half, -1.0),
            upper=jnp.minimum(difference + half, 1.0),
            p=jnp.where(agree, 2 * jnp.minimum(above, 1 - above), 1.0),
            code=code,
        )

    def describe(self) -> str:
        """Say it."""
        return (
            f"posterior difference of proportions from {self.reference}, which borrows from {len(self.events)} earlier "
            f"trials with weight {1 - self.vague:g}, significant above probability {1 - self.alpha / 2:g} of its sign"
        )


@lru_cache
def _prior(
    events: tuple[int, ...], number: tuple[int, ...], scale: float, components: int, vague: float
) -> mixture.BetaMixture:
    """Return the robust prior, computed once."""
    history = meta.binary(np.array(events, float), np.array(number, float), scale=scale)
    odds, mass = meta.predictive(history)
    return mixture.robust_beta(mixture.fit_beta(1 / (1 + np.exp(-odds)), mass, components), vague)
