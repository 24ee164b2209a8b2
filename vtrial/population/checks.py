"""Checks of a population against covariates: those of the data, or of virtual patients where there are no data."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from vtrial import units as units_of
from vtrial._types import Values
from vtrial.errors import UserError, nearest
from vtrial.population.parameter import Parameter
from vtrial.population.population import Population


def check_observed(
    population: Population, units: Mapping[str, str], values: Mapping[str, np.ndarray], who: Sequence[str]
) -> None:
    """Check that every covariate effect can act on the covariates [subject], or [subject span], of subjects `who`.

    Raises:
        UserError: a covariate is missing or in another unit, or makes a parameter 0, negative or not a number.
    """
    _check_effects(population, units, values, [f"ID {one}" for one in who], "data", "add it to data.covariates")
    for level, effects, covariate in (
        ("iov", population.occasion_effects, population.occasion),
        ("study", population.study_effects, population.study),
    ):
        if effects and covariate not in values:
            raise UserError(
                f"{effects[0]} has {level}, which needs covariate {covariate} in the data; add it to "
                f"data.covariates, or name another by population.{'occasion' if level == 'iov' else 'study'}."
            )


def check_virtual(population: Population, units: Mapping[str, str], values: Mapping[str, np.ndarray]) -> None:
    """Check the same against covariates [patient] of virtual patients; their occasions and studies need no covariate.

    Raises:
        UserError: as of `check_observed`.
    """
    who = ["a virtual patient"] * len(next(iter(values.values()), ()))
    _check_effects(population, units, values, who, "cohort", "give it a distribution in cohort.covariates")


def _check_effects(
    population: Population,
    units: Mapping[str, str],
    values: Mapping[str, np.ndarray],
    who: Sequence[str],
    holder: str,
    remedy: str,
) -> None:
    centre = {site: np.asarray(value) for site, value in population.centre().items()}
    for name, parameter in zip(population.names, population.parameters, strict=True):
        for key, effect in parameter.covariates.items():
            covariate = effect.covariate
            if covariate not in values:
                raise UserError(
                    f"The population uses covariate {covariate}, which is not in the {holder}; {remedy}. "
                    f"{nearest(covariate, values)}"
                )
            where = f"Covariate {covariate} of the {holder}"
            if units_of.factor(units[covariate], effect.unit, where=where) != 1.0:
                raise UserError(
                    f"Covariate {covariate} is in '{units[covariate]}' in the {holder}, but its effect on {name} takes "
                    f"'{effect.unit}'; bring the two to one unit."
                )
            value = _filled(population, covariate, values[covariate], who)
            if key in parameter.multipliers():
                factor = np.asarray(parameter.factor(name, key, centre, {covariate: value}))
                _check_factor(name, covariate, value, factor, who)
        if parameter.shifts():
            known = {e.covariate: values[e.covariate] for e in parameter.covariates.values()}
            filled = {n: _filled(population, n, value, who) for n, value in known.items()}
            _check_shifted(name, parameter, centre, filled, who)


def _filled(population: Population, covariate: str, value: np.ndarray, who: Sequence[str]) -> np.ndarray:
    """Return the values with missing ones at their centre; refuse one that is missing and has no distribution."""
    missing = np.argwhere(np.isnan(value))
    if not len(missing):
        return value
    if covariate not in population.missing:
        raise UserError(
            f"Covariate {covariate} of {who[missing[0][0]]} is missing; give its distribution over subjects as "
            f"population.missing.{covariate} to estimate it, or fill it in."
        )
    return np.where(np.isnan(value), population.missing[covariate].centre(), value)


def _check_factor(name: str, covariate: str, value: np.ndarray, factor: np.ndarray, who: Sequence[str]) -> None:
    """Refuse a factor of a parameter that is 0, negative or not a number."""
    wrong = np.argwhere(~(np.isfinite(factor) & (factor > 0)))
    if len(wrong):
        first = tuple(wrong[0])
        raise UserError(
            f"Covariate {covariate} of {who[first[0]]} is {value[first]:g}, which makes "
            f"its {name} {factor[first]:g} times the typical value; correct the covariate or the effect."
        )


def _check_shifted(
    name: str, parameter: Parameter, centre: Values, known: Mapping[str, np.ndarray], who: Sequence[str]
) -> None:
    """Refuse a typical value, shifted by covariates, that the parameter's scale does not allow."""
    typical = np.asarray(parameter.individual(name, centre, jnp.zeros(len(who)), known))
    for where in np.ndindex(typical.shape):
        if not parameter.scale.allows(float(typical[where])):
            said = ", ".join(f"{n} {value[where[: value.ndim]]:g}" for n, value in known.items())
            raise UserError(
                f"Covariates of {who[where[0]]}, {said}, make its typical {name} {typical[where]:g} {parameter.unit}, "
                f"which {type(parameter.scale).__name__} does not allow; correct the covariates or the effects."
            )
