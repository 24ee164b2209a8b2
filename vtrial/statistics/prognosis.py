"""Sample size with a prognostic score as covariate (PROCOVA).

Source: Schuler et al. 2022, doi:10.1515/ijb-2021-0072; EMA qualification opinion EMADOC-1700519818-907465.
"""

import math
from collections.abc import Sequence

from scipy.stats import norm

from vtrial.errors import UserError


def effect_variance(sd: Sequence[float], correlation: Sequence[float], share: float = 0.5) -> float:
    """Return the number of patients times the variance of the effect, adjusted for a score.

    Args:
        sd: of the outcome in the control and in the treated arm.
        correlation: of outcome and score in each; 0 is no adjustment.
        share: of patients who are treated.

    Raises:
        UserError: a value is out of range.
    """
    if not 0 < share < 1:
        raise UserError(f"share is the part of patients who are treated, between 0 and 1, not {share:g}.")
    for spread, r in zip(sd, correlation, strict=True):
        if spread <= 0 or not -1 <= r <= 1:
            raise UserError(f"A standard deviation is above 0 and a correlation within ±1, not {spread:g} and {r:g}.")
    other = 1 - share
    gained = correlation[0] * sd[0] / other + correlation[1] * sd[1] / share
    return sd[0] ** 2 / other + sd[1] ** 2 / share - other * share * gained**2


def adjusted_size(size: float, correlation: float) -> float:
    """Return how many patients with the score give the precision of `size` without it, arms being alike."""
    return size * (1 - correlation**2)


def sample_size(
    effect: float,
    sd: Sequence[float],
    correlation: Sequence[float],
    *,
    alpha: float = 0.05,
    power: float = 0.9,
    share: float = 0.5,
    inflate: float = 1.0,
    shrink: float = 1.0,
) -> int:
    """Return the patients needed in both arms together, by the normal approximation.

    Args:
        effect: true difference of means.
        sd: of the outcome in the control and in the treated arm.
        correlation: of outcome and score in each.
        alpha: two-sided significance level.
        power: probability of significance.
        share: of patients who are treated.
        inflate: factor on the standard deviations, for caution; 1 or more.
        shrink: factor on the correlations, for caution; 1 or less.

    Raises:
        UserError: a value is out of range.
    """
    if effect == 0:
        raise UserError("No number of patients shows an effect of 0; give the effect to be detected.")
    if inflate < 1 or not 0 <= shrink <= 1:
        raise UserError(f"Caution means inflate >= 1 and 0 <= shrink <= 1, not {inflate:g} and {shrink:g}.")
    variance = effect_variance([s * inflate for s in sd], [r * shrink for r in correlation], share)
    return math.ceil(variance * ((norm.isf(alpha / 2) + norm.ppf(power)) / effect) ** 2)
