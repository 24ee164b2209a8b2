"""Concentration and QTc: a linear mixed model by restricted maximum likelihood, and the effect at a concentration.

The change from baseline of the corrected QT interval is a line in concentration with a random intercept and a random
slope of each subject, beside fixed effects of treatment, time and baseline. Source: Garnett et al. 2018,
doi:10.1007/s10928-017-9558-5; restricted likelihood: Laird and Ware 1982, doi:10.2307/2529876.
"""

import math
from collections.abc import Callable
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


def fit(rows: Rows) -> Mixed:
    """Fit by restricted maximum likelihood; traceable.

    The residual variance is profiled out. Newton's method runs in the logarithms of the other SDs over the residual SD,
    with the steps limited, halved until the likelihood rises, and the curvature made positive.
    """
    products, size = _products(rows)
    x, moved = _least(lambda x: -_restricted(products, jnp.exp(x)), len(size))
    total, _ = _weighted(products, jnp.exp(x))
    inverse = jnp.linalg.inv(total[:-1, :-1])
    beta = inverse @ total[:-1, -1]
    variance = (total[-1, -1] - beta @ total[:-1, -1]) / products.spare
    sd = jnp.where(x > _LEAST + 0.1, jnp.exp(x), 0.0) * jnp.sqrt(variance) / size
    likelihood = _restricted(products, jnp.exp(x))
    return Mixed(beta, variance * inverse, sd, jnp.sqrt(variance), likelihood, (moved <= _STILL) & (variance > 0))


def _least(
    loss: Callable[[Float[Array, " effect"]], Float[Array, ""]], effects: int
) -> tuple[Float[Array, " effect"], Float[Array, ""]]:
    """Return the least of a function of so many logarithms, and the length of the last step.

    Newton's method, the curvature from differences of the slope.
    """
    slope, apart = jax.grad(loss), 1e-4 * jnp.eye(effects)

    def step(carry):
        number, x, _ = carry
        near = jax.vmap(slope)(jnp.concatenate([x[None] + apart, x[None] - apart]))
        curvature = (near[:effects] - near[effects:]) / 2e-4
        values, axes = jnp.linalg.eigh(0.5 * (curvature + curvature.T))
        move = -axes @ ((axes.T @ near.mean(0)) / jnp.maximum(jnp.abs(values), 1e-3))
        move = move * jnp.minimum(1.0, _LONGEST / jnp.maximum(jnp.max(jnp.abs(move)), 1e-300))
        share = jnp.append(0.0, 0.5 ** jnp.arange(8.0))
        tried = jnp.maximum(x[None] + move[None] * share[:, None], _LEAST)
        found = jax.vmap(loss)(tried)
        better = found[1:] < found[0]
        after = jnp.where(better.any(), tried[1:][jnp.argmax(better)], x)
        return number + 1, after, jnp.abs(after - x).max()

    start = (0, jnp.full(effects, -0.5), jnp.asarray(jnp.inf))
    _, x, moved = jax.lax.while_loop(lambda c: (c[0] < _STEPS) & (c[2] > _STILL), step, start)
    return x, moved


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


def _weighted(
    products: _Products, ratio: Float[Array, " effect"]
) -> tuple[Float[Array, "both both"], Float[Array, ""]]:
    """Return the products weighted by the inverse covariance, and the log determinant of all covariances.

    Random effects have SDs of `ratio` times the residual SD. The inverse of a subject's covariance is found from the
    small matrix of its random effects (Woodbury's identity).
    """
    inner = jnp.eye(len(ratio))[None] + products.random * (ratio[:, None] * ratio[None, :])[None]
    lower = jnp.linalg.cholesky(inner)
    half = jax.scipy.linalg.solve_triangular(lower, products.crossed * ratio[None, :, None], lower=True)
    total = products.joined - jnp.einsum("nqi,nqj->ij", half, half)
    return total, 2 * jnp.log(jnp.diagonal(lower, axis1=1, axis2=2)).sum()


def _restricted(products: _Products, ratio: Float[Array, " effect"]) -> Float[Array, ""]:
    """Return the restricted log-likelihood at the best fixed effects and residual variance.

    The Cholesky factor of the joined products ends in the root of the residual sum of squares.
    """
    total, logarithms = _weighted(products, ratio)
    root = jnp.diagonal(jnp.linalg.cholesky(total))
    square, spare = root[-1] ** 2, products.spare
    logarithms = logarithms + 2 * jnp.log(root[:-1]).sum()
    return -0.5 * (spare * (jnp.log(2 * math.pi * square / spare) + 1) + logarithms)
