"""Missing visits filled in: multiple imputation, and means under reference-based assumptions with jackknife errors.

All from one fitted repeated-measures model (`vtrial.statistics.mmrm`), in which every regressor has a coefficient at
every visit; an imputed visit is the model's conditional mean given the patient's known visits, plus noise for multiple
imputation.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial.statistics import mmrm
from vtrial.statistics.linear import invert
from vtrial.statistics.reml import Groups, Restricted, profile
from vtrial.statistics.strategy import AbstractStrategy

_REFITS = 3
"""Newton steps when one patient is left out: the start is so near that the third changes nothing."""
_HALVINGS = 60


class Pooled(NamedTuple):
    """Estimates from several imputed data sets, combined."""

    estimate: Float[Array, ""]
    variance: Float[Array, ""]
    df: Float[Array, ""]
    missing: Float[Array, ""]
    """Share of the information that is missing (Rubin 1987, equation 3.1.10)."""


def pool(
    estimate: Float[Array, " imputation"], variance: Float[Array, " imputation"], df: Float[Array, ""] | float
) -> Pooled:
    """Combine by Rubin's rules, with the degrees of freedom of Barnard and Rubin.

    Source: Barnard and Rubin 1999, doi:10.1093/biomet/86.4.948.

    Args:
        estimate: of each imputed data set.
        variance: of each estimate.
        df: degrees of freedom, had nothing been missing.
    """
    m = len(estimate)
    within, between = variance.mean(), estimate.var(ddof=1)
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    known = (df + 1) / (df + 3) * df * (1 - share)
    freedom = 1 / (share**2 / (m - 1) + 1 / known)
    return Pooled(estimate.mean(), total, freedom, share + (1 - share) * 2 / (freedom + 3))


class Patients(NamedTuple):
    """What is imputed from."""

    regressor: Float[Array, "patient regressor"]
    reference: Float[Array, "patient regressor"]
    """Regressors, had the patient been given the reference."""
    outcome: Float[Array, "patient visit"]
    known: Bool[Array, "patient visit"]


def complete(
    coefficient: Float[Array, " column"],
    covariance: Float[Array, "visit visit"],
    patients: Patients,
    strategy: AbstractStrategy,
    noise: Float[Array, "patient visit"] | float = 0.0,
) -> Float[Array, "patient visit"]:
    """Return outcomes with missing visits filled in.

    Args:
        coefficient: of each regressor at each visit.
        covariance: of a patient's visits.
        patients: of a trial.
        strategy: what happens to means after the last known visit.
        noise: draws with that covariance; 0 fills in conditional means.
    """
    known = patients.known
    visits = known.shape[1]
    table = coefficient.reshape(visits, -1)
    last = jnp.where(known, jnp.arange(visits)[None], -1).max(1)
    mean = jax.vmap(strategy.mean)(patients.regressor @ table.T, patients.reference @ table.T, last)
    both = known[:, :, None] & known[:, None, :]
    identity = jnp.broadcast_to(jnp.eye(visits, dtype=mean.dtype), both.shape)
    filled = jnp.where(both, jnp.broadcast_to(covariance, both.shape), identity)
    weight = jnp.where(both, jax.vmap(lambda matrix: invert(matrix)[0])(filled), 0.0)
    surprise = jnp.where(known, patients.outcome - mean - noise, 0.0)
    expected = mean + noise + jnp.einsum("st,ptu,pu->ps", covariance, weight, surprise)
    return jnp.where(known, patients.outcome, expected)


def impute(
    key: Key[Array, ""], fitted: Restricted, groups: Groups, patients: Patients, strategy: AbstractStrategy, number: int
) -> Float[Array, "imputation patient visit"]:
    """Return several completed data sets, each with parameters of its own.

    Parameters are drawn from the normal approximation of their posterior: those of the covariance on the scale of
    logarithms, then the coefficients given them. Source: Rubin 1987, doi:10.1002/9780470316696.
    """
    visits = patients.known.shape[1]

    def one(key: Key[Array, ""]) -> Float[Array, "patient visit"]:
        first, second, third = jax.random.split(key, 3)
        theta = fitted.theta + _root(fitted.theta_covariance) @ jax.random.normal(first, fitted.theta.shape)
        covariance = mmrm.unpack(theta, visits)
        at = profile(jnp.broadcast_to(covariance, (len(groups.known), visits, visits)), groups)
        drawn = at.coefficient + _root(at.covariance) @ jax.random.normal(second, at.coefficient.shape)
        noise = jax.random.normal(third, patients.known.shape) @ jnp.linalg.cholesky(covariance).T
        return complete(drawn, covariance, patients, strategy, noise)

    return jax.vmap(one)(jax.random.split(key, number))


def _root(covariance: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return a square root of a covariance that may have rows of zeros."""
    value, vector = jnp.linalg.eigh(covariance)
    return vector * jnp.sqrt(jnp.maximum(value, 0.0))[None]


class Jackknifed(NamedTuple):
    """Estimates with jackknife standard errors."""

    estimate: Float[Array, " estimate"]
    error: Float[Array, " estimate"]
    converged: Bool[Array, ""]


def reference_based(
    patients: Patients,
    enrolled: Bool[Array, " patient"],
    strategy: AbstractStrategy,
    analyse: Callable[[Float[Array, "patient visit"], Bool[Array, " patient"]], Float[Array, " estimate"]],
) -> Jackknifed:
    """Estimate from conditional means under a strategy; errors from leaving out each patient, model and all.

    The jackknife gives the variance of repeated trials, which Rubin's rules overstate here.
    Source: Wolbers et al. 2022, doi:10.1002/pst.2234.

    Args:
        patients: of a trial.
        enrolled: whether the place is filled.
        strategy: what happens to means after the last known visit.
        analyse: takes completed outcomes, and which patients count, to estimates.
    """
    visits = patients.known.shape[1]
    known = patients.known & enrolled[:, None]

    def estimate(count: Bool[Array, " patient"], start: Array | None, steps: int) -> tuple[Array, Restricted]:
        weight = count.astype(patients.outcome.dtype)
        fitted = mmrm.fit(mmrm.crossed(patients.regressor, patients.outcome, known, weight), start, steps)
        covariance = mmrm.unpack(fitted.theta, visits)
        return analyse(complete(fitted.coefficient, covariance, patients, strategy), count), fitted

    whole, fitted = estimate(enrolled, None, 50)

    def without(patient: Int[Array, ""]) -> Float[Array, " estimate"]:
        return estimate(enrolled & (jnp.arange(len(enrolled)) != patient), fitted.theta, _REFITS)[0]

    left = jax.vmap(without)(jnp.arange(len(enrolled)))
    number = enrolled.sum()
    mean = jnp.where(enrolled[:, None], left, 0.0).sum(0) / number
    squares = jnp.where(enrolled[:, None], (left - mean[None]) ** 2, 0.0).sum(0)
    return Jackknifed(whole, jnp.sqrt((number - 1) / number * squares), fitted.converged)


def tipping_point(
    p: Callable[[Float[Array, ""]], Float[Array, ""]], low: float, high: float, alpha: float
) -> Float[Array, ""]:
    """Return the shift of imputed values at which significance is lost, by bisection.

    Args:
        p: takes a shift to a p-value, monotone between `low` and `high`.
        low: a shift.
        high: another.
        alpha: significance level.

    Returns:
        The shift at which p is alpha; not a number if p is on one side of alpha at both ends.
    """

    def halve(_: Int[Array, ""], ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        same = (p(middle) > alpha) == start
        return jnp.where(same, middle, low), jnp.where(same, high, middle)

    ends = jnp.asarray(low, float), jnp.asarray(high, float)
    start, end = p(ends[0]) > alpha, p(ends[1]) > alpha
    low_end, high_end = jax.lax.fori_loop(0, _HALVINGS, halve, ends)
    return jnp.where(start != end, 0.5 * (low_end + high_end), jnp.nan)
