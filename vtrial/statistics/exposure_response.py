"""Concentration and QTc: a linear mixed model by restricted maximum likelihood, and the effect at a concentration.

The change from baseline of the corrected QT interval is a line in concentration with a random intercept and a random
slope of each subject, beside fixed effects of treatment, time and baseline. Source: Garnett et al. 2018,
doi:10.1007/s10928-017-9558-5; restricted likelihood: Laird and Ware 1982, doi:10.2307/2529876.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_STEPS = 60
_LONGEST = 2.0
"""Longest step in the logarithm of an SD."""
_STILL = 1e-8
"""A step shorter than this is the last."""
_LEAST = -12.0
"""Least logarithm of the ratio of a random effect's SD to the residual SD: none."""


class Rows(NamedTuple):
    """Observations of each subject, padded to equal numbers."""

    y: Float[Array, "subject row"]
    fixed: Float[Array, "subject row column"]
    random: Float[Array, "subject row effect"]
    known: Bool[Array, "subject row"]
    """Which rows are there."""


class Mixed(NamedTuple):
    """A fitted linear mixed model with independent random effects."""

    beta: Float[Array, " column"]
    """Fixed effects."""
    covariance: Float[Array, "column column"]
    """Their covariance."""
    sd: Float[Array, " effect"]
    """SD of each random effect."""
    residual: Float[Array, ""]
    """Residual SD."""
    loglikelihood: Float[Array, ""]
    """Restricted log-likelihood at its maximum."""
    converged: Bool[Array, ""]


class Effect(NamedTuple):
    """Placebo-corrected change of QTc at a concentration."""

    estimate: Float[Array, ""]
    error: Float[Array, ""]
    lower: Float[Array, ""]
    upper: Float[Array, ""]


class _Products(NamedTuple):
    """Products of columns, all that the likelihood needs; the outcome is the last of the joined columns."""

    joined: Float[Array, "both both"]
    """Of fixed effects and outcome, over all subjects."""
    crossed: Float[Array, "subject effect both"]
    """Of the random effects with those."""
    random: Float[Array, "subject effect effect"]
    spare: Float[Array, ""]
    """Rows less fixed effects."""


class _Moments(NamedTuple):
    """Sums over subjects at given SD ratios; what the residual variance multiplies is left out."""

    beta: Float[Array, " column"]
    inverse: Float[Array, "column column"]
    square: Float[Array, ""]
    logarithms: Float[Array, ""]
    spare: Float[Array, ""]


def fit(rows: Rows) -> Mixed:
    """Fit by restricted maximum likelihood; traceable.

    The residual variance is profiled out. Newton's method runs in the logarithms of the other SDs over the residual SD,
    with the steps limited, halved until the likelihood rises, and the curvature made positive.
    """
    products, size = _products(rows)

    def loss(x):
        return -_restricted(_moments(products, jnp.exp(x)))

    slope, curvature = jax.grad(loss), jax.hessian(loss)

    def step(carry):
        number, x, _ = carry
        values, axes = jnp.linalg.eigh(curvature(x))
        move = -axes @ ((axes.T @ slope(x)) / jnp.maximum(jnp.abs(values), 1e-3))
        move = move * jnp.minimum(1.0, _LONGEST / jnp.maximum(jnp.max(jnp.abs(move)), 1e-300))
        tried = jnp.maximum(x[None] + move[None] * 0.5 ** jnp.arange(8.0)[:, None], _LEAST)
        found = jax.vmap(loss)(tried)
        better = jnp.where(jnp.isnan(found), jnp.inf, found) < loss(x)
        after = jnp.where(better.any(), tried[jnp.argmax(better)], x)
        return number + 1, after, jnp.abs(after - x).max()

    start = (0, jnp.full(len(size), -0.5), jnp.asarray(jnp.inf))
    _, x, moved = jax.lax.while_loop(lambda c: (c[0] < _STEPS) & (c[2] > _STILL), step, start)
    at = _moments(products, jnp.exp(x))
    variance = at.square / at.spare
    sd = jnp.where(x > _LEAST + 0.1, jnp.exp(x), 0.0) * jnp.sqrt(variance) / size
    good = (moved <= _STILL) & (variance > 0)
    return Mixed(at.beta, variance * at.inverse, sd, jnp.sqrt(variance), _restricted(at), good)


def _products(rows: Rows) -> tuple[_Products, Float[Array, " effect"]]:
    """Return the sums of products, and the size of each random effect's column, by which it is divided.

    Divided by their size, columns in any unit have the same start.
    """
    there = rows.known[:, :, None]
    joined = jnp.where(there, jnp.concatenate([rows.fixed, rows.y[:, :, None]], 2), 0.0)
    random = jnp.where(there, rows.random, 0.0)
    size = jnp.sqrt((random**2).sum((0, 1)) / jnp.maximum(rows.known.sum(), 1))
    size = jnp.where(size > 0, size, 1.0)
    random = random / size[None, None]
    products = _Products(
        joined=jnp.einsum("nri,nrj->ij", joined, joined),
        crossed=jnp.einsum("nrq,nri->nqi", random, joined),
        random=jnp.einsum("nrp,nrq->npq", random, random),
        spare=rows.known.sum() - 1.0 * rows.fixed.shape[2],
    )
    return products, size


def effect(fitted: Mixed, concentration: Float[Array, ""], *, treatment: int, slope: int, quantile: float) -> Effect:
    """Return the placebo-corrected change at a concentration, and its limits.

    Args:
        fitted: the model.
        concentration: geometric mean of the highest concentration, say.
        treatment: number of the fixed effect of being treated.
        slope: number of that of concentration.
        quantile: of the normal distribution, 1.645 for limits of 90 %.
    """
    place = jnp.arange(len(fitted.beta))
    row = (place == treatment) * 1.0 + (place == slope) * concentration
    estimate, error = row @ fitted.beta, jnp.sqrt(row @ fitted.covariance @ row)
    return Effect(estimate, error, estimate - quantile * error, estimate + quantile * error)


def _moments(rows: _Products, ratio: Float[Array, " effect"]) -> _Moments:
    """Return generalised least squares where the random effects have SDs of these multiples of the residual SD.

    The inverse of a subject's covariance is found from the small matrix of its random effects (Woodbury's identity).
    """
    scale = ratio[:, None] * ratio[None, :]
    inner = jnp.eye(len(ratio))[None] + rows.random * scale[None]
    lower = jnp.linalg.cholesky(inner)
    half = jax.scipy.linalg.solve_triangular(lower, rows.crossed * ratio[None, :, None], lower=True)
    total = rows.joined - jnp.einsum("nqi,nqj->ij", half, half)
    logarithms = 2 * jnp.log(jnp.diagonal(lower, axis1=1, axis2=2)).sum()
    inverse = jnp.linalg.inv(total[:-1, :-1])
    beta = inverse @ total[:-1, -1]
    square = total[-1, -1] - beta @ total[:-1, -1]
    return _Moments(beta, inverse, square, logarithms - jnp.linalg.slogdet(inverse)[1], rows.spare)


def _restricted(at: _Moments) -> Float[Array, ""]:
    """Return the restricted log-likelihood at the best residual variance."""
    return -0.5 * (at.spare * (jnp.log(2 * math.pi * at.square / at.spare) + 1) + at.logarithms)
