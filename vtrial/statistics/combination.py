"""Combination tests: the evidence of two stages whose second one was planned, or changed, in the light of the first.

Source: Bauer and Kohne 1994, doi:10.2307/2533441; Lehmacher and Wassmer 1999, doi:10.1111/j.0006-341X.1999.01286.x;
Cui, Hung and Wang 1999, doi:10.1111/j.0006-341X.1999.00853.x.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.errors import UserError
from vtrial.statistics.root import root


def inverse_normal(first: Float[Array, "*any"], second: Float[Array, "*any"], weight: float) -> Float[Array, "*any"]:
    """Return the combined statistic of two stages, standard normal under the null hypothesis whatever the second size.

    Args:
        first: statistic of the first stage alone.
        second: statistic of the patients of the second stage alone.
        weight: square of the weight of the first stage, fixed in advance; that of the second is 1 - weight.
    """
    return math.sqrt(weight) * first + math.sqrt(1.0 - weight) * second


def stage_statistic(
    before: Float[Array, "*any"],
    information_before: Float[Array, "*any"],
    after: Float[Array, "*any"],
    information_after: Float[Array, "*any"],
) -> Float[Array, "*any"]:
    """Return the statistic of what came between two looks, from the cumulative statistics: increments of the score.

    Not a number where nothing was added.
    """
    added = information_after - information_before
    score = after * jnp.sqrt(information_after) - before * jnp.sqrt(information_before)
    return jnp.where(added > 0, score / jnp.sqrt(jnp.where(added > 0, added, 1.0)), jnp.nan)


def fisher_product(first: Float[Array, "*any"], second: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Return the product of the stages' p-values: small is evidence."""
    return first * second


def fisher_bounds(alpha: float, futility: float = 1.0) -> tuple[float, float]:
    """Return the p-value that rejects at the first stage, and the product that rejects at the second.

    Both stages have the same local level: the product bound c has c (1 - log c) = a1, and the whole level is
    a1 + c log(futility / a1).

    Args:
        alpha: one-sided level.
        futility: p-value of the first stage above which the trial ends, binding; 1 for none.

    Raises:
        UserError: the level is not below the futility bound.
    """
    if not 0 < alpha < futility <= 1:
        raise UserError(
            f"Fisher's combination needs 0 < alpha < futility <= 1, not alpha {alpha}, futility {futility}."
        )

    def first(product: float) -> float:
        return product * (1.0 - math.log(product))

    def excess(product: float) -> float:
        return first(product) + product * math.log(futility / first(product)) - alpha

    product = root(excess, 1e-300, alpha)
    return first(product), product


def fisher_full_bound(alpha: float, first: float, futility: float = 1.0) -> float:
    """Return the product that rejects at the second stage, given the p-value that rejects at the first.

    Raises:
        UserError: `first` is not below the level.
    """
    if not 0 < first < alpha < futility <= 1:
        raise UserError(
            f"Fisher's combination needs 0 < first < alpha < futility <= 1, not {first}, {alpha}, {futility}."
        )
    return (alpha - first) / math.log(futility / first)
