"""Estimates and p-values after a group-sequential test.

Effects are on the scale of the estimate, whose variance at the end is 1 / information. By the stagewise ordering, an
earlier rejection is stronger evidence than a later one, whatever the statistic. Source: Tsiatis, Rosner and Mehta 1984,
doi:10.2307/2530924; repeated intervals: Jennison and Turnbull 1989, J R Stat Soc B 51:305.
"""

from typing import NamedTuple

import numpy as np

from vtrial.errors import UserError
from vtrial.statistics.boundaries import AbstractBoundary
from vtrial.statistics.futility import Plan
from vtrial.statistics.recursion import Looks, above, advance, start
from vtrial.statistics.root import root

_WIDEST = 40.0
"""Standard errors about the statistic in which limits are looked for."""


class Estimate(NamedTuple):
    """What a finished trial says of the effect."""

    p: float
    """One-sided p-value."""
    median: float
    """Median-unbiased estimate."""
    lower: float
    """Lower confidence limit, of two-sided confidence 1 - 2 alpha."""
    upper: float


def stagewise_p(plan: Plan, look: int, z: float, drift: float = 0.0) -> float:
    """Return the probability of a result as extreme, or more, in the stagewise ordering.

    Args:
        plan: the bounds, at the information shares the looks had.
        look: at which the trial ended, counted from 0.
        z: the statistic there.
        drift: expected statistic at share 1; 0 for the p-value.
    """
    front, total = start(), 0.0
    for share, low, high in zip(plan.shares[:look], plan.futility[:look], plan.efficacy[:look], strict=True):
        total += above(front, share, high, drift)
        front = advance(front, share, low, high, drift)
    return total + above(front, plan.shares[look], z, drift)


def final(plan: Plan, look: int, z: float, error: float, alpha: float = 0.025) -> Estimate:
    """Return p-value, median-unbiased estimate and confidence limits of a trial that ended at a look.

    Args:
        plan: the bounds, at the information shares the looks had.
        look: at which the trial ended, counted from 0.
        z: the statistic there.
        error: standard error of the effect there.
        alpha: one-sided level of each limit.

    Raises:
        UserError: the look is not in the plan.
    """
    if not 0 <= look < len(plan.shares):
        raise UserError(f"The trial ended at look {look}, but the plan has looks 0 to {len(plan.shares) - 1}.")
    deviation = np.sqrt(plan.shares[look])

    def effect(probability: float) -> float:
        low, high = (z - _WIDEST) / deviation, (z + _WIDEST) / deviation
        drift = root(lambda d: stagewise_p(plan, look, z, d) - probability, low, high)
        # The drift is the effect in standard errors at full information.
        return float(drift * deviation * error)

    return Estimate(stagewise_p(plan, look, z), effect(0.5), effect(alpha), effect(1 - alpha))


def repeated_interval(estimate: float, error: float, critical: float) -> tuple[float, float]:
    """Return the repeated confidence interval of a look: valid whether or not the trial stops there."""
    return estimate - critical * error, estimate + critical * error


def repeated_p(shares: Looks, boundary: AbstractBoundary, look: int, z: float) -> float:
    """Return the repeated one-sided p-value: the level at which the look would just have rejected."""

    def excess(alpha: float) -> float:
        bound = boundary.bounds(shares, alpha)[look]
        return min(float(bound), _WIDEST) - z

    if excess(0.4999) > 0:
        return 0.5
    return root(excess, 1e-15, 0.4999)
