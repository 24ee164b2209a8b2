"""Covariate effects that add to a typical parameter."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.population.covariates import AbstractCovariateEffect, number, written
from vtrial.population.priors import AbstractPrior


class AbstractShift(AbstractCovariateEffect):
    """What is added to a typical parameter, 0 at the reference value of the covariate; factors multiply the sum."""

    @abstractmethod
    def shift(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return what is added at each covariate value, given the coefficients that are estimated."""

    @abstractmethod
    def scaled(self, factor: float) -> "AbstractShift":
        """Return the effect on the same parameter in another unit: its values multiplied by `factor`."""


class LinearShift(AbstractShift):
    """slope (covariate - reference), in the parameter's unit: for a covariate 0 or 1, what 1 adds.

    Args:
        covariate: its name.
        unit: of the covariate.
        reference: covariate at which nothing is added.
        slope: what one unit of the covariate adds, or its prior; in the parameter's unit over the covariate's.
    """

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    reference: float = eqx.field(static=True)
    slope: float | AbstractPrior = eqx.field(static=True)

    def shift(self, value: Float[Array, "..."], estimated: Values) -> Float[Array, "..."]:
        """Return slope (value - reference)."""
        return number("slope", self.slope, estimated) * (value - self.reference)

    def scaled(self, factor: float) -> "LinearShift":
        """Return it with the slope multiplied by the factor."""
        slope = self.slope.scaled(factor) if isinstance(self.slope, AbstractPrior) else factor * self.slope
        return LinearShift(self.covariate, self.unit, self.reference, slope)

    def coefficient_units(self, parameter: str) -> dict[str, str]:
        """Return the parameter's unit over the covariate's."""
        return {"slope": f"({parameter or '1'})/({self.unit})" if self.unit else parameter}

    def describe(self) -> str:
        """Write the formula."""
        away = self.covariate if self.reference == 0 else f"({self.covariate} - {self.reference:g})"
        return f"{written('slope', self.slope)} {away}"
