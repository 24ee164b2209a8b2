"""A value that is known, or held: not estimated."""

import equinox as eqx
import numpyro.distributions as dist

from vtrial.population.priors.base import AbstractPrior


class Fixed(AbstractPrior):
    """A number held at one value: it is not sampled, and every draw has it."""

    value: float = eqx.field(static=True)

    def distribution(self) -> dist.Distribution:
        """Return all the mass at the value."""
        return dist.Delta(self.value)

    def centre(self) -> float:
        """Return the value."""
        return self.value

    def scaled(self, factor: float) -> "Fixed":
        """Multiply the value."""
        return Fixed(self.value * factor)

    def describe(self, unit: str) -> str:
        """Say that it is held."""
        return f"fixed at {self.value:.6g} {unit}".rstrip()

    def positive(self) -> bool:
        """Return whether the value is."""
        return self.value > 0
