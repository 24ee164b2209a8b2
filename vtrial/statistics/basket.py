"""Response rates of several baskets that may or may not be alike: the hierarchical model and EXNEX, by quadrature.

The logit of a basket's rate is normal about a mean that baskets share, or, with a given probability, has a normal prior
of its own (exchangeable - nonexchangeable). Given mean and spread the baskets are independent, so that all integrals
have one dimension.
Source: Neuenschwander et al. 2016, doi:10.1002/pst.1730.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, log_expit

from vtrial.errors import UserError

_MEANS, _SPREADS, _PLACES = 161, 64, 121
"""Points over the shared mean, the spread between baskets, and a basket's place about the mean."""
_REACH = 6.0
"""Standard deviations of the priors that the grids reach."""


class Baskets(NamedTuple):
    """Posterior means."""

    rate: Float[np.ndarray, " basket"]
    """Response rate."""
    exchangeable: Float[np.ndarray, " basket"]
    """Probability that the basket is one of those that are alike."""
    spread: float
    """SD between the logits of baskets that are alike."""


def pooled(
    responders: Int[np.ndarray, " basket"],
    patients: Int[np.ndarray, " basket"],
    *,
    mean: tuple[float, float],
    scale: float,
    alike: float = 1.0,
    own: tuple[float, float] = (0.0, 2.0),
) -> Baskets:
    """Return posterior means of each basket.

    Args:
        responders: patients with a response.
        patients: all patients.
        mean: mean and SD of the normal prior of the shared mean, a logit.
        scale: of the half-normal prior of the spread between baskets.
        alike: prior probability that a basket is exchangeable with others; 1 is the hierarchical model.
        own: mean and SD of the normal prior of a logit that is not.

    Raises:
        UserError: a spread is not positive, or the probability is none.
    """
    if not (mean[1] > 0 and scale > 0 and own[1] > 0 and 0 <= alike <= 1):
        raise UserError(
            f"Baskets need positive spreads and a probability of being alike from 0 to 1, not {mean[1]}, {scale}, "
            f"{own[1]} and {alike}."
        )
    centre = np.linspace(mean[0] - _REACH * mean[1], mean[0] + _REACH * mean[1], _MEANS)
    node, width = np.polynomial.legendre.leggauss(_SPREADS)
    spread = 0.5 * _REACH * scale * (node + 1)
    prior = np.exp(-0.5 * ((centre - mean[0]) / mean[1]) ** 2)[:, None] * (np.exp(-0.5 * (spread / scale) ** 2) * width)
    counted = list(zip(responders.tolist(), patients.tolist(), strict=True))
    together = [_basket(r, n, centre[:, None], spread[None, :]) for r, n in counted]
    apart = [_basket(r, n, np.full((1, 1), own[0]), np.full((1, 1), own[1])) for r, n in counted]
    chance = np.array([alike * a[0] + (1 - alike) * b[0] for a, b in zip(together, apart, strict=True)])
    weight = prior * np.exp(np.log(np.maximum(chance, 1e-300)).sum(0))
    weight = weight / weight.sum()
    rate = [
        (weight * (alike * a[1] + (1 - alike) * b[1]) / c).sum()
        for a, b, c in zip(together, apart, chance, strict=True)
    ]
    same = [(weight * alike * a[0] / c).sum() for a, c in zip(together, chance, strict=True)]
    return Baskets(np.array(rate), np.array(same), float((weight.sum(0) * spread).sum()))


def _basket(
    responders: int, patients: int, centre: Float[np.ndarray, "..."], spread: Float[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Return the probability of a basket's responses, up to a factor, and its integral with the rate.

    The factor is the greatest likelihood, so that nothing underflows.
    """
    place = np.linspace(-_REACH, _REACH, _PLACES)
    density = np.exp(-0.5 * place**2)
    logit = centre[..., None] + spread[..., None] * place
    share = np.clip(responders / patients, 1e-12, 1 - 1e-12)
    highest = responders * np.log(share) + (patients - responders) * np.log1p(-share)
    like = np.exp(responders * log_expit(logit) + (patients - responders) * log_expit(-logit) - highest)
    like = like * density / density.sum()
    return like.sum(-1), (like * expit(logit)).sum(-1)
