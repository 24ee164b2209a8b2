"""Priors of numbers of either sign: coefficients of covariates, parameters that are differences."""

import equinox as eqx
import numpyro.distributions as dist

from vtrial.errors import UserError
from vtrial.population.priors.base import AbstractPrior


class NormalPrior(AbstractPrior):
    """Normal with this mean and standard deviation."""

    mean: float = eqx.field(static=True)
    sd: float = eqx.field(static=True)

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not self.sd > 0:
            raise UserError(f"A normal prior needs sd > 0, not sd={self.sd}; for a known value, write Fixed.")

    def distribution(self) -> dist.Distribution:
        """Return Normal(mean, sd)."""
        return dist.Normal(self.mean, self.sd)

    def centre(self) -> float:
        """Return the mean."""
        return self.mean

    def scaled(self, factor: float) -> "NormalPrior":
        """Multiply both."""
        return NormalPrior(self.mean * factor, self.sd * factor)

    def describe(self, unit: str) -> str:
        """Say mean and SD."""
        return f"normal, mean {self.mean:.4g} {unit}".rstrip() + f", SD {self.sd:.4g} {unit}".rstrip()

    def positive(self) -> bool:
        """Return no."""
        return False


class StudentTPrior(AbstractPrior):
    """Student t around this centre: normal-like, but forgiving if the truth lies far out."""

    median: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    degrees: float = eqx.field(static=True, default=3.0)
    """Degrees of freedom."""

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not (self.scale > 0 and self.degrees > 0):
            raise UserError(f"A Student-t prior needs scale > 0 and degrees > 0, not {self.scale} and {self.degrees}.")

    def distribution(self) -> dist.Distribution:
        """Return StudentT(degrees, median, scale)."""
        return dist.StudentT(self.degrees, self.median, self.scale)

    def centre(self) -> float:
        """Return the median."""
        return self.median

    def scaled(self, factor: float) -> "StudentTPrior":
        """Multiply centre and scale."""
        return StudentTPrior(self.median * factor, self.scale * factor, self.degrees)

    def describe(self, unit: str) -> str:
        """Say all three."""
        where = f"median {self.median:.4g} {unit}".rstrip() + f", scale {self.scale:.4g} {unit}".rstrip()
        return f"Student-t, {self.degrees:g} degrees of freedom, {where}"

    def positive(self) -> bool:
        """Return no."""
        return False
