"""Dose proportionality by the power model: exposure goes by the dose to a power, which is 1 if it is proportional.

Proportional means that the ratio of dose-normalised means, highest dose to lowest, is inside limits; the slope of the
logarithms is then within log(limit) / log(highest / lowest) of 1. Source: Gough et al. 1995,
Drug Inf J 29:1039; Smith et al. 2000, doi:10.1023/A:1026451721686.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial.errors import UserError
from vtrial.statistics.crossover import centred, pseudo_inverse
from vtrial.statistics.equivalence import chance_inside, sd_from_cv

_MOST = 10_000
"""Subjects at most."""


class Slope(NamedTuple):
    """The power of the dose that exposure goes by."""

    value: Float[Array, ""]
    """Not a number where it cannot be estimated."""
    error: Float[Array, ""]
    df: Float[Array, ""]
    """0 or less where there are none."""


def slope(log_outcome: Float[Array, "patient period"], log_dose: Float[Array, "patient period"]) -> Slope:
    """Return the slope by least squares: with fixed effects of subject and period, or an intercept in one period.

    Args:
        log_outcome: logarithm of each outcome; not a number where it is not known.
        log_dose: logarithm of the dose; not a number where none was given.
    """
    known, periods = jnp.isfinite(log_outcome) & jnp.isfinite(log_dose), log_outcome.shape[1]
    x, y = (jnp.where(known, a, 0.0)[:, :, None] for a in (log_dose, log_outcome))
    if periods > 1:
        columns = jnp.broadcast_to(jnp.eye(periods)[None, :, 1:], (*known.shape, periods - 1))
        x, y = centred(jnp.concatenate([columns, x], 2), known, 1.0), centred(y, known, 1.0)
        rows = known.sum() - known.any(1).sum()
    else:
        count = jnp.maximum(known.sum(), 1)
        x, y = (jnp.where(known[:, :, None], a - a.sum() / count, 0.0) for a in (x, y))
        rows = known.sum() - 1
    inverse, kernel, rank = pseudo_inverse(jnp.einsum("npi,npj->ij", x, x))
    beta = inverse @ jnp.einsum("npi,np->i", x, y[:, :, 0])
    df = (rows - rank).astype(float)
    variance = ((y[:, :, 0] - x @ beta) ** 2).sum() / jnp.where(df > 0, df, jnp.nan)
    estimable = kernel[-1, -1] < 1e-6
    return Slope(jnp.where(estimable, beta[-1], jnp.nan), jnp.sqrt(variance * inverse[-1, -1]), df)


def power(
    cv: float, slope: float, subjects: int, doses: Sequence[float], *, crossover: bool, limit: float = 1.25
) -> float:
    """Return the probability that the 90 % interval of the slope is inside its limits.

    Args:
        cv: coefficient of variation, within subjects in a crossover, of all in parallel groups.
        slope: true one.
        subjects: all of them, equally many in each sequence or group.
        doses: one for each period, or group.
        crossover: whether each subject is given every dose, else one.
        limit: greatest ratio of dose-normalised means that is proportional.

    Raises:
        UserError: there are fewer than two doses, one is not positive, or no degree of freedom is left.
    """
    amounts = np.asarray(doses, float)
    if len(set(doses)) < 2 or (amounts <= 0).any():
        raise UserError(f"Dose proportionality needs two doses or more, all above 0; not {list(doses)}.")
    df = subjects * (len(doses) - 1) - len(doses) if crossover else subjects - 2
    if df < 1:
        raise UserError(f"{subjects} subjects on {len(doses)} doses leave no degree of freedom; enrol more.")
    x = np.log(amounts)
    spread = ((x - x.mean()) ** 2).sum() * (subjects if crossover else subjects / len(doses))
    error, room = sd_from_cv(cv) / math.sqrt(spread), math.log(limit) / float(np.ptp(x))
    return chance_inside((1 - room - slope) / error, (1 + room - slope) / error, df)


def sample_size(
    cv: float, slope: float, power_wanted: float, doses: Sequence[float], *, crossover: bool, limit: float = 1.25
) -> tuple[int, float]:
    """Return the least number of subjects, a multiple of the doses, with at least a power; and its power.

    Raises:
        UserError: as `power`, or the slope is outside the limits, or more than 10,000 subjects would be needed.
    """
    step, least = len(doses), 2 if crossover else 1
    room = math.log(limit) / float(np.ptp(np.log(doses)))
    if abs(slope - 1) >= room:
        raise UserError(
            f"A slope of {slope} is not between {1 - room:.4g} and {1 + room:.4g}, the limits over these doses: no "
            "number of subjects shows that exposure is proportional; assume one nearer to 1, or fewer doses."
        )
    for subjects in range(step * least, _MOST, step):
        df = subjects * (step - 1) - step if crossover else subjects - 2
        reached = power(cv, slope, subjects, doses, crossover=crossover, limit=limit) if df >= 1 else 0.0
        if reached >= power_wanted:
            return subjects, reached
    raise UserError(f"More than {_MOST} subjects would be needed for power {power_wanted}; is slope {slope} near 1?")
