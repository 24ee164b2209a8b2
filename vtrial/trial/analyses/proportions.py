"""Comparison of proportions."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from vtrial.design import Comparison, Seen, judged
from vtrial.trial.analyses.base import check_alpha, usable
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis


def wilson(
    share: Float[Array, " arm"], n: Float[Array, " arm"], z: float | Array
) -> tuple[Float[Array, " arm"], Float[Array, " arm"]]:
    """Return Wilson's score limits of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * jnp.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


class Proportions(AbstractMeanAnalysis):
    """Difference of proportions from the reference: pooled score test, and Newcombe's hybrid score interval.

    Source: method 10 of Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
    """

    reference: str = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = True

    def __check_init__(self):
        """Refuse a level that is no probability."""
        check_alpha(self.alpha)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare proportions of outcomes, which are 0 or 1."""
        member, code = usable(seen, arms, 1)
        count = member.sum(0)
        n = jnp.where(count > 0, count, jnp.nan)
        share = jnp.where(member, seen.outcome[:, None], 0.0).sum(0) / n
        difference = share - share[reference]
        z = norm.ppf(1 - self.alpha / 2)
        low, high = wilson(share, n, z)
        lower = difference - jnp.sqrt((share - low) ** 2 + (high[reference] - share[reference]) ** 2)
        upper = difference + jnp.sqrt((high - share) ** 2 + (share[reference] - low[reference]) ** 2)
        pooled = (share * n + share[reference] * n[reference]) / (n + n[reference])
        error = jnp.sqrt(pooled * (1 - pooled) * (1 / n + 1 / n[reference]))
        # All patients alike in both arms: no evidence of a difference, rather than 0/0.
        statistic = jnp.where(error > 0, difference / jnp.where(error > 0, error, 1.0), 0.0 * difference)
        square = share * (1 - share) / n
        return judged(
            reference,
            count=count,
            estimate=share,
            error=jnp.sqrt(square),
            difference=difference,
            spread=jnp.sqrt(square + square[reference]),
            lower=lower,
            upper=upper,
            p=2 * norm.sf(jnp.abs(statistic)),
            code=code,
        )

    def describe(self) -> str:
        """Say it."""
        return (
            f"difference of proportions from {self.reference}, score test and Newcombe interval, two-sided "
            f"alpha {self.alpha:g}"
        )
