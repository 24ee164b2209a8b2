"""Concentration and QTc: a linear mixed model by restricted maximum likelihood, and the effect at a concentration.

The change from baseline of the corrected QT interval is a line in concentration with a random intercept and a random
slope of each subject, beside fixed effects of treatment, time and baseline. Source: Garnett et al. 2018,
doi:10.1007/s10928-017-9558-5; restricted likelihood: Laird and Ware 1982, doi:10.2307/2529876.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vtrial.statistics import reml
from vtrial.statistics.linear import invert


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
    restricted: reml.Restricted
    """All of the fit, in the logarithms of the SDs."""


class Effect(NamedTuple):
    """Placebo-corrected change of QTc at a concentration."""

    estimate: Float[Array, ""]
    error: Float[Array, ""]
    df: Float[Array, ""]
    """Satterthwaite's degrees of freedom."""


def fit(rows: Rows) -> Mixed:
    """Fit by restricted maximum likelihood, in the logarithms of all SDs; traceable.

    Random effects' columns are divided by their size, so that columns in any unit have the same start. With U the
    columns times their SDs, V = s^2 I + U U' has inverse (I - U (s^2 I + U'U)^-1 U') / s^2: a step costs small matrices
    alone, whatever the number of rows. Source: Woodbury 1950, Statistical Research Group, Princeton, Memo 42.
    """
    random = jnp.where(rows.known[:, :, None], rows.random, 0.0)
    size = jnp.sqrt((random**2).sum((0, 1)) / jnp.maximum(rows.known.sum(), 1))
    size = jnp.where(size > 0, size, 1.0)
    fitted = reml.search(_start(rows), _likelihood(rows, random / size[None, None]))
    sd = jnp.exp(fitted.theta)
    return Mixed(
        beta=fitted.coefficient,
        covariance=fitted.covariance,
        sd=sd[:-1] / size,
        residual=sd[-1],
        loglikelihood=-0.5 * fitted.deviance,
        converged=fitted.converged,
        restricted=fitted,
    )


def _likelihood(
    rows: Rows, random: Float[Array, "subject row effect"]
) -> Callable[[Float[Array, " theta"]], reml.Solution]:
    """Return the restricted likelihood at each theta, from sums over rows that are made once."""
    both = jnp.where(rows.known[:, :, None], jnp.concatenate([rows.fixed, rows.y[:, :, None]], -1), 0.0)
    every = jnp.einsum("nra,nrb->ab", both, both)
    across = jnp.einsum("nrq,nra->nqa", random, both)
    within = jnp.einsum("nrq,nrs->nqs", random, random)
    measurements, effects = rows.known.sum(), random.shape[2]

    def at(theta: Float[Array, " theta"]) -> reml.Solution:
        sd, variance = jnp.exp(theta[:-1]), jnp.exp(2 * theta[-1])
        scaled = sd[None, :, None] * across
        inner = variance * jnp.eye(effects)[None] + (sd[:, None] * sd[None])[None] * within
        inverse, logarithm, _ = jax.vmap(invert)(inner)
        total = (every - jnp.einsum("nqa,nqs,nsb->ab", scaled, inverse, scaled)) / variance
        determinant = logarithm.sum() + (measurements - effects * len(within)) * 2 * theta[-1]
        return reml.solve(total, determinant, measurements, jnp.asarray(True))

    return at


def _start(rows: Rows) -> Float[Array, " theta"]:
    """Return logarithms of SDs to start from: the outcome's own, two thirds of it for the random effects."""
    there, y = rows.known, jnp.where(rows.known, rows.y, 0.0)
    mean = y.sum() / there.sum()
    whole = 0.5 * jnp.log(jnp.where(there, (y - mean) ** 2, 0.0).sum() / there.sum())
    return jnp.append(jnp.full(rows.random.shape[2], whole - 0.5), whole)


def effect(fitted: Mixed, concentration: Float[Array, ""], *, treatment: int, slope: int) -> Effect:
    """Return the placebo-corrected change at a concentration, with what its limits need.

    Args:
        fitted: the model.
        concentration: geometric mean of the highest concentration, say.
        treatment: number of the fixed effect of being treated.
        slope: number of that of concentration.
    """
    place = jnp.arange(len(fitted.beta))
    return Effect(*reml.satterthwaite(fitted.restricted, (place == treatment) + (place == slope) * concentration))
