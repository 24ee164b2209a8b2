"""How random effects are sampled: decided for each parameter and subject by what its own data say."""

import dataclasses
import logging
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components

from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.marginal import Fit, Marginal, first_look
from vtrial.likelihood import StatisticalModel
from vtrial.population.centring import Centred, Told

log = logging.getLogger(__name__)

_LEAST = 0.1
"""An effect that would be centred less is not centred at all: it is then the cheapest."""
_TOGETHER = 0.7
"""Effects with a greater partial correlation are sampled together, which costs more."""
_BLIND = 1e-2
"""Directions of which the data know so much less than of others that where they are is not asked."""
_NOTHING = 1e-6
"""The least precision that data are believed to add."""
_RULES = ("auto", "none", "all")


def check_centring(rule: str) -> None:
    """Refuse a rule that does not exist.

    Raises:
        UserError: naming those there are.
    """
    if rule not in _RULES:
        raise UserError(f"inference.centring is '{rule}'. {nearest(rule, _RULES)}")


def centred(statistical: StatisticalModel, data: Dataset, rule: str) -> tuple[StatisticalModel, Fit | None]:
    """Return the model with random effects to be sampled centred: the same posterior, better or worse to sample.

    Args:
        statistical: the model.
        data: the observed data.
        rule: `all`, `none`, or `auto`, which takes a Laplace fit to see what the data tell, see `Told`.

    Returns:
        The model, and that fit; None if there is none.
    """
    population = statistical.population
    if rule == "none" or not population.effects:
        return statistical, None
    effects = may_be_told(statistical)
    if rule == "all":
        return dataclasses.replace(statistical, centring=(Centred(effects),) if effects else ()), None
    marginal = Marginal(statistical, data, "interaction")
    try:
        fit = first_look(marginal)
    except UserError as error:
        log.warning("           no parameter is sampled centred, for the Laplace fit that decides failed: %s", error)
        return statistical, None
    if not np.isfinite(fit.subjects.covariance).all():
        log.warning("           no parameter is sampled centred: the Laplace fit has no width")
        return statistical, fit
    groups = together(statistical, fit)
    _log(statistical, fit, groups)
    return dataclasses.replace(statistical, centring=told(marginal, fit, groups)), fit


def together(statistical: StatisticalModel, fit: Fit) -> tuple[tuple[str, ...], ...]:
    """Return of which effects the data tell something, those together that they tell together only.

    What is told of an effect is what is known of it, the others of a subject given; two are linked by their partial
    correlation.
    """
    may, names = may_be_told(statistical), statistical.population.effects
    if not may:
        return ()
    own = [names.index(name) for name in may]
    precision = np.linalg.inv(fit.subjects.covariance[:, own][:, :, own])
    known = np.diagonal(precision, axis1=1, axis2=2)
    partial = np.abs(precision / np.sqrt(known[:, :, None] * known[:, None, :])).mean(0)
    enough = (1.0 - 1.0 / known).mean(0) >= _LEAST
    linked = (partial >= _TOGETHER) & enough & enough[:, None]
    count, group = connected_components(linked)
    groups = [np.flatnonzero(group == k).tolist() for k in range(count)]
    return tuple(tuple(may[i] for i in one) for one in groups if enough[one[0]])


def told(marginal: Marginal, fit: Fit, groups: Sequence[tuple[str, ...]]) -> tuple[Told, ...]:
    """Return what the data tell of groups of effects, by a fit that has a width."""
    population, found = marginal.statistical.population, []
    vector = jnp.asarray(fit.vector)
    draw, factor = marginal.drawn(vector), np.asarray(marginal.factored(vector))
    for names in groups:
        own = [population.effects.index(name) for name in names]
        around = np.array([float(population[name].scale.location(draw[name])) for name in names])
        covariance, mean = fit.subjects.covariance[:, own][:, :, own], fit.subjects.mean[:, own]
        root, seen = _data(factor[np.ix_(own, own)], covariance, mean)
        found.append(Told(names, *map(_rounded, (root, around, seen))))
    return tuple(found)


def may_be_told(statistical: StatisticalModel) -> tuple[str, ...]:
    """Return the effects that may be centred: a subject whose class is not known has no typical value."""
    population = statistical.population
    return tuple(name for name in population.effects if name not in population.by_class)


def _log(statistical: StatisticalModel, fit: Fit, groups: Sequence[tuple[str, ...]]) -> None:
    """Say how the effects are sampled."""
    for i, name in enumerate(statistical.population.effects):
        if name in may_be_told(statistical):
            left = np.clip(fit.spread[:, i], 0.0, 1.0)
            log.info(
                "           eta of %s: sampled %s (the data leave %.0f to %.0f %% of its variance)",
                *(name, _how(name, groups), 100 * left.min(), 100 * left.max()),
            )


def _data(
    factor: Float[np.ndarray, "effect effect"],
    covariance: Float[np.ndarray, "subject effect effect"],
    mean: Float[np.ndarray, "subject effect"],
) -> tuple[Float[np.ndarray, "subject effect effect"], Float[np.ndarray, "subject effect"]]:
    """Return what the data alone tell: B and B' (m - location) of `Told`; what rounding takes away of B is 0.

    Data leave the effects z over L, the factor of OMEGA, the mean z and the covariance C: their precision is I =
    L'^-1 (C^-1 - 1) L^-1, and what they tell is that I (m - location) = L'^-1 C^-1 z.
    """
    value, vector = np.linalg.eigh(np.linalg.inv(covariance) - np.eye(len(factor)))
    added = np.einsum("sij,sj,skj->sik", vector, np.maximum(value, _NOTHING), vector)
    inverse = np.linalg.inv(factor)
    root = np.linalg.cholesky(inverse.T @ added @ inverse)
    pull = inverse.T @ np.linalg.solve(covariance, mean[..., None])
    return root, (np.linalg.pinv(root, rcond=_BLIND) @ pull)[..., 0]


def _how(name: str, groups: Sequence[tuple[str, ...]]) -> str:
    """Say how an effect is sampled."""
    group = next((one for one in groups if name in one), None)
    if group is None:
        return "non-centred"
    others = [other for other in group if other != name]
    return "by what each subject's data tell" + (f", together with {' and '.join(others)}" if others else "")


def _rounded(x: np.ndarray) -> np.ndarray:
    """Return three digits: so that a fit that differs in its last ones makes the same coordinates."""
    return np.array([float(f"{one:.3g}") for one in x.ravel()]).reshape(x.shape)
