"""Concentration and QTc: a linear mixed model by restricted maximum likelihood, and the effect at a concentration.

The change from baseline of the corrected QT interval is a line in concentration with a random intercept and a random
slope of each subject, beside fixed effects of treatment, time and baseline. Source: Garnett et al. 2018,
doi:10.1007/s10928-017-9558-5; restricted likelihood: Laird and Ware 1982, doi:10.2307/2529876.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vtrial.statistics import reml


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

    Random effects' columns are divided by their size, so that columns in any unit have the same start.
    """
    random = jnp.where(rows.known[:, :, None], rows.random, 0.0)
    size = jnp.sqrt((random**2).sum((0, 1)) / jnp.maximum(rows.known.sum(), 1))
    size = jnp.where(size > 0, size, 1.0)

    def covariance(logarithm: Float[Array, " theta"]) -> Float[Array, "subject row row"]:
        effect = random * (jnp.exp(logarithm[:-1]) / size)[None, None]
        own = jnp.exp(2 * logarithm[-1]) * jnp.eye(random.shape[1])
        return jnp.einsum("nrq,nsq->nrs", effect, effect) + own[None]

    fitted = reml.fit(_start(rows), covariance, reml.each(rows.fixed, rows.y, rows.known))
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
