"""Where a monotone curve, known by simulation at a few places, meets a target."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vtrial.statistics.isotonic import isotonic

_BATCH, _BATCHES = 100, 10
"""Resamples at once, and how many times so many."""
_FALL = 4.0
"""Monte-Carlo errors by which a curve must fall to be no rising one."""


_smoothed = jax.jit(jax.vmap(isotonic, in_axes=(0, None)))


class Crossing(NamedTuple):
    """A place, and how well it is known."""

    at: float
    error: float
    """Standard error over random weights of replicates."""
    lower: float
    """Of the 95 % interval; a limit of the places if the curve may cross beyond."""
    upper: float


def paired_error(one: Float[np.ndarray, " replicate"], two: Float[np.ndarray, " replicate"]) -> float:
    """Return the standard error of the difference of two means over the same replicates."""
    difference = (one - two)[np.isfinite(one - two)]
    return float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else np.nan


def falls(value: Float[np.ndarray, "place replicate"]) -> tuple[int, int] | None:
    """Return two places, in order, between which the mean falls beyond Monte-Carlo error; None if nowhere."""
    for i in range(len(value)):
        for j in range(i + 1, len(value)):
            fall, error = np.nanmean(value[i]) - np.nanmean(value[j]), paired_error(value[i], value[j])
            if fall > 0 and fall > _FALL * error:
                return i, j
    return None


def crossing(
    place: Float[np.ndarray, " place"],
    value: Float[np.ndarray, "place replicate"],
    target: float,
    *,
    rising: bool,
) -> Crossing:
    """Return where the mean over replicates meets the target.

    The means are made monotone by isotonic regression, with straight lines between places. Replicates are given random
    weights, at all places together, for they are the same worlds and the same patients: the errors of places go along
    with one another. Source of the weights: Rubin 1981, The Bayesian Bootstrap, doi:10.1214/aos/1176345338.

    Args:
        place: in ascending order.
        value: by replicate.
        target: of the mean.
        rising: whether the mean rises with the place; else it falls.
    """
    sign = 1.0 if rising else -1.0
    known = np.isfinite(value)
    filled = np.where(known, sign * value, 0.0)
    draws, count = np.random.default_rng(0), value.shape[1]
    weights = (np.ones((1, count)) if not i else draws.exponential(size=(_BATCH, count)) for i in range(_BATCHES + 1))
    mean = np.concatenate([(w @ filled.T) / (w @ known.T) for w in weights])
    smooth = np.asarray(_smoothed(jnp.asarray(mean), jnp.ones(len(place))))
    found = np.array([_meets(place, curve, sign * target) for curve in smooth])
    lower, upper = np.quantile(found[1:], [0.025, 0.975])
    return Crossing(float(found[0]), float(found[1:].std(ddof=1)), float(lower), float(upper))


def _meets(place: Float[np.ndarray, " place"], curve: Float[np.ndarray, " place"], target: float) -> float:
    """Return the first place at which a rising curve has the target; the nearest limit if it has it nowhere."""
    above = np.flatnonzero(curve >= target)
    if not len(above):
        return float(place[-1])
    i = int(above[0])
    if i == 0:
        return float(place[0])
    part = (target - curve[i - 1]) / (curve[i] - curve[i - 1])
    return float(place[i - 1] + part * (place[i] - place[i - 1]))
