"""Which random effects are sampled centred: decided for each parameter by how much a subject's own data say of it."""

import dataclasses
import logging

import numpy as np

from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.marginal import Marginal, first_look
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)

_RICH = 0.2
"""Centred where the data leave less than this share of the variance of a subject's effect, on average over subjects.

Half the variance is where both forms sample a normal effect equally well (Papaspiliopoulos, Roberts and Skold 2007,
doi:10.1214/088342307000000014); a smaller share keeps omegas whose posterior comes near 0, where the centred form has
a funnel, out of it.
"""
_RULES = ("auto", "none", "all")


def check_centring(rule: str) -> None:
    """Refuse a rule that does not exist.

    Raises:
        UserError: naming those there are.
    """
    if rule not in _RULES:
        raise UserError(f"inference.centring is '{rule}'. {nearest(rule, _RULES)}")


def centred(statistical: StatisticalModel, data: Dataset, rule: str) -> StatisticalModel:
    """Return the model with the parameters to be sampled centred: the same posterior, better or worse to sample.

    Args:
        statistical: the model.
        data: the observed data.
        rule: `all`, `none`, or `auto`, which takes a Laplace fit to see what the data leave open.
    """
    if rule == "none" or not statistical.population.effects:
        return statistical
    population = statistical.population
    chosen = population.effects if rule == "all" else _by_information(statistical, data)
    # A subject whose class is not known has no typical value to be centred on.
    return dataclasses.replace(statistical, centred=tuple(n for n in chosen if n not in population.by_class))


def _by_information(statistical: StatisticalModel, data: Dataset) -> tuple[str, ...]:
    effects = statistical.population.effects
    try:
        fit = first_look(Marginal(statistical, data, "interaction"))
    except UserError as error:
        log.warning("           no parameter is sampled centred, for the Laplace fit that decides failed: %s", error)
        return ()
    left = fit.spread[:, : len(effects)].mean(0)
    for name, share in zip(effects, left, strict=True):
        form = "centred" if share < _RICH else "non-centred"
        log.info("           eta of %s: %s (the data leave %.0f %% of its variance)", name, form, 100 * share)
    return tuple(np.array(effects)[left < _RICH].tolist())
