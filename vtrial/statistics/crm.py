"""The continual reassessment method: one parameter says how toxic all doses are.

A working model gives the probability of toxicity of each dose from a skeleton of guesses and a number `a`, normal a
priori; at a = 0 it gives the skeleton. Its posterior is integrated on a grid of equal steps, which for smooth
integrands that vanish at both ends is exact to rounding as soon as the steps are half as long as the posterior is wide.
Source: O'Quigley, Pepe and Fisher 1990, doi:10.2307/2531628; Cheung 2011, Dose Finding by the Continual Reassessment
Method, ISBN 9781420091519.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vtrial.errors import UserError

type Curve = Callable[[Float[Array, ""]], Float[Array, " dose"]]
"""A working model: probability of toxicity of each dose from `a`."""

SPREAD = math.sqrt(1.34)
"""The customary prior SD of `a`."""
_REACH = 7.0
"""Prior SDs that the grid reaches to either side: what is beyond has prior probability 3e-12."""
_LIMIT = 10.0
"""Greatest size of a maximum likelihood estimate."""
_HALVINGS = 50


class Grid(NamedTuple):
    """A working model at the points of a grid over `a`, made once."""

    a: Float[np.ndarray, " point"]
    prior: Float[np.ndarray, " point"]
    """Log density of the prior, up to a constant."""
    toxic: Float[np.ndarray, "point dose"]
    """Log probability of a toxicity."""
    spared: Float[np.ndarray, "point dose"]
    """Log probability of none."""
    excess: Float[np.ndarray, "point"]
    """Weights of an integral over those `a` at which the lowest dose is above the target."""


class Posterior(NamedTuple):
    """What is known of `a`."""

    mean: Float[Array, ""]
    variance: Float[Array, ""]
    overdose: Float[Array, ""]
    """Probability that the lowest dose is more toxic than the target."""


def check_skeleton(skeleton: tuple[float, ...] | list[float]) -> None:
    """Refuse a skeleton that cannot be one.

    Raises:
        UserError: the guesses are not ascending probabilities.
    """
    steps = np.diff(np.asarray(skeleton, float))
    if not len(skeleton) or not (0 < min(skeleton) and max(skeleton) < 1 and (steps > 0).all()):
        raise UserError(
            f"A CRM's skeleton is one guess of the probability of toxicity for each dose, ascending between 0 and 1, "
            f"not {list(skeleton)}."
        )


def power(skeleton: Float[np.ndarray, " dose"]) -> Curve:
    """Return the power model: skeleton^exp(a)."""
    logarithm = jnp.log(jnp.asarray(skeleton))
    return lambda a: jnp.exp(jnp.exp(a) * logarithm)


def logistic(skeleton: Float[np.ndarray, " dose"], intercept: float = 3.0) -> Curve:
    """Return the logistic model: logit p = intercept + exp(a) x, with x such that a = 0 gives the skeleton."""
    x = jnp.log(jnp.asarray(skeleton)) - jnp.log1p(-jnp.asarray(skeleton)) - intercept
    return lambda a: jax.nn.sigmoid(intercept + jnp.exp(a) * x)


def skeleton(half_width: float, target: float, guess: int, doses: int) -> Float[np.ndarray, " dose"]:
    """Return the skeleton whose neighbours are told apart up to an interval around the target, for the power model.

    If dose k is the MTD, the probability of toxicity of dose k - 1 is target - half_width, where that of dose k is
    target + half_width in turn, and so on up.
    Source: Lee and Cheung 2009, Clinical Trials 6:227.

    Args:
        half_width: half the width of the indifference interval.
        target: target probability of toxicity.
        guess: number of the dose believed to be the MTD, the lowest being 0.
        doses: number of doses.

    Raises:
        UserError: the interval leaves (0, 1), or there is no such dose.
    """
    if not 0 < target - half_width < target < target + half_width < 1:
        raise UserError(
            f"A skeleton needs target - half_width and target + half_width between 0 and 1; the target is {target}, "
            f"half_width {half_width}."
        )
    if not 0 <= guess < doses:
        raise UserError(f"The guess of the MTD is the number of a dose, 0 to {doses - 1}, not {guess}.")
    low, high = math.log(target - half_width), math.log(target + half_width)
    steps = np.arange(doses) - guess
    # On the scale log(-log p) neighbours are equally far apart.
    return np.exp(math.log(target) * (high / low) ** steps)


def grid(curve: Curve, target: float, *, spread: float = SPREAD, step: float = 0.05) -> Grid:
    """Tabulate a working model; a point of the grid is where the lowest dose is at the target.

    Args:
        curve: the working model.
        target: target probability of toxicity.
        spread: prior SD of `a`.
        step: distance of the points, in prior SDs.

    Raises:
        UserError: the spread is not positive.
    """
    if not spread > 0:
        raise UserError(f"The prior SD of a CRM's parameter must be positive, not {spread}.")
    reach = _REACH * spread
    centre = _crossing(curve, target, reach)
    number = np.arange(-int((reach + centre) / (step * spread)), int((reach - centre) / (step * spread)) + 1)
    a = centre + number * step * spread
    p = np.asarray(jax.vmap(curve)(jnp.asarray(a)))
    tiny = np.finfo(float).tiny
    # Half the point at the edge, and the first term of Gregory's correction for cutting a smooth function there.
    excess = (number < 0) + 0.5 * (number == 0) + ((number == -1) * 1.0 - (number == 1)) / 24
    prior = -0.5 * (a / spread) ** 2
    return Grid(a, prior, np.log(np.maximum(p, tiny)), np.log(np.maximum(1 - p, tiny)), excess)


def _crossing(curve: Curve, target: float, reach: float) -> float:
    """Return the `a` at which the lowest dose is at the target, or the end of the grid nearest to it.

    The probability falls as `a` rises.
    """
    low, high = -reach, reach
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        above = float(curve(jnp.asarray(middle))[0]) > target
        low, high = (middle, high) if above else (low, middle)
    return 0.5 * (low + high)


def posterior(found: Grid, patients: Int[Array, " dose"], toxicities: Int[Array, " dose"]) -> Posterior:
    """Return the posterior of `a` after so many patients and toxicities at each dose."""
    y, n = toxicities.astype(float), patients.astype(float)
    log = jnp.asarray(found.prior) + jnp.asarray(found.toxic) @ y + jnp.asarray(found.spared) @ (n - y)
    weight = jnp.exp(log - jnp.max(log))
    weight = weight / weight.sum()
    a = jnp.asarray(found.a)
    mean = (weight * a).sum()
    variance = (weight * (a - mean) ** 2).sum()
    return Posterior(mean, variance, jnp.clip((weight * jnp.asarray(found.excess)).sum(), 0.0, 1.0))


def most_likely(curve: Curve, patients: Int[Array, " dose"], toxicities: Int[Array, " dose"]) -> Float[Array, ""]:
    """Return the maximum likelihood estimate of `a`; not a number before both kinds of outcome have been seen.

    The likelihood has one peak (in exp(a) its logarithm is concave), found by bisection of its derivative.
    """
    y, n = toxicities.astype(float), patients.astype(float)

    def loglikelihood(a):
        p = jnp.clip(curve(a), 1e-300, 1 - 1e-16)
        return (y * jnp.log(p) + (n - y) * jnp.log1p(-p)).sum()

    slope = jax.grad(loglikelihood)

    def halve(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        rising = slope(middle) > 0
        return jnp.where(rising, middle, low), jnp.where(rising, high, middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.asarray(-_LIMIT), jnp.asarray(_LIMIT)))
    mixed = (y.sum() > 0) & (y.sum() < n.sum())
    return jnp.where(mixed, 0.5 * (low + high), jnp.nan)
