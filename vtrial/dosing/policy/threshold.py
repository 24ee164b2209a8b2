"""Thresholds of what is observed."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Bool, Float

from vtrial import units


class AbstractThreshold(eqx.Module):
    """A limit that an observation may be beyond."""

    limit: eqx.AbstractVar[str]
    """With its unit, for example "15 mg/L"."""

    @abstractmethod
    def met(self, observed: Float[Array, ""], unit: str) -> Bool[Array, ""]:
        """Return whether an observation, in `unit`, is beyond the limit."""

    @abstractmethod
    def describe(self) -> str:
        """Say it."""

    def value(self, unit: str) -> float:
        """Return the limit in `unit`; raises `UserError` if it is of another kind."""
        return units.quantity(self.limit, unit, where="The limit of a policy's threshold")


class Above(AbstractThreshold):
    """More than the limit."""

    limit: str = eqx.field(static=True)

    def met(self, observed: Float[Array, ""], unit: str) -> Bool[Array, ""]:
        """Compare."""
        return observed > self.value(unit)

    def describe(self) -> str:
        """Say it."""
        return f"above {self.limit}"


class Below(AbstractThreshold):
    """Less than the limit."""

    limit: str = eqx.field(static=True)

    def met(self, observed: Float[Array, ""], unit: str) -> Bool[Array, ""]:
        """Compare."""
        return observed < self.value(unit)

    def describe(self) -> str:
        """Say it."""
        return f"below {self.limit}"
