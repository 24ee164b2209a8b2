"""Comparison of means."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import betainc
from jaxtyping import Array, Float

from vtrial.design import Comparison, Seen, judged
from vtrial.trial.analyses.base import ALIKE, AbstractAnalysis, check_alpha, mean_target, usable

_HALVINGS = 64
"""Bisection steps for the t quantile: they shrink an interval of 1e3 to less than 1e-15."""


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
    """Return t with two-sided tail `alpha`, by bisection: the tail is monotone."""
    low, high = jnp.zeros_like(df), jnp.full_like(df, 1e3)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        above = t_tail(middle, df) > alpha
        low, high = jnp.where(above, middle, low), jnp.where(above, high, middle)
    return jnp.where(jnp.isfinite(df), 0.5 * (low + high), jnp.nan)
