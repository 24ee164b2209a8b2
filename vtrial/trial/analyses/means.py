"""Comparison of means."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, gammaln, ndtri
from jaxtyping import Array, Float

from vtrial.design import Comparison, Seen, judged
from vtrial.trial.analyses.base import ALIKE, AbstractAnalysis, check_alpha, mean_target, usable

_STEPS = 6
"""Steps of Newton's method for the t quantile: from 2 degrees of freedom on, to the last digit."""
_MANY = 1e5
"""Degrees of freedom beyond which the expansion alone is exact."""


def t_tail(t: Float[Array, "..."], df: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the two-sided tail probability of Student's t (Abramowitz and Stegun 26.5.27)."""
    return betainc(0.5 * df, 0.5, df / (df + t * t))


class Means(AbstractAnalysis):
    """Welch's t-test of each arm against the reference, with Satterthwaite's degrees of freedom.

    Source: Welch 1947, doi:10.1093/biomet/34.1-2.28.
    """

    reference: str = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability."""
        check_alpha(self.alpha)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare means; an arm needs two known outcomes, and the two of a comparison some variance."""
        member, code = usable(seen, arms, 2)
        count = member.sum(0)
        value = jnp.where(member, seen.outcome[:, None], 0.0)
        n = jnp.where(count > 1, count, jnp.nan)
        mean = value.sum(0) / jnp.where(count > 0, count, jnp.nan)
        variance = jnp.where(member, (seen.outcome[:, None] - mean[None]) ** 2, 0.0).sum(0) / (n - 1.0)
        square = variance / n
        difference = mean - mean[reference]
        both = square + square[reference]
        code = jnp.where((code == 0) & (both == 0) & (jnp.arange(arms) != reference), ALIKE, code)
        df = both**2 / (square**2 / (n - 1.0) + square[reference] ** 2 / (n[reference] - 1.0))
        error = jnp.sqrt(both)
        half = t_quantile(self.alpha, df) * error
        return judged(
            reference,
            count=count,
            estimate=mean,
            error=jnp.sqrt(square),
            difference=difference,
            spread=error,
            lower=difference - half,
            upper=difference + half,
            p=t_tail(difference / error, df),
            code=code,
        )

    def target(
        self, table: Float[Array, "subject arm"], reference: int
    ) -> tuple[Float[Array, " arm"], Float[Array, " arm"]]:
        """Return true means and their differences."""
        return mean_target(table, reference)

    def unit(self, unit: str) -> str:
        """Return the endpoint's."""
        return unit

    def describe(self) -> str:
        """Say it."""
        return f"difference of means from {self.reference}, Welch's t-test, two-sided alpha {self.alpha:g}"


def t_quantile(alpha: float, df: Float[Array, " arm"]) -> Float[Array, " arm"]:
    """Return t with two-sided tail `alpha`: the Cornish-Fisher expansion, then Newton's method on the tail.

    The tail is convex, so that Newton's method cannot fail. Source: Abramowitz and Stegun 26.7.5.
    """
    z = -ndtri(alpha / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    start = z + sum(term / df**i for i, term in enumerate(terms, 1))
    many = df > _MANY
    known = jnp.where(many, _MANY, df)

    def better(_, t: Float[Array, " arm"]) -> Float[Array, " arm"]:
        log_density = gammaln((known + 1) / 2) - gammaln(known / 2) - 0.5 * jnp.log(known * jnp.pi)
        density = jnp.exp(log_density - (known + 1) / 2 * jnp.log1p(t * t / known))
        return t + (t_tail(t, known) - alpha) / (2 * density)

    return jnp.where(many, start, jax.lax.fori_loop(0, _STEPS, better, start))
