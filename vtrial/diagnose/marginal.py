"""The likelihood of whole subjects, their random effects integrated out."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial import keys
from vtrial.data import Dataset
from vtrial.likelihood import StatisticalModel
from vtrial.population import effects as random_effects

_DEGREES = 5.0
"""Degrees of freedom of the proposal: its tails are heavier than those of a normal posterior of etas."""
_DEFENSIVE = 0.25
"""Share of the samples from the etas' own distribution; bounds every importance weight by 4 times the likelihood."""


class Marginal(NamedTuple):
    """Log-likelihoods of whole subjects, and how well they are known."""

    log_likelihood: Float[np.ndarray, "draw subject"]
    """Log of the density of all of a subject's observations given the population parameters alone."""
    error: Float[np.ndarray, "draw subject"]
    """Its Monte-Carlo standard error: the relative error of the density."""


class _Proposal(NamedTuple):
    """A Student t distribution of each subject's etas, centred anew for each draw of the population."""

    centre: Float[np.ndarray, "draw subject effect"]
    scale: Float[np.ndarray, "subject effect effect"]
    """Cholesky factors."""


def subject_log_likelihood(
    statistical: StatisticalModel,
    data: Dataset,
    draw: Mapping[str, Array],
    effect: Float[Array, "subject effect"],
) -> Float[Array, " subject"]:
    """Return the log-likelihood of each subject's observations given its etas, and kappas of every occasion behind."""
    whole = {**draw, **random_effects.split(statistical.population, statistical.levels(data), effect)}
    return statistical.log_likelihood_given_effects(whole, data)


def marginal_log_likelihood(
    key: Key[Array, ""],
    statistical: StatisticalModel,
    data: Dataset,
    draws: Mapping[str, np.ndarray],
    picked: np.ndarray,
    *,
    samples: int,
) -> Marginal:
    """Integrate each subject's etas out, at the posterior draws `picked`, by importance sampling.

    The proposal of a subject is a Student t around the regression of its posterior etas on the population parameters,
    mixed with the etas' own distribution, so that weights are bounded (defensive mixture: Hesterberg 1995,
    doi:10.1080/00401706.1995.10484303). Every draw and subject has samples of its own.

    Args:
        key: random key.
        statistical: the fitted model.
        data: the observed data.
        draws: posterior draws, leading axis the draw.
        picked: numbers of the draws to do this for.
        samples: importance samples for each draw and subject.
    """
    chosen = {name: jnp.asarray(value[picked]) for name, value in draws.items()}
    subjects, eta = len(data.subjects), random_effects.stacked(statistical.population, draws, len(data.subjects))
    if not eta.shape[-1]:
        each = jax.jit(lambda d: subject_log_likelihood(statistical, data, d, jnp.zeros((subjects, 0))))
        exact = np.asarray(jax.lax.map(each, chosen))
        return Marginal(exact, np.zeros_like(exact))
    levels = statistical.levels(data)
    proposal = _proposal(eta, _predictors(draws, statistical), picked)
    defensive = max(1, round(_DEFENSIVE * samples))
    scale = jnp.asarray(proposal.scale)

    def one(arguments):
        number, draw, centre = arguments
        factor = random_effects.whole_factor(statistical.population, draw, levels)
        mine = jax.random.fold_in(key, number)
        tried = jnp.concatenate(
            [
                _student(keys.named(mine, "student"), centre, scale, samples - defensive),
                jax.random.normal(keys.named(mine, "prior"), (defensive, *centre.shape)) @ factor.T,
            ]
        )
        own = _normal_log_density(tried, factor)
        share = defensive / samples
        mixed = jnp.logaddexp(jnp.log1p(-share) + _student_log_density(tried - centre, scale), jnp.log(share) + own)
        likelihood = jax.vmap(lambda e: subject_log_likelihood(statistical, data, draw, e))(tried)
        return _average(likelihood + own + _tails(statistical, factor, tried) - mixed, samples - defensive)

    value, error = jax.jit(lambda x: jax.lax.map(one, x))((jnp.asarray(picked), chosen, jnp.asarray(proposal.centre)))
    return Marginal(np.asarray(value), np.asarray(error))


def _tails(
    statistical: StatisticalModel, factor: Float[Array, "effect effect"], tried: Float[Array, "sample subject effect"]
) -> Float[Array, "sample subject"]:
    """Return by how much Student-t etas are denser than normal ones; 0 where all are normal."""
    population = statistical.population
    found = jnp.zeros(tried.shape[:2])
    for i, name in enumerate(population.effects):
        if population[name].degrees is not None:
            z = tried[..., i] / factor[i, i]
            found = found + population.standard(name).log_prob(z) + 0.5 * (z**2 + jnp.log(2 * jnp.pi))
    return found


def _average(log_weight: Float[Array, "sample subject"], first: int) -> tuple[Array, Array]:
    """Return the log of the mean weight and its relative error; the first samples are one stratum, the rest another."""
    top = jnp.max(log_weight, axis=0)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    weight = jnp.exp(log_weight - top)
    count, mean = len(weight), weight.mean(0)
    variance = sum(
        (len(part) / count) ** 2 * part.var(0, ddof=1) / len(part) for part in (weight[:first], weight[first:])
    )
    return top + jnp.log(mean), jnp.sqrt(jnp.asarray(variance)) / mean


def _predictors(draws: Mapping[str, np.ndarray], statistical: StatisticalModel) -> Float[np.ndarray, "draw predictor"]:
    """Return the population parameters as standardised columns, those that are positive as logarithms."""
    columns = []
    for name in statistical.priors():
        value = np.asarray(draws[name], float)
        value = np.log(value) if (value > 0).all() else value
        if value.ndim == 1 and value.std() > 1e-8 * (1.0 + abs(value.mean())):
            columns.append((value - value.mean()) / value.std())
    return np.stack(columns, -1) if columns else np.zeros((len(next(iter(draws.values()))), 0))


def _proposal(
    eta: Float[np.ndarray, "draw subject effect"], predictors: Float[np.ndarray, "draw predictor"], picked: np.ndarray
) -> _Proposal:
    """Regress each subject's etas on the population parameters; too few draws for that, take their mean."""
    if len(eta) < 4 * (1 + predictors.shape[1]):
        predictors = predictors[:, :0]
    design = np.column_stack([np.ones(len(eta)), predictors])
    coefficients = np.linalg.lstsq(design, eta.reshape(len(eta), -1), rcond=None)[0]
    residual = eta - (design @ coefficients).reshape(eta.shape)
    covariance = np.einsum("dsi,dsj->sij", residual, residual) / max(1, len(eta) - design.shape[1])
    floor = 1e-10 + 1e-6 * np.trace(covariance, axis1=1, axis2=2) / eta.shape[-1]
    covariance += floor[:, None, None] * np.eye(eta.shape[-1])
    return _Proposal((design[picked] @ coefficients).reshape(-1, *eta.shape[1:]), np.linalg.cholesky(covariance))


def _student(key: Key[Array, ""], centre: Array, scale: Array, count: int) -> Float[Array, "sample subject effect"]:
    """Draw from the multivariate Student t distributions."""
    normal = jax.random.normal(keys.named(key, "normal"), (count, *centre.shape))
    chi = 2.0 * jax.random.gamma(keys.named(key, "chi"), _DEGREES / 2, (count, centre.shape[0], 1))
    return centre + jnp.einsum("sij,nsj->nsi", scale, normal) * jnp.sqrt(_DEGREES / chi)


def _student_log_density(
    residual: Float[Array, "sample subject effect"], scale: Array
) -> Float[Array, "sample subject"]:
    """Return the log density of those distributions at a residual from their centre."""
    q = residual.shape[-1]
    white = jax.vmap(lambda s, r: jax.scipy.linalg.solve_triangular(s, r.T, lower=True).T, (0, 1), 1)(scale, residual)
    constant = (
        jax.scipy.special.gammaln((_DEGREES + q) / 2)
        - jax.scipy.special.gammaln(_DEGREES / 2)
        - q / 2 * jnp.log(_DEGREES * jnp.pi)
    )
    volume = jnp.log(jnp.diagonal(scale, axis1=-2, axis2=-1)).sum(-1)
    return constant - volume - (_DEGREES + q) / 2 * jnp.log1p((white**2).sum(-1) / _DEGREES)


def _normal_log_density(eta: Float[Array, "sample subject effect"], factor: Array) -> Float[Array, "sample subject"]:
    """Return the log density of etas under Normal(0, factor factor')."""
    flat = eta.reshape(-1, eta.shape[-1])
    white = jax.scipy.linalg.solve_triangular(factor, flat.T, lower=True).T.reshape(eta.shape)
    volume = jnp.log(jnp.diagonal(factor)).sum()
    return -volume - 0.5 * (white**2).sum(-1) - eta.shape[-1] / 2 * jnp.log(2 * jnp.pi)
