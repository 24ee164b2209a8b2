"""How random effects are sampled: decided for each parameter and subject by what its own data say."""

import dataclasses
import logging

import jax
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
    # A subject whose class is not known has no typical value to be centred on.
    effects = tuple(name for name in population.effects if name not in population.by_class)
    if rule == "all":
        return dataclasses.replace(statistical, centring=(Centred(effects),) if effects else ()), None
    marginal = Marginal(statistical, data, "interaction")
    try:
        fit = first_look(marginal)
    except UserError as error:
        log.warning("           no parameter is sampled centred, for the Laplace fit that decides failed: %s", error)
        return statistical, None
    return dataclasses.replace(statistical, centring=_told(effects, marginal, fit)), fit


def _told(may: tuple[str, ...], marginal: Marginal, fit: Fit) -> tuple[Told, ...]:
    """Return how those effects are sampled that may be centred and of which the data tell something."""
    if not may:
        return ()
    if not np.isfinite(fit.subjects.covariance).all():
        log.warning("           no parameter is sampled centred: the Laplace fit has no width")
        return ()
    population = marginal.statistical.population
    draw = marginal.drawn(jnp.asarray(fit.vector))
    factor = np.asarray(jax.jit(lambda known: population.factor(known))(draw))
    own = [i for i, name in enumerate(population.effects) if name in may]
    groups = [[own[k] for k in group] for group in _groups(fit.subjects.covariance[:, own][:, :, own])]
    for i, name in enumerate(population.effects):
        if name in may:
            left = np.clip(fit.spread[:, i], 0.0, 1.0)
            log.info(
                "           eta of %s: sampled %s (the data leave %.0f to %.0f %% of its variance)",
                *(name, _how(population.effects, i, groups), 100 * left.min(), 100 * left.max()),
            )
    found = []
    for group in groups:
        names = tuple(population.effects[i] for i in group)
        around = tuple(_rounded(float(population[name].scale.location(draw[name]))) for name in names)
        covariance, mean = fit.subjects.covariance[:, group][:, :, group], fit.subjects.mean[:, group]
        root, seen = _data(factor[np.ix_(group, group)], covariance, mean)
        rows = tuple(tuple(tuple(map(_rounded, row)) for row in one) for one in root.tolist())
        found.append(Told(names, rows, around, tuple(tuple(map(_rounded, one)) for one in seen.tolist())))
    return tuple(found)


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


def _how(effects: tuple[str, ...], i: int, groups: list[list[int]]) -> str:
    """Say how an effect is sampled."""
    group = next((one for one in groups if i in one), None)
    if group is None:
        return "non-centred"
    others = [effects[k] for k in group if k != i]
    return "by what each subject's data tell" + (f", together with {' and '.join(others)}" if others else "")


def _groups(covariance: Float[np.ndarray, "subject effect effect"]) -> list[list[int]]:
    """Return of which effects the data tell something, those together that they tell together only.

    What is told of an effect is what is known of it, the others of a subject given; two are linked by their partial
    correlation.
    """
    precision = np.linalg.inv(covariance)
    known = np.diagonal(precision, axis1=1, axis2=2)
    partial = np.abs(precision / np.sqrt(known[:, :, None] * known[:, None, :])).mean(0)
    told = (1.0 - 1.0 / known).mean(0) >= _LEAST
    linked = (partial >= _TOGETHER) & told & told[:, None]
    count, group = connected_components(linked)
    groups = [np.flatnonzero(group == k).tolist() for k in range(count)]
    return [one for one in groups if told[one[0]]]


def _rounded(x: float) -> float:
    """Return three digits: so that a fit that differs in its last ones makes the same coordinates."""
    return float(f"{x:.3g}")
