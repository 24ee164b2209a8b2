"""Shapes of a dose-response, fitted to the means of dose groups; all traceable.

A family is `e0 + sum of coefficients x columns(dose, theta)`. The coefficients are found in closed form for each theta,
so that a search has at most two dimensions. Formulas and default ranges of theta as in Bornkamp, Pinheiro and Bretz
2009, doi:10.18637/jss.v029.i07.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_ROUNDS = 32
"""Times the search narrows down on its best point."""
_NARROWER = 0.6
_COARSE = {1: 48, 2: 16}
"""Points along each axis of the first grid, by the number of axes."""
_FINE = {1: 9, 2: 5}
_FLAT = 1e-10
"""Share of its own sum of squares a column must add to those before it."""
_CURVE = 257
"""Doses at which a curve is searched for the first that does what is asked."""


class Family(NamedTuple):
    """One shape."""

    name: str
    columns: Callable[[Float[Array, " dose"], Float[Array, " theta"]], Float[Array, "dose column"]]
    low: tuple[float, ...]
    """Least theta."""
    high: tuple[float, ...]
    """Greatest theta; both are positive."""
    size: int = 1
    """Number of columns."""


class Groups(NamedTuple):
    """What is known of each dose."""

    dose: Float[Array, " dose"]
    mean: Float[Array, " dose"]
    """Any finite number where there is no patient."""
    count: Float[Array, " dose"]
    within: Float[Array, ""]
    """Sum of squares of the outcomes about the means of their own dose."""


class Fit(NamedTuple):
    """A family fitted by least squares."""

    theta: Float[Array, " theta"]
    coefficient: Float[Array, " column"]
    """Of 1 and of each column."""
    residual: Float[Array, ""]
    """Residual sum of squares of all outcomes."""
    aic: Float[Array, ""]
    """Akaike's criterion under normal outcomes, the variance counted as a parameter."""
    determined: Bool[Array, ""]
    """Whether the doses with patients determine all coefficients."""


def linear() -> Family:
    """Return e0 + b d."""
    return Family("linear", lambda d, _: d[:, None], (), ())


def log_linear(offset: float) -> Family:
    """Return e0 + b log(d / offset + 1), a shift of e0 + b log(d + offset)."""
    return Family("log-linear", lambda d, _: jnp.log1p(d / offset)[:, None], (), ())


def quadratic() -> Family:
    """Return e0 + b d + c d^2."""
    return Family("quadratic", lambda d, _: jnp.stack([d, d * d], 1), (), (), 2)


def emax(top: float) -> Family:
    """Return e0 + emax d / (ed50 + d), for doses up to `top`."""
    return Family("Emax", lambda d, t: (d / (t[0] + d))[:, None], (0.001 * top,), (1.5 * top,))


def sigmoid_emax(top: float) -> Family:
    """Return e0 + emax d^h / (ed50^h + d^h), for doses up to `top`."""

    def columns(d, t):
        # As a logistic function of log dose, so that powers do not overflow.
        positive = d > 0
        rise = jax.nn.sigmoid(t[1] * (jnp.log(jnp.where(positive, d, 1.0)) - jnp.log(t[0])))
        return jnp.where(positive, rise, 0.0)[:, None]

    return Family("sigmoid Emax", columns, (0.001 * top, 0.5), (1.5 * top, 10.0))


def exponential(top: float) -> Family:
    """Return e0 + e1 (exp(d / delta) - 1), for doses up to `top`."""
    return Family("exponential", lambda d, t: jnp.expm1(d / t[0])[:, None], (0.1 * top,), (2.0 * top,))


def logistic(top: float) -> Family:
    """Return e0 + emax / (1 + exp((ed50 - d) / delta)), for doses up to `top`."""

    def columns(d, t):
        return jax.nn.sigmoid((d - t[0]) / t[1])[:, None]

    return Family("logistic", columns, (0.001 * top, 0.01 * top), (1.5 * top, 0.5 * top))


def curve(
    family: Family, theta: Float[Array, " theta"], coefficient: Float[Array, " column"], dose: Float[Array, " dose"]
) -> Float[Array, " dose"]:
    """Return the mean at each dose."""
    columns = jnp.concatenate([jnp.ones((len(dose), 1)), family.columns(dose, theta)], axis=1)
    return columns @ coefficient


def fit(family: Family, groups: Groups) -> Fit:
    """Fit by least squares of all outcomes, theta within the family's range.

    A grid, regular in log theta, narrows down on its best point round by round.
    """
    axes = len(family.low)
    theta = jnp.zeros(0)
    if axes:
        low, high = np.log(family.low), np.log(family.high)
        theta = jnp.exp(_search(lambda x: _project(family, jnp.exp(x), groups)[1], low, high))
    coefficient, between, determined = _project(family, theta, groups)
    total = groups.count.sum()
    residual = groups.within + between
    parameters = 2 + family.size + axes
    aic = total * (jnp.log(2 * math.pi * residual / total) + 1) + 2 * parameters
    return Fit(theta, coefficient, residual, aic, determined)


def _project(
    family: Family, theta: Float[Array, " theta"], groups: Groups
) -> tuple[Float[Array, " column"], Float[Array, ""], Bool[Array, ""]]:
    """Return coefficients, the sum of squares about the curve between groups, and whether they are determined.

    Columns are made orthogonal to those before them, one after the other (Gram-Schmidt).
    """
    weight = groups.count
    raw = [jnp.ones_like(groups.dose), *jnp.moveaxis(family.columns(groups.dose, theta), 1, 0)]
    left, own, shares, determined = groups.mean, [], [], jnp.asarray(True)
    for column in raw:
        part, before = column, []
        for other in own:
            slope = _ratio((weight * other * part).sum(), (weight * other * other).sum())
            part, before = part - slope * other, [*before, slope]
        square, length = (weight * part * part).sum(), (weight * column * column).sum()
        good = square > _FLAT * length
        part = jnp.where(good, part, 0.0)
        share = _ratio((weight * part * left).sum(), (weight * part * part).sum())
        left = left - share * part
        own, shares, determined = [*own, part], [*shares, (share, before)], determined & good
    coefficient = []
    for place in reversed(range(len(raw))):
        later = [c * shares[place + 1 + i][1][place] for i, c in enumerate(coefficient)]
        coefficient = [shares[place][0] - sum(later), *coefficient]
    return jnp.stack(coefficient), (weight * left * left).sum(), determined


def _ratio(a: Float[Array, ""], b: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0), 0.0)


def _search(
    loss: Callable[[Float[Array, " axis"]], Float[Array, ""]], low: np.ndarray, high: np.ndarray
) -> Float[Array, " axis"]:
    """Return the point of a box with the least loss."""
    axes = len(low)
    unit = np.stack(np.meshgrid(*[np.linspace(0, 1, _COARSE[axes])] * axes, indexing="ij"), -1).reshape(-1, axes)
    near = np.stack(np.meshgrid(*[np.linspace(-1, 1, _FINE[axes])] * axes, indexing="ij"), -1).reshape(-1, axes)

    def best(points):
        found = jax.vmap(loss)(points)
        return points[jnp.argmin(jnp.where(jnp.isnan(found), jnp.inf, found))]

    def narrow(number, centre):
        width = _NARROWER**number * (high - low) / (_COARSE[axes] - 1)
        return best(jnp.clip(centre[None] + jnp.asarray(near) * width[None], low[None], high[None]))

    return jax.lax.fori_loop(0, _ROUNDS, narrow, best(jnp.asarray(low[None] + unit * (high - low)[None])))


def covariance(family: Family, found: Fit, groups: Groups) -> Float[Array, "parameter parameter"]:
    """Return the covariance of the coefficients and theta, by the linearised curve; not a number if none is left."""
    size = len(found.coefficient)

    def mean(p):
        return curve(family, p[size:], p[:size], groups.dose)

    p = jnp.concatenate([found.coefficient, found.theta])
    slope = jax.jacfwd(mean)(p)
    spare = groups.count.sum() - len(p)
    variance = jnp.where(spare > 0, found.residual / jnp.where(spare > 0, spare, 1.0), jnp.nan)
    return variance * jnp.linalg.inv(slope.T @ (groups.count[:, None] * slope))


def weights(aic: Float[Array, " model"], usable: Bool[Array, " model"]) -> Float[Array, " model"]:
    """Return each model's weight in an average, exp(-AIC / 2) up to a factor; 0 where it is not usable.

    Source: Buckland, Burnham and Augustin 1997, doi:10.2307/2533961.
    """
    lowest = jnp.min(jnp.where(usable, aic, jnp.inf))
    raw = jnp.where(usable, jnp.exp(-0.5 * (aic - lowest)), 0.0)
    return raw / jnp.maximum(raw.sum(), 1.0)


def first_dose(
    effect: Callable[[Float[Array, " dose"]], Float[Array, " dose"]], delta: float | Float[Array, ""], top: float
) -> Float[Array, ""]:
    """Return the least dose up to `top` whose effect is at least `delta`; not a number if none has.

    Found between two of many equally spaced doses, then by bisection.
    """
    dose = jnp.linspace(0.0, top, _CURVE)
    above = effect(dose) >= delta
    place = jnp.argmax(above)

    def halve(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        enough = effect(middle[None])[0] >= delta
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    _, high = jax.lax.fori_loop(0, 50, halve, (dose[jnp.maximum(place - 1, 0)], dose[place]))
    return jnp.where(above.any(), high, jnp.nan)
