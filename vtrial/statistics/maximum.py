"""The greatest of several correlated t statistics with one variance estimate: tails, critical values, power.

The statistics are rows of a `factor` times independent standard normals, divided by one estimate of the standard
deviation. Nothing is inverted, so that more statistics than degrees of freedom between groups (a singular correlation)
are no special case.
Source: Genz and Bretz 2009, doi:10.1007/978-3-642-01689-9, chapters 2 and 4.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import root_scalar
from scipy.special import chdtri, ndtr, ndtri
from scipy.stats import qmc

from vtrial.errors import UserError

_SEED = 20261128
_SMALL = 1e-12
"""Cosine below which a direction adds nothing to a statistic."""
_MOST = 1e8
"""Degrees of freedom that count as a known variance."""


def factor(correlation: Float[np.ndarray, "statistic statistic"]) -> Float[np.ndarray, "statistic axis"]:
    """Return a matrix whose rows have these inner products; the correlation may be singular.

    Raises:
        UserError: it is no correlation matrix.
    """
    values, vectors = np.linalg.eigh(correlation)
    if not np.allclose(correlation, correlation.T) or not np.allclose(np.diag(correlation), 1) or values[0] < -1e-8:
        raise UserError("A correlation matrix must be symmetric and have ones on its diagonal and no negative root.")
    return vectors * np.sqrt(np.maximum(values, 0.0))


@lru_cache(8)
def directions(axes: int, power: int = 12) -> Float[np.ndarray, "point axis"]:
    """Return 2^power unit vectors spread evenly over a space of `axes`, or one more so that their number is even."""
    normal = ndtri(_uniform(axes + axes % 2, power))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def tail(
    t: Float[Array, ""],
    df: Float[Array, ""],
    rows: Float[Array, "statistic axis"],
    spread: Float[np.ndarray, "point even"],
) -> Float[Array, ""]:
    """Return the probability that the greatest statistic is above `t`; traceable.

    The squared length of the normals over the variance estimate is an F variate whatever their direction; what is left
    is a mean over directions. With an even number of axes the tail of F is a finite sum (Abramowitz and Stegun 26.6.4).

    Args:
        t: the value.
        df: degrees of freedom of the variance estimate.
        rows: the factor of the correlation, rows of length 1.
        spread: `directions` of its axes; 2^12 of them leave an error of about 1e-4 where t > 0,
            less in the tail, and of 1e-3 below.
    """
    axes = spread.shape[1]
    even = jnp.concatenate([rows, jnp.zeros((len(rows), axes - rows.shape[1]))], axis=1)
    cosine = jnp.asarray(spread) @ even.T
    # How far the greatest statistic goes along each direction and along its opposite.
    reach = jnp.concatenate([cosine.max(1), -cosine.min(1)])
    aside = jnp.abs(reach) < _SMALL
    beyond = _longer((t / jnp.where(aside, 1.0, reach)) ** 2, jnp.minimum(df, _MOST), axes)
    # For t >= 0 only positive reaches get above it; for t < 0 they all do, and the others as long as they are short.
    upper = jnp.where(aside | (reach < 0), 0.0, beyond)
    lower = jnp.where(aside | (reach > 0), 1.0, 1.0 - beyond)
    return jnp.where(t >= 0, upper.mean(), lower.mean())


def _longer(square: Float[Array, " point"], df: Float[Array, ""], axes: int) -> Float[Array, " point"]:
    """Return the probability that `axes` normals over the standard deviation have a greater squared length."""
    short = square / (df + square)
    term = jnp.exp(-0.5 * df * jnp.log1p(square / df))
    total = term
    for j in range(1, axes // 2):
        term = term * short * (0.5 * df + j - 1) / j
        total = total + term
    return total


def critical(alpha: float, df: float, rows: Float[np.ndarray, "statistic axis"], *, power: int = 14) -> float:
    """Return the value above which the greatest statistic is with probability `alpha`, one-sided.

    Args:
        alpha: the probability.
        df: degrees of freedom; infinite for a known variance.
        rows: the factor of the correlation.
        power: the integral takes 2^power points; 14 leave an error of about 1e-4.
    """
    none = np.zeros(len(rows))
    found = root_scalar(lambda t: exceeds(t, df, rows, none, power=power) - alpha, bracket=(-20.0, 1e3), xtol=1e-7)
    return float(found.root)


def exceeds(
    t: float,
    df: float,
    rows: Float[np.ndarray, "statistic axis"],
    shift: Float[np.ndarray, " statistic"],
    *,
    power: int = 14,
) -> float:
    """Return the probability that the greatest statistic is above `t` where the numerators have means `shift`.

    The axis along which the statistics have most in common is integrated in closed form; the others and the variance
    estimate by quasi-Monte Carlo.

    Args:
        t: the value, a critical value say.
        df: degrees of freedom; infinite for a known variance.
        rows: the factor of the correlation.
        shift: means of the numerators in their standard errors.
        power: the integral takes 2^power points.
    """
    _, size, axes = np.linalg.svd(rows, full_matrices=False)
    turned = rows @ axes[size > 1e-9 * size[0]].T
    scale, rest = _points(turned.shape[1], df, power)
    room = t * scale[:, None] - shift[None] - rest @ turned[:, 1:].T
    lead = turned[:, 0]
    aside = np.abs(lead) < _SMALL
    bound = room / np.where(aside, 1.0, lead)
    highest = np.where(lead > _SMALL, bound, np.inf).min(1)
    lowest = np.where(lead < -_SMALL, bound, -np.inf).max(1)
    inside = np.maximum(ndtr(highest) - ndtr(lowest), 0.0) * np.where(aside, room >= 0, True).all(1)
    return float(1 - inside.mean())


@lru_cache(8)
def _points(axes: int, df: float, power: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standard deviations estimated, in true ones, and normals of all axes but one."""
    uniform = _uniform(axes, power)
    scale = np.sqrt(chdtri(df, uniform[:, 0]) / df) if np.isfinite(df) else np.ones(len(uniform))
    return scale, ndtri(uniform[:, 1:])


def _uniform(axes: int, power: int) -> Float[np.ndarray, "point axis"]:
    """Return scrambled Sobol points, none on an edge."""
    points = qmc.Sobol(axes, scramble=True, rng=np.random.default_rng(_SEED)).random_base2(power)
    return np.clip(points, 0.5**33, 1 - 0.5**33)
