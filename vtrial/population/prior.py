"""Priors: what is known about a population parameter before the data."""

import math
from abc import abstractmethod

import equinox as eqx
import numpyro.distributions as dist

from vtrial.errors import UserError


class AbstractPrior(eqx.Module):
    """A distribution of one positive number."""

    @abstractmethod
    def distribution(self) -> dist.Distribution:
        """Return the NumPyro distribution."""

    @abstractmethod
    def centre(self) -> float:
        """Return the median: where chains start, and what a check takes as typical."""

    @abstractmethod
    def scaled(self, factor: float) -> "AbstractPrior":
        """Return the prior of the same quantity in another unit: every value multiplied by `factor`."""

    @abstractmethod
    def describe(self, unit: str) -> str:
        """Say the prior in words, with the unit of its values."""


class LogNormalPrior(AbstractPrior):
    """Log-normal with this median and this standard deviation of the logarithm.

    `sigma` 0.3 says: within a factor 1.8 of the median with probability 95 %.
    """

    median: float = eqx.field(static=True)
    """The median, in the parameter's unit."""
    sigma: float = eqx.field(static=True)
    """Standard deviation of the logarithm."""

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not (self.median > 0 and self.sigma > 0):
            raise UserError(
                f"A log-normal prior needs median > 0 and sigma > 0, not median={self.median} and sigma={self.sigma}."
            )

    def distribution(self) -> dist.Distribution:
        """Return LogNormal(log value, sigma)."""
        return dist.LogNormal(math.log(self.median), self.sigma)

    def centre(self) -> float:
        """Return the median."""
        return self.median

    def scaled(self, factor: float) -> "LogNormalPrior":
        """Multiply the median."""
        return LogNormalPrior(self.median * factor, self.sigma)

    def describe(self, unit: str) -> str:
        """Say median and log-SD."""
        return f"log-normal, median {self.median:.4g} {unit}".rstrip() + f", log-SD {self.sigma:g}"


class HalfNormalPrior(AbstractPrior):
    """Half-normal with this scale: the positive half of a normal distribution around 0."""

    scale: float = eqx.field(static=True)
    """Standard deviation of the normal distribution; 68 % of the half-normal lies below it."""

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not self.scale > 0:
            raise UserError(f"A half-normal prior needs scale > 0, not scale={self.scale}.")

    def distribution(self) -> dist.Distribution:
        """Return HalfNormal(scale)."""
        return dist.HalfNormal(self.scale)

    def centre(self) -> float:
        """Return the median, 0.6745 times the scale."""
        return 0.6744897501960817 * self.scale

    def scaled(self, factor: float) -> "HalfNormalPrior":
        """Multiply the scale."""
        return HalfNormalPrior(self.scale * factor)

    def describe(self, unit: str) -> str:
        """Say the scale."""
        return f"half-normal, scale {self.scale:.4g} {unit}".rstrip()
