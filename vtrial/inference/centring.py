"""How far random effects are sampled centred: decided for each parameter and subject by what its own data say."""

import dataclasses
import logging

import jax.numpy as jnp
import numpy as np

from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.marginal import Fit, Marginal, first_look
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)

_LEAST = 0.1
"""An effect that would be centred less is not centred at all: it is then the cheapest."""
_DOWN = 2.0
"""By so many of its standard errors is the SD of an effect lowered."""
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

    A normal effect of which the data leave the share 1 - w of its variance is independent of its mean where it is
    centred by w (Papaspiliopoulos, Roberts and Skold 2007, doi:10.1214/088342307000000014).

    Args:
        statistical: the model.
        data: the observed data.
        rule: `all`, `none`, or `auto`, which takes a Laplace fit to see what the data leave open.

    Returns:
        The model, and that fit; None if there is none.
    """
    population = statistical.population
    if rule == "none" or not population.effects:
        return statistical, None
    # A subject whose class is not known has no typical value to be centred on.
    effects = tuple(name for name in population.effects if name not in population.by_class)
    if rule == "all":
        return dataclasses.replace(statistical, centred=tuple((name, 1.0) for name in effects)), None
    marginal = Marginal(statistical, data, "interaction")
    try:
        fit = first_look(marginal)
    except UserError as error:
        log.warning("           no parameter is sampled centred, for the Laplace fit that decides failed: %s", error)
        return statistical, None
    return dataclasses.replace(statistical, centred=_weights(effects, marginal, fit)), fit


def _left(marginal: Marginal, fit: Fit) -> dict[str, np.ndarray]:
    """Return the share of its variance that each effect has left [subject], were its SD at its least plausible value.

    Information i of the data leaves 1 / (1 + i omega^2). Where omega is small the effect has the more left, and chains
    that come there have to be at ease there too.
    """
    density, effects = marginal.density, marginal.statistical.population.effects
    shift = np.zeros(density.size)
    for where, _ in (place for name, place in density.places.items() if name.endswith("_iiv")):
        shift[where] = -_DOWN * np.sqrt(np.diagonal(fit.covariance)[where])
    here, low = (marginal.drawn(jnp.asarray(v)) for v in (fit.vector, fit.vector + shift))
    found = {}
    for i, name in enumerate(effects):
        ratio = float(low[f"{name}_iiv"] / here[f"{name}_iiv"])
        found[name] = 1.0 / (1.0 + ratio**2 * (1.0 / np.clip(fit.spread[:, i], 1e-9, 1.0) - 1.0))
    return found


def _weights(may: tuple[str, ...], marginal: Marginal, fit: Fit) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Return how far each effect that may be centred is, in each subject."""
    found = []
    for name, left in _left(marginal, fit).items():
        if name not in may:
            continue
        weights = np.round(1.0 - left, 2)
        low, mean, high = weights.min(), weights.mean(), weights.max()
        form = f"centred by {mean:.2f} ({low:.2f} to {high:.2f})" if mean >= _LEAST else "non-centred"
        log.info("           eta of %s: %s (the data leave %.0f %% of its variance)", name, form, 100 * left.mean())
        if mean >= _LEAST:
            found.append((name, tuple(weights.tolist())))
    return tuple(found)
