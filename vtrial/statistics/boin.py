"""The Bayesian optimal interval design: when to change the dose, which doses to give up, what is the MTD.

Source: Liu and Yuan 2015, doi:10.1111/rssc.12089.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.special import betainc

from vtrial.errors import UserError
from vtrial.statistics.isotonic import isotonic

_NEVER = 2**30
"""A number of toxicities nobody reaches."""


class Limits(NamedTuple):
    """Observed toxicity rates at which the dose changes."""

    escalate: float
    """At or below: one dose up."""
    deescalate: float
    """At or above: one dose down."""


class Table(NamedTuple):
    """Numbers of toxicities among 0, 1, 2 ... patients of a dose at which something happens."""

    escalate: Int[np.ndarray, " patients"]
    """So many or fewer: one dose up."""
    deescalate: Int[np.ndarray, " patients"]
    """So many or more: one dose down."""
    eliminate: Int[np.ndarray, " patients"]
    """So many or more: this dose and those above are given up."""


def limits(target: float, low: float, high: float) -> Limits:
    """Return the rates between which wrong decisions are fewest, for a target probability of toxicity.

    Args:
        target: probability of toxicity that is wanted.
        low: highest probability that is too low, so that a higher dose is wanted.
        high: lowest probability that is too high.

    Raises:
        UserError: they are not ascending probabilities.
    """
    if not 0 < low < target < high < 1:
        raise UserError(
            f"BOIN needs probabilities of toxicity with 0 < low < target < high < 1, not low {low}, target {target}, "
            f"high {high}."
        )

    def between(a: float, b: float) -> float:
        return math.log((1 - a) / (1 - b)) / math.log(b * (1 - a) / (a * (1 - b)))

    return Limits(between(low, target), between(target, high))


def table(found: Limits, target: float, *, most: int, cutoff: float, least: int = 3) -> Table:
    """Return the decisions for 0 to `most` patients; nothing happens with none.

    Args:
        found: the limits.
        target: target probability of toxicity.
        most: most patients of one dose.
        cutoff: a dose is given up where, under a uniform prior, the probability that its toxicity is above the target
            is greater.
        least: fewest patients for that.

    Raises:
        UserError: the cutoff is no probability.
    """
    if not 0 < cutoff < 1:
        raise UserError(f"BOIN's cutoff is a probability between 0 and 1, not {cutoff}.")
    n = np.arange(most + 1)
    y = np.arange(most + 1)
    # Rows patients, columns toxicities.
    above = 1 - betainc(y[None] + 1.0, np.maximum(n[:, None] - y[None], 0) + 1.0, target)
    given_up = (above > cutoff) & (y[None] <= n[:, None]) & (n[:, None] >= least)
    eliminate = np.where(given_up.any(1), given_up.argmax(1), _NEVER)
    # The small shift makes a rate that is the limit but for rounding count as the limit.
    escalate = np.where(n > 0, np.floor(found.escalate * n + 1e-9), -1).astype(int)
    deescalate = np.where(n > 0, np.ceil(found.deescalate * n - 1e-9), _NEVER).astype(int)
    return Table(escalate, deescalate, eliminate)


def maximum_tolerated(
    patients: Int[Array, " dose"], toxicities: Int[Array, " dose"], admissible: Bool[Array, " dose"], target: float
) -> Int[Array, ""]:
    """Return the admissible dose whose isotonic estimate of toxicity is nearest to the target; -1 if there is none.

    Rates are estimated with 0.05 toxicities and 0.1 patients added, and weighted by the inverse of their posterior
    variance. Of equal estimates the highest dose is taken where they are below the target, else the lowest.
    """
    counted = admissible & (patients > 0)
    y, n = toxicities + 0.05, patients + 0.1
    variance = y * (n - y) / (n**2 * (n + 1))
    rate = isotonic(y / n, jnp.where(counted, 1 / variance, 0.0))
    distance = jnp.where(counted, jnp.abs(rate + 1e-10 * jnp.arange(1, len(n) + 1) - target), jnp.inf)
    return jnp.where(counted.any(), jnp.argmin(distance), -1)


def estimates(patients: Int[Array, " dose"], toxicities: Int[Array, " dose"]) -> Float[Array, " dose"]:
    """Return the isotonic estimate of each dose's probability of toxicity; not a number where nobody was treated."""
    y, n = toxicities + 0.05, patients + 0.1
    return isotonic(y / n, jnp.where(patients > 0, n**2 * (n + 1) / (y * (n - y)), 0.0))
