"""Priors of positive numbers."""

import math

import equinox as eqx
import numpyro.distributions as dist
from scipy import stats

from vtrial.errors import UserError
from vtrial.population.priors.base import AbstractPrior


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

    def positive(self) -> bool:
        """Return yes."""
        return True


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

    def positive(self) -> bool:
        """Return yes."""
        return True


class HalfStudentTPrior(AbstractPrior):
    """The positive half of a Student t distribution around 0: for a standard deviation that may be large.

    Source: Gelman 2006, doi:10.1214/06-BA117A.
    """

    scale: float = eqx.field(static=True)
    """Scale; about half of the distribution lies below 0.7 to 1 times it."""
    degrees: float = eqx.field(static=True, default=3.0)
    """Degrees of freedom; 1 is the half-Cauchy."""

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not (self.scale > 0 and self.degrees > 0):
            raise UserError(
                f"A half-Student-t prior needs scale > 0 and degrees > 0, not {self.scale} and {self.degrees}."
            )

    def distribution(self) -> dist.Distribution:
        """Return the folded Student t."""
        return dist.FoldedDistribution(dist.StudentT(self.degrees, 0.0, self.scale))

    def centre(self) -> float:
        """Return the median."""
        return float(self.scale * stats.t(self.degrees).ppf(0.75))

    def scaled(self, factor: float) -> "HalfStudentTPrior":
        """Multiply the scale."""
        return HalfStudentTPrior(self.scale * factor, self.degrees)

    def describe(self, unit: str) -> str:
        """Say scale and degrees of freedom."""
        return f"half-Student-t, {self.degrees:g} degrees of freedom, scale {self.scale:.4g} {unit}".rstrip()

    def positive(self) -> bool:
        """Return yes."""
        return True


class GammaPrior(AbstractPrior):
    """Gamma with this mean and coefficient of variation."""

    mean: float = eqx.field(static=True)
    """The mean, in the parameter's unit."""
    cv: float = eqx.field(static=True)
    """Standard deviation over mean: shape is 1 / cv^2."""

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not (self.mean > 0 and self.cv > 0):
            raise UserError(f"A gamma prior needs mean > 0 and cv > 0, not mean={self.mean} and cv={self.cv}.")

    def distribution(self) -> dist.Distribution:
        """Return Gamma(shape, rate)."""
        return dist.Gamma(self.cv**-2, self.cv**-2 / self.mean)

    def centre(self) -> float:
        """Return the median."""
        return float(stats.gamma(self.cv**-2, scale=self.mean * self.cv**2).median())

    def scaled(self, factor: float) -> "GammaPrior":
        """Multiply the mean."""
        return GammaPrior(self.mean * factor, self.cv)

    def describe(self, unit: str) -> str:
        """Say mean and coefficient of variation."""
        return f"gamma, mean {self.mean:.4g} {unit}".rstrip() + f", CV {100 * self.cv:g} %"

    def positive(self) -> bool:
        """Return yes."""
        return True
