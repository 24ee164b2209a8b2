"""Covariate effects: how a subject's covariate multiplies a typical parameter."""

from abc import abstractmethod

import equinox as eqx
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
