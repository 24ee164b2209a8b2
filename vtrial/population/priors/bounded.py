"""Priors of numbers between two limits: fractions, probabilities, bounded parameters."""

import math

import equinox as eqx
import numpyro.distributions as dist
from numpyro.distributions.transforms import AffineTransform, SigmoidTransform
from scipy import stats

from vtrial.errors import UserError
from vtrial.population.priors.base import AbstractPrior


class LogitNormalPrior(AbstractPrior):
    """Between two limits, normal on the logit scale: with this median, and this standard deviation of the logit."""

    median: float = eqx.field(static=True)
    sigma: float = eqx.field(static=True)
    """Standard deviation of the logit."""
    lower: float = eqx.field(static=True, default=0.0)
    upper: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not (self.lower < self.median < self.upper and self.sigma > 0):
            raise UserError(
                f"A logit-normal prior needs lower < median < upper and sigma > 0, not {self.lower}, {self.median}, "
                f"{self.upper} and {self.sigma}."
            )

    def distribution(self) -> dist.Distribution:
        """Return the logistic function of a normal, stretched to the limits."""
        share = (self.median - self.lower) / (self.upper - self.lower)
        stretch = AffineTransform(self.lower, self.upper - self.lower, domain=dist.constraints.unit_interval)
        logit = dist.Normal(math.log(share / (1.0 - share)), self.sigma)
        return dist.TransformedDistribution(logit, [SigmoidTransform(), stretch])

    def centre(self) -> float:
        """Return the median."""
        return self.median

    def scaled(self, factor: float) -> "LogitNormalPrior":
        """Multiply median and limits."""
        return LogitNormalPrior(self.median * factor, self.sigma, self.lower * factor, self.upper * factor)

    def describe(self, unit: str) -> str:
        """Say median, limits and SD."""
        limits = f"between {self.lower:.4g} and {self.upper:.4g} {unit}".rstrip()
        return f"logit-normal, median {self.median:.4g} {limits}, SD of the logit {self.sigma:g}"

    def positive(self) -> bool:
        """Return whether the lower limit is not negative."""
        return self.lower >= 0


class UniformPrior(AbstractPrior):
    """Uniform between two limits."""

    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not self.lower < self.upper:
            raise UserError(f"A uniform prior needs lower < upper, not {self.lower} and {self.upper}.")

    def distribution(self) -> dist.Distribution:
        """Return Uniform(lower, upper)."""
        return dist.Uniform(self.lower, self.upper)

    def centre(self) -> float:
        """Return the middle."""
        return (self.lower + self.upper) / 2

    def scaled(self, factor: float) -> "UniformPrior":
        """Multiply the limits."""
        return UniformPrior(self.lower * factor, self.upper * factor)

    def describe(self, unit: str) -> str:
        """Say the limits."""
        return f"uniform between {self.lower:.4g} and {self.upper:.4g} {unit}".rstrip()

    def positive(self) -> bool:
        """Return whether the lower limit is not negative."""
        return self.lower >= 0


class BetaPrior(AbstractPrior):
    """Beta on 0 to 1, as if `successes` and `failures` had been seen beside one of each."""

    successes: float = eqx.field(static=True)
    failures: float = eqx.field(static=True)

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not (self.successes > -1 and self.failures > -1):
            raise UserError(
                f"A beta prior needs successes and failures above -1, not {self.successes} and {self.failures}."
            )

    def distribution(self) -> dist.Distribution:
        """Return Beta(successes + 1, failures + 1)."""
        return dist.Beta(self.successes + 1.0, self.failures + 1.0)

    def centre(self) -> float:
        """Return the median."""
        return float(stats.beta(self.successes + 1.0, self.failures + 1.0).median())

    def scaled(self, factor: float) -> "BetaPrior":
        """Return itself if the unit stays; a number between 0 and 1 has no other.

        Raises:
            UserError: the unit changes.
        """
        if factor != 1.0:
            raise UserError("A beta prior is of a number between 0 and 1; take a logit-normal prior in other units.")
        return self

    def describe(self, unit: str) -> str:
        """Say both counts."""
        return f"beta, {self.successes:g} successes and {self.failures:g} failures beside one of each"

    def positive(self) -> bool:
        """Return yes."""
        return True
