"""Comparison of means."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from vtrial.design import Comparison, Seen
from vtrial.trial.analyses.base import ALIKE, check_alpha, compared, usable
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis


class Means(AbstractMeanAnalysis):
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
        return compared(
            reference,
            count=count,
            estimate=mean,
            error=jnp.sqrt(square),
            difference=difference,
            spread=error,
            code=code,
            alpha=self.alpha,
            df=df,
        )

    def describe(self) -> str:
        """Say it."""
        return f"difference of means from {self.reference}, Welch's t-test, two-sided alpha {self.alpha:g}"
