"""How far random effects are sampled centred: decided for each parameter and subject by what its own data say."""

import dataclasses
import logging

import numpy as np

from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.marginal import Fit, Marginal, first_look
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)

_LEAST = 0.1
"""An effect that would be centred less is not centred at all: it is then the cheapest."""
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
    try:
        fit = first_look(Marginal(statistical, data, "interaction"))
    except UserError as error:
        log.warning("           no parameter is sampled centred, for the Laplace fit that decides failed: %s", error)
        return statistical, None
    return dataclasses.replace(statistical, centred=_weights(population.effects, effects, fit)), fit


def _weights(effects: tuple[str, ...], may: tuple[str, ...], fit: Fit) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Return how far each effect that may be centred is, in each subject."""
    found = []
    for name, left in zip(effects, fit.spread.T, strict=False):
        if name not in may:
            continue
        weights = np.round(np.clip(1.0 - left, 0.0, 1.0), 2)
        low, mean, high = weights.min(), weights.mean(), weights.max()
        form = f"centred by {mean:.2f} ({low:.2f} to {high:.2f})" if mean >= _LEAST else "non-centred"
        log.info("           eta of %s: %s (the data leave %.0f %% of its variance)", name, form, 100 * left.mean())
        if mean >= _LEAST:
            found.append((name, tuple(weights.tolist())))
    return tuple(found)
