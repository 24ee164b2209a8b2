"""Covariate effects: how a subject's covariate multiplies a typical parameter."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.errors import UserError


class AbstractCovariateEffect(eqx.Module):
    """A factor on a parameter, 1 at the reference value of the covariate."""

    covariate: eqx.AbstractVar[str]
    """Name of the covariate, as in the dataset."""
    unit: eqx.AbstractVar[str]
    """Unit in which the effect takes the covariate; the dataset must have it in the same unit."""
    reference: eqx.AbstractVar[float]
    """Value at which the factor is 1."""

    @abstractmethod
    def factor(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the factor at each covariate value."""

    @abstractmethod
    def describe(self) -> str:
        """Write the factor as a formula."""


class PowerEffect(AbstractCovariateEffect):
    """(covariate / reference)^exponent: allometry, with 0.75 for clearances and 1 for volumes.

    Source: Anderson and Holford 2008, doi:10.1146/annurev.pharmtox.48.113006.094708.
    """

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    exponent: float = eqx.field(static=True)

    def __check_init__(self):
        """Refuse a reference that cannot be divided by."""
        if not self.reference > 0:
            raise UserError(f"The power effect of {self.covariate} needs reference > 0, not {self.reference}.")

    def factor(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return (value / reference)^exponent."""
        return (value / self.reference) ** self.exponent

    def describe(self) -> str:
        """Write the formula."""
        return f"({self.covariate}/{self.reference:g})^{self.exponent:g}"


class LinearEffect(AbstractCovariateEffect):
    """1 + slope (covariate - reference)."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    slope: float = eqx.field(static=True)

    def factor(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return 1 + slope (value - reference)."""
        return 1.0 + self.slope * (value - self.reference)

    def describe(self) -> str:
        """Write the formula."""
        return f"(1 + {self.slope:g} ({self.covariate} - {self.reference:g}))"


class CappedPowerEffect(AbstractCovariateEffect):
    """(min(covariate, cap) / reference)^exponent: a power effect that stops growing at the cap."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    exponent: float = eqx.field(static=True)
    cap: float = eqx.field(static=True)

    def __check_init__(self):
        """Refuse a reference that cannot be divided by, or at which the factor is not 1."""
        if not 0 < self.reference <= self.cap:
            raise UserError(
                f"The capped power effect of {self.covariate} needs 0 < reference <= cap, not reference="
                f"{self.reference} and cap={self.cap}."
            )

    def factor(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return (min(value, cap) / reference)^exponent."""
        return (jnp.minimum(value, self.cap) / self.reference) ** self.exponent

    def describe(self) -> str:
        """Write the formula."""
        return f"(min({self.covariate}, {self.cap:g})/{self.reference:g})^{self.exponent:g}"


class ExponentialEffect(AbstractCovariateEffect):
    """exp(slope (covariate - reference))."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    slope: float = eqx.field(static=True)

    def factor(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return exp(slope (value - reference))."""
        return jnp.exp(self.slope * (value - self.reference))

    def describe(self) -> str:
        """Write the formula."""
        return f"exp({self.slope:g} ({self.covariate} - {self.reference:g}))"


class SigmoidEffect(AbstractCovariateEffect):
    """f(covariate) / f(reference) with f(x) = x^hill / (half^hill + x^hill): maturation, or decline if hill < 0.

    Source: Anderson and Holford 2008, doi:10.1146/annurev.pharmtox.48.113006.094708.
    """

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    half: float = eqx.field(static=True)
    """Covariate at which f is one half."""
    hill: float = eqx.field(static=True)
    """Steepness; negative, f falls from 1 to 0."""

    def __check_init__(self):
        """Refuse what has no power."""
        if not (self.reference > 0 and self.half > 0):
            raise UserError(
                f"The sigmoid effect of {self.covariate} needs reference > 0 and half > 0, not reference="
                f"{self.reference} and half={self.half}."
            )

    def factor(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return f(value) / f(reference)."""
        return (1.0 + (self.half / self.reference) ** self.hill) / (1.0 + (self.half / value) ** self.hill)

    def describe(self) -> str:
        """Write the formula."""
        name, power = self.covariate, f"^{self.hill:g}"
        return f"f({name})/f({self.reference:g}), f(x) = x{power}/({self.half:g}{power} + x{power})"


class FactorEffect(AbstractCovariateEffect):
    """ratio^(covariate - reference): for a covariate 0 or 1, `ratio` where it is not the reference."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    ratio: float = eqx.field(static=True)
    """Parameter at covariate 1, divided by that at 0."""
    reference: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        """Refuse a ratio that makes no positive parameter."""
        if not self.ratio > 0:
            raise UserError(f"The factor effect of {self.covariate} needs ratio > 0, not {self.ratio}.")

    def factor(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return ratio^(value - reference)."""
        return self.ratio ** (value - self.reference)

    def describe(self) -> str:
        """Write the formula."""
        power = self.covariate if self.reference == 0 else f"({self.covariate} - {self.reference:g})"
        return f"{self.ratio:g}^{power}"


class CategoricalEffect(AbstractCovariateEffect):
    """A factor for each value of a covariate, such as a genotype given as a number; other values are refused.

    Args:
        covariate: its name.
        unit: of its values, usually none.
        reference: the value whose factor is 1.
        ratios: the factor at each value.
    """

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    ratios: tuple[tuple[float, float], ...] = eqx.field(static=True)
    """Pairs of value and factor."""

    def __init__(self, covariate: str, unit: str, reference: float, ratios: Mapping[float, float]):
        """Keep the ratios as pairs, for a static field is hashed."""
        self.covariate, self.unit, self.reference = covariate, unit, reference
        self.ratios = tuple((float(value), float(ratio)) for value, ratio in ratios.items())
        if dict(self.ratios).get(float(reference)) != 1.0:
            raise UserError(f"The categorical effect of {covariate} needs the factor 1 at its reference {reference}.")

    def factor(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the factor of each value; not a number where the value has none."""
        found = jnp.full_like(value, jnp.nan)
        for known, ratio in self.ratios:
            found = jnp.where(value == known, ratio, found)
        return found

    def describe(self) -> str:
        """Write the factors."""
        return f"{self.covariate} [{', '.join(f'{value:g}: {ratio:g}' for value, ratio in self.ratios)}]"
