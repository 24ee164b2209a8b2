"""How random effects are sampled: decided for each parameter and subject by what its own data say."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.marginal import Fit, Marginal, first_look
from vtrial.likelihood import StatisticalModel
from vtrial.population.centring import Centred, Told

log = logging.getLogger(__name__)

_LEAST = 0.1
"""An effect that would be centred less is not centred at all: it is then the cheapest."""
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
        return dataclasses.replace(statistical, centring=Centred(effects) if effects else None), None
    marginal = Marginal(statistical, data, "interaction")
    try:
        fit = first_look(marginal)
    except UserError as error:
        log.warning("           no parameter is sampled centred, for the Laplace fit that decides failed: %s", error)
        return statistical, None
    return dataclasses.replace(statistical, centring=_told(effects, marginal, fit)), fit


def _told(may: tuple[str, ...], marginal: Marginal, fit: Fit) -> Told | None:
    """Return how those effects are sampled that may be centred and of which the data tell something.

    Of the effects z over L, the factor of OMEGA, data leave the covariance C: their precision is L'^-1 (C^-1 - 1) L^-1.
    """
    population = marginal.statistical.population
    draw = marginal.drawn(jnp.asarray(fit.vector))
    factor = np.asarray(jax.jit(lambda known: population.factor(known))(draw))
    own = [i for i, name in enumerate(population.effects) if name in may]
    own = [i for i, told in zip(own, _informed(fit.subjects.covariance[:, own][:, :, own]), strict=True) if told]
    for i, name in enumerate(population.effects):
        if name in may:
            left = np.clip(fit.spread[:, i], 0.0, 1.0)
            form = "by what each subject's data tell" if i in own else "non-centred"
            share = f"{100 * left.mean():.0f} % of its variance ({100 * left.min():.0f} to {100 * left.max():.0f})"
            log.info("           eta of %s: sampled %s (the data leave %s)", name, form, share)
    if not own:
        return None
    names = tuple(population.effects[i] for i in own)
    known = _root(fit.subjects.covariance[:, own][:, :, own])
    root = np.linalg.solve(factor[np.ix_(own, own)].T, known)
    around = tuple(_rounded(float(population[name].scale.location(draw[name]))) for name in names)
    return Told(names, tuple(tuple(tuple(map(_rounded, row)) for row in one) for one in root.tolist()), around)


def _informed(covariance: Float[np.ndarray, "subject effect effect"]) -> Bool[np.ndarray, " effect"]:
    """Return of which effects the data tell something, the others of a subject given."""
    precision = np.diagonal(np.linalg.inv(covariance), axis1=1, axis2=2)
    return (1.0 - 1.0 / precision).mean(0) >= _LEAST


def _root(covariance: Float[np.ndarray, "subject effect effect"]) -> Float[np.ndarray, "subject effect effect"]:
    """Return a root of what data add to the precision 1 of effects, lower triangular; what rounding takes away is 0."""
    value, vector = np.linalg.eigh(np.linalg.inv(covariance) - np.eye(covariance.shape[1]))
    added = np.einsum("sij,sj,skj->sik", vector, np.maximum(value, _NOTHING), vector)
    return np.linalg.cholesky(added)


def _rounded(x: float) -> float:
    """Return three digits: so that a fit that differs in its last ones makes the same coordinates."""
    return float(f"{x:.3g}")
