"""Covariate effects, and those that multiply a typical parameter; `vtrial.population.shifts` has those that add."""

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.errors import UserError
from vtrial.population.priors import AbstractPrior

type Coefficient = float | AbstractPrior
"""A number if the coefficient is known; its prior if it is to be estimated."""


def _centre(value: Coefficient) -> float:
    return value.centre() if isinstance(value, AbstractPrior) else value


def number(name: str, value: Coefficient, estimated: Values) -> Array | float:
    """Return a coefficient's number, known or estimated."""
    return jnp.asarray(estimated[name]) if isinstance(value, AbstractPrior) else value


def written(name: str, value: Coefficient) -> str:
    """Write a known coefficient as its number, one to be estimated by its name."""
    return name if isinstance(value, AbstractPrior) else f"{value:g}"


class AbstractCovariateEffect(eqx.Module):
    """What one covariate does to a typical parameter: nothing at the reference value.

    Coefficients are numbers, or priors of numbers to be estimated: then their sites are named after parameter, effect
    and coefficient, as `CL_WT_exponent`.
    """

    covariate: eqx.AbstractVar[str]
    """Name of the covariate, as in the dataset."""
    unit: eqx.AbstractVar[str]
    """Unit in which the effect takes the covariate; the dataset must have it in the same unit."""
    reference: eqx.AbstractVar[float]
    """Value at which there is no effect."""

    def coefficients(self) -> dict[str, AbstractPrior]:
        """Return the priors of the coefficients to be estimated, by name."""
        found = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, AbstractPrior):
                found[field.name] = value
            elif isinstance(value, tuple):
                found |= {f"{key:g}": one for key, one in value if isinstance(one, AbstractPrior)}
        return found

    @abstractmethod
    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return the unit of each coefficient that has one, given the parameter's."""

    @abstractmethod
    def describe(self) -> str:
        """Write the effect as a formula."""


class AbstractMultiplier(AbstractCovariateEffect):
    """A factor on a parameter, 1 at the reference value of the covariate."""

    @abstractmethod
    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return the factor at each covariate value, given the coefficients that are estimated."""


class PowerEffect(AbstractMultiplier):
    """(covariate / reference)^exponent: allometry, with 0.75 for clearances and 1 for volumes.

    Source: Anderson and Holford 2008, doi:10.1146/annurev.pharmtox.48.113006.094708.
    """

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    exponent: float | AbstractPrior = eqx.field(static=True)

    def __check_init__(self):
        """Refuse a reference that cannot be divided by."""
        if not self.reference > 0:
            raise UserError(f"The power effect of {self.covariate} needs reference > 0, not {self.reference}.")

    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return (value / reference)^exponent."""
        return (value / self.reference) ** number("exponent", self.exponent, estimated)

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Write the formula."""
        return f"({self.covariate}/{self.reference:g})^{written('exponent', self.exponent)}"


class LinearEffect(AbstractMultiplier):
    """1 + slope (covariate - reference)."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    slope: float | AbstractPrior = eqx.field(static=True)

    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return 1 + slope (value - reference)."""
        return 1.0 + number("slope", self.slope, estimated) * (value - self.reference)

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return one over the covariate's unit."""
        return {"slope": _inverse(self.unit)}

    def describe(self) -> str:
        """Write the formula."""
        return f"(1 + {written('slope', self.slope)} ({self.covariate} - {self.reference:g}))"


class HockeyStickEffect(AbstractMultiplier):
    """1 + below (x - reference) up to the knot, and from there on with slope `above`: two lines that meet.

    For a covariate that matters on one side of a value, one of the slopes is 0.
    """

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    knot: float = eqx.field(static=True)
    """Covariate at which the lines meet."""
    below: float | AbstractPrior = eqx.field(static=True)
    above: float | AbstractPrior = eqx.field(static=True)

    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return 1 plus the height of the line at the value, minus that at the reference."""
        below, above = number("below", self.below, estimated), number("above", self.above, estimated)

        def height(x):
            return below * jnp.minimum(x - self.knot, 0.0) + above * jnp.maximum(x - self.knot, 0.0)

        return 1.0 + height(value) - height(jnp.asarray(self.reference))

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return one over the covariate's unit."""
        return dict.fromkeys(("below", "above"), _inverse(self.unit))

    def describe(self) -> str:
        """Write the formula."""
        below, above = written("below", self.below), written("above", self.above)
        name, knot = self.covariate, f"{self.knot:g}"
        return (
            f"(1 + h({name}) - h({self.reference:g})), h(x) = {below} min(x - {knot}, 0) + {above} max(x - {knot}, 0)"
        )


class CappedPowerEffect(AbstractMultiplier):
    """(min(covariate, cap) / reference)^exponent: a power effect that stops growing at the cap."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    exponent: float | AbstractPrior = eqx.field(static=True)
    cap: float = eqx.field(static=True)

    def __check_init__(self):
        """Refuse a reference that cannot be divided by, or at which the factor is not 1."""
        if not 0 < self.reference <= self.cap:
            raise UserError(
                f"The capped power effect of {self.covariate} needs 0 < reference <= cap, not reference="
                f"{self.reference} and cap={self.cap}."
            )

    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return (min(value, cap) / reference)^exponent."""
        return (jnp.minimum(value, self.cap) / self.reference) ** number("exponent", self.exponent, estimated)

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Write the formula."""
        power = written("exponent", self.exponent)
        return f"(min({self.covariate}, {self.cap:g})/{self.reference:g})^{power}"


class ExponentialEffect(AbstractMultiplier):
    """exp(slope (covariate - reference))."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    slope: float | AbstractPrior = eqx.field(static=True)

    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return exp(slope (value - reference))."""
        return jnp.exp(number("slope", self.slope, estimated) * (value - self.reference))

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return one over the covariate's unit."""
        return {"slope": _inverse(self.unit)}

    def describe(self) -> str:
        """Write the formula."""
        return f"exp({written('slope', self.slope)} ({self.covariate} - {self.reference:g}))"


class SigmoidEffect(AbstractMultiplier):
    """f(covariate) / f(reference) with f(x) = x^hill / (half^hill + x^hill): maturation, or decline if hill < 0.

    With the post-menstrual age as covariate it is the maturation of clearance, relative to that at the reference age.

    Source: Anderson and Holford 2008, doi:10.1146/annurev.pharmtox.48.113006.094708.
    """

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    half: float | AbstractPrior = eqx.field(static=True)
    """Covariate at which f is one half."""
    hill: float | AbstractPrior = eqx.field(static=True)
    """Steepness; negative, f falls from 1 to 0."""

    def __check_init__(self):
        """Refuse what has no power."""
        if not (self.reference > 0 and _centre(self.half) > 0):
            raise UserError(
                f"The sigmoid effect of {self.covariate} needs reference > 0 and half > 0, not reference="
                f"{self.reference} and half={_centre(self.half)}."
            )

    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return f(value) / f(reference)."""
        half, hill = number("half", self.half, estimated), number("hill", self.hill, estimated)
        return (1.0 + (half / self.reference) ** hill) / (1.0 + (half / value) ** hill)

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return the covariate's unit for `half`."""
        return {"half": self.unit}

    def describe(self) -> str:
        """Write the formula."""
        name, half, power = self.covariate, written("half", self.half), f"^{written('hill', self.hill)}"
        return f"f({name})/f({self.reference:g}), f(x) = x{power}/({half}{power} + x{power})"


class FactorEffect(AbstractMultiplier):
    """ratio^(covariate - reference): for a covariate 0 or 1, `ratio` where it is not the reference."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    ratio: float | AbstractPrior = eqx.field(static=True)
    """Parameter at covariate 1, divided by that at 0."""
    reference: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        """Refuse a ratio that makes no positive parameter."""
        if not _centre(self.ratio) > 0:
            raise UserError(f"The factor effect of {self.covariate} needs ratio > 0, not {_centre(self.ratio)}.")

    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return ratio^(value - reference)."""
        return number("ratio", self.ratio, estimated) ** (value - self.reference)

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Write the formula."""
        power = self.covariate if self.reference == 0 else f"({self.covariate} - {self.reference:g})"
        return f"{written('ratio', self.ratio)}^{power}"


class CategoricalEffect(AbstractMultiplier):
    """A factor for each value of a covariate, such as a genotype given as a number; other values are refused.

    Args:
        covariate: its name.
        unit: of its values, usually none.
        reference: the value whose factor is 1.
        ratios: the factor at each value, or its prior.
    """

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    ratios: tuple[tuple[float, float | AbstractPrior], ...] = eqx.field(static=True)
    """Pairs of value and factor."""

    def __init__(self, covariate: str, unit: str, reference: float, ratios: Mapping[float, float | AbstractPrior]):
        """Keep the ratios as pairs, for a static field is hashed."""
        self.covariate, self.unit, self.reference = covariate, unit, reference
        self.ratios = tuple(
            (float(value), ratio if isinstance(ratio, AbstractPrior) else float(ratio))
            for value, ratio in ratios.items()
        )
        if dict(self.ratios).get(float(reference)) != 1.0:
            raise UserError(f"The categorical effect of {covariate} needs the factor 1 at its reference {reference}.")

    def factor(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return the factor of each value; not a number where the value has none."""
        found = jnp.full_like(value, jnp.nan)
        for known, ratio in self.ratios:
            found = jnp.where(value == known, number(f"{known:g}", ratio, estimated), found)
        return found

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Write the factors."""
        return f"{self.covariate} [{', '.join(f'{v:g}: {written("ratio", ratio)}' for v, ratio in self.ratios)}]"


def _inverse(unit: str) -> str:
    return f"1/({unit})" if unit else ""
