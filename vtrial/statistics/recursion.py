"""Probabilities of crossing sequential boundaries, by recursive integration in float64.

A trial's score B (statistic Z times the square root of the information share t) is Brownian motion with a drift: its
increments are independent normals with mean drift x dt and variance dt. The density of the scores of trials that go on
is carried from look to look on Gauss-Legendre nodes of the continuation region. The drift is the expected Z at t = 1.

Source: Armitage, McPherson and Rowe 1969, doi:10.2307/2343787; Jennison and Turnbull 1999, chapter 19,
ISBN 978-0-8493-0316-6. `vtrial.statistics.interim` does the same inside traced code.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

type Looks = Sequence[float] | Float[np.ndarray, " look"]
"""A number for each look."""

REACH = 8.5
"""Standard deviations of the score that are looked at: the rest has probability 1e-17."""
SMALLEST = 1e-17
"""A smaller probability is none."""
_NODES = 48
"""Fewest nodes; 33 give 1e-14 in designs of evenly spaced looks."""
_DENSITY = 4.0
"""Nodes for each standard deviation of the increment: closely spaced looks need more."""
_STEPS = 60
"""Newton steps at most; they stop when they no longer move."""


class Front(NamedTuple):
    """Trials that go on after a look: nodes of the score, and the probability each stands for."""

    score: Float[np.ndarray, " node"]
    mass: Float[np.ndarray, " node"]
    share: float
    """Information share of the look."""


class Crossing(NamedTuple):
    """Probability of stopping at each look, the ones before not having stopped."""

    upper: Float[np.ndarray, " look"]
    lower: Float[np.ndarray, " look"]


@lru_cache(maxsize=256)
def gauss_legendre(nodes: int) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Return nodes and weights on [-1, 1]."""
    return np.polynomial.legendre.leggauss(nodes)


def start() -> Front:
    """Return the front before the first look: score 0 for sure."""
    return Front(np.zeros(1), np.ones(1), 0.0)


def above(front: Front, share: float, z: float, drift: float) -> float:
    """Return the probability of going on until `share` and a statistic above `z` there."""
    gap = np.sqrt(share - front.share)
    return float(front.mass @ ndtr((front.score + drift * gap**2 - z * np.sqrt(share)) / gap))


def below(front: Front, share: float, z: float, drift: float) -> float:
    """Return the probability of going on until `share` and a statistic below `z` there."""
    gap = np.sqrt(share - front.share)
    return float(front.mass @ ndtr((z * np.sqrt(share) - front.score - drift * gap**2) / gap))


def advance(front: Front, share: float, lower: float, upper: float, drift: float) -> Front:
    """Return the trials that go on after a look at `share`: those with a statistic between the bounds."""
    gap, root = np.sqrt(share - front.share), np.sqrt(share)
    low = max(lower * root, drift * share - REACH * root)
    high = max(min(upper * root, drift * share + REACH * root), low)
    x, w = gauss_legendre(max(_NODES, int(np.ceil(_DENSITY * (high - low) / gap))))
    score = 0.5 * (low + high) + 0.5 * (high - low) * x
    step = (score[:, None] - front.score[None] - drift * gap**2) / gap
    density = np.exp(-0.5 * step**2) @ front.mass / (gap * np.sqrt(2 * np.pi))
    return Front(score, 0.5 * (high - low) * w * density, share)


def crossing(shares: Looks, lower: Looks, upper: Looks, drift: float = 0.0) -> Crossing:
    """Return the probabilities of stopping above and below at each look.

    Args:
        shares: information shares of the looks, ascending.
        lower: lower bounds of the statistic; -infinity for none.
        upper: upper bounds; infinity for none.
        drift: expected statistic at information share 1.
    """
    front, over, under = start(), [], []
    for share, low, high in zip(shares, lower, upper, strict=True):
        over.append(above(front, share, high, drift))
        under.append(below(front, share, low, drift))
        front = advance(front, share, low, high, drift)
    return Crossing(np.array(over), np.array(under))


def bound_above(front: Front, share: float, probability: float, drift: float = 0.0) -> float:
    """Return the bound that trials going on exceed at `share` with a probability; infinity for none.

    Newton's method on the logarithm of the probability, which is concave in the bound (the density of trials that go on
    is log-concave; Prekopa 1973). It starts where the bound would be had no trial stopped before, which is never below
    the solution: from there it cannot overshoot.
    """
    gap, root = np.sqrt(share - front.share), np.sqrt(share)
    if probability <= SMALLEST:
        return np.inf
    if probability >= front.mass.sum():
        return -np.inf
    z = -ndtri(probability) + drift * root
    for _ in range(_STEPS):
        step = (front.score + drift * gap**2 - z * root) / gap
        tail = front.mass @ ndtr(step)
        density = front.mass @ np.exp(-0.5 * step**2) * root / (gap * np.sqrt(2 * np.pi))
        move = np.log(tail / probability) * tail / density
        z += move
        if abs(move) < 1e-14 * max(1.0, abs(z)):
            break
    return float(z)


def bound_below(front: Front, share: float, probability: float, drift: float = 0.0) -> float:
    """Return the bound that trials going on fall below at `share` with a probability; -infinity for none."""
    return -bound_above(Front(-front.score, front.mass, front.share), share, probability, -drift)
