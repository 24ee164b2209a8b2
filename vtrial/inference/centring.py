"""How random effects are sampled: decided for each parameter and subject by what its own data say."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np

from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference.marginal import Fit, Marginal, first_look
from vtrial.likelihood import StatisticalModel
from vtrial.population.centring import Centred, Centring, Told

log = logging.getLogger(__name__)

_LEAST = 0.1
"""An effect that would be centred less is not centred at all: it is then the cheapest."""
_LEFT = (1e-6, 1.0)
"""Bounds of the share of its variance that data leave an effect, for rounding."""
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
        return dataclasses.replace(statistical, centred=tuple((name, Centred()) for name in effects)), None
    marginal = Marginal(statistical, data, "interaction")
    try:
        fit = first_look(marginal)
    except UserError as error:
        log.warning("           no parameter is sampled centred, for the Laplace fit that decides failed: %s", error)
        return statistical, None
    return dataclasses.replace(statistical, centred=_told(effects, marginal, fit)), fit


def _told(may: tuple[str, ...], marginal: Marginal, fit: Fit) -> tuple[tuple[str, Centring], ...]:
    """Return how each effect is sampled that may be centred and of which the data tell something.

    Data of precision i leave an effect with the SD L the share 1 / (1 + i L^2) of its variance.
    """
    population, found = marginal.statistical.population, []
    draw = marginal.drawn(jnp.asarray(fit.vector))
    factor = np.asarray(jax.jit(lambda known: population.factor(known))(draw))
    for i, name in enumerate(population.effects):
        if name not in may:
            continue
        left = np.clip(fit.spread[:, i], *_LEFT)
        low, mean, high = 1.0 - left.max(), 1.0 - left.mean(), 1.0 - left.min()
        form = f"centred by {mean:.2f} ({low:.2f} to {high:.2f})" if mean >= _LEAST else "non-centred"
        log.info("           eta of %s: %s (the data leave %.0f %% of its variance)", name, form, 100 * left.mean())
        if mean >= _LEAST:
            information = (1.0 / left - 1.0) / float(factor[i, i]) ** 2
            around = float(population[name].scale.location(draw[name]))
            found.append((name, Told(tuple(_rounded(x) for x in information), _rounded(around))))
    return tuple(found)


def _rounded(x: float) -> float:
    """Return three digits: so that a fit that differs in its last ones makes the same coordinates."""
    return float(f"{x:.3g}")
