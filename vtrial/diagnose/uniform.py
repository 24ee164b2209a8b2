"""Are ranks uniform? A simultaneous band for their distribution function, and p-values.

Source: Säilynoja, Bürkner and Vehtari 2022, Graphical test for discrete uniformity and its applications in
goodness-of-fit evaluation and multiple sample comparison, doi:10.1007/s11222-022-10090-6.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jax.scipy.special import gammaincc
from jaxtyping import Float, Int

_SIMULATED = 20_000
"""Samples of uniform ranks that say what chance gives; a p-value below 1/20,000 is not told apart."""
_BLOCK = 2_000
_BINS = 20
"""At most so many bins of the chi-square test, each of five or more ranks expected."""


class Null(NamedTuple):
    """What uniform ranks give: of a sample of `count` ranks from 0 to `top`."""

    least: Float[np.ndarray, "number point"]
    """Probability of so few ranks or fewer, at a point of the grid and for a number of ranks [number point]."""
    most: Float[np.ndarray, "number point"]
    """Probability of so many or more."""
    extreme: Float[np.ndarray, " sample"]
    """Of each simulated sample the smallest two-sided probability over the grid, ascending."""


def histogram(ranks: Int[np.ndarray, " replicate"], top: int) -> Int[np.ndarray, " rank"]:
    """Return how often each rank from 0 to `top` occurs."""
    return np.bincount(ranks, minlength=top + 1)


def ecdf(ranks: Int[np.ndarray, " replicate"], top: int) -> Float[np.ndarray, " point"]:
    """Return the share of ranks below 1, 2, ..., `top`: were they uniform, about 1, 2, ... of `top + 1`."""
    return np.cumsum(histogram(ranks, top))[:-1] / len(ranks)


def p_value(ranks: Int[np.ndarray, " replicate"], top: int) -> float:
    """Return the probability of a distribution function as far from uniform at its worst point as this.

    How far is measured in probability, point by point, so that tails count as much as the middle; the probability over
    all points together is simulated.
    """
    null = _null(len(ranks), top)
    found = _extreme(np.cumsum(histogram(ranks, top))[None, :-1], null.least, null.most)[0]
    return (1 + int(np.searchsorted(null.extreme, found * (1 + 1e-9), side="right"))) / (1 + _SIMULATED)


def band(count: int, top: int, level: float) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Return the limits in which the whole distribution function of uniform ranks lies with probability `level`."""
    null = _null(count, top)
    limit = null.extreme[int((1 - level) * _SIMULATED)]
    inside = (2 * null.least >= limit) & (2 * null.most >= limit)
    lower, upper = inside.argmax(0), count - inside[::-1].argmax(0)
    return lower / count, upper / count


def chi_square(ranks: Int[np.ndarray, " replicate"], top: int) -> float:
    """Return the p-value of the chi-square test over equal bins; not a number with too few ranks for two of them."""
    wanted = min(_BINS, len(ranks) // 5)
    bins = max((b for b in range(1, wanted + 1) if (top + 1) % b == 0), default=1)
    if bins < 2:
        return math.nan
    found = histogram(ranks, top).reshape(bins, -1).sum(1)
    expected = len(ranks) / bins
    return float(gammaincc((bins - 1) / 2, float(((found - expected) ** 2).sum() / expected) / 2))


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Return p-values adjusted for their number. Source: Holm 1979, Scand J Statist 6(2):65-70."""
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted


@lru_cache(maxsize=8)
def _null(count: int, top: int) -> Null:
    """Simulate samples of uniform ranks; always the same ones."""
    least, most = _tails(count, np.arange(1, top + 1) / (top + 1))
    random, parts = np.random.default_rng(20220321), []
    for begin in range(0, _SIMULATED, _BLOCK):
        drawn = random.multinomial(count, np.full(top + 1, 1 / (top + 1)), min(_BLOCK, _SIMULATED - begin))
        parts.append(_extreme(np.cumsum(drawn, axis=1)[:, :-1], least, most))
    return Null(least, most, np.sort(np.concatenate(parts)))


def _extreme(below: Int[np.ndarray, "sample point"], least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Return of each sample the smallest two-sided binomial probability over the grid."""
    points = np.arange(below.shape[1])
    return 2 * np.minimum(least[below, points], most[below, points]).min(1)


def _tails(count: int, share: Float[np.ndarray, " point"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the binomial probabilities of at most and at least so many [number point]."""
    number = np.arange(count + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    ways = log_factorial[-1] - log_factorial - log_factorial[::-1]
    log_probability = ways[:, None] + np.outer(number, np.log(share)) + np.outer(count - number, np.log1p(-share))
    probability = np.exp(log_probability)
    return np.cumsum(probability, axis=0), np.cumsum(probability[::-1], axis=0)[::-1]
