"""Distributions of one covariate, to be joined by a copula."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import ndtr
from jaxtyping import Array, Float
from scipy import special

from vtrial.data import read_columns
from vtrial.errors import UserError

_SCORES = np.linspace(-8.0, 8.0, 8001)
"""Where quantiles without a formula are tabulated."""


class AbstractMargin(eqx.Module):
    """The distribution of one covariate, as the function from a standard normal score to the value of that rank."""

    unit: eqx.AbstractVar[str]
    """Unit of the covariate; "" has none."""

    @abstractmethod
    def value(self, score: Float[Array, ""]) -> Float[Array, ""]:
        """Return the value whose rank in this distribution is that of `score` among standard normals."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class LogNormalMargin(AbstractMargin):
    """median exp(sigma z)."""

    unit: str = eqx.field(static=True)
    median: float
    sigma: float
    """SD of the logarithm."""

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not (self.median > 0 and self.sigma > 0):
            raise UserError(f"A log-normal margin needs median > 0 and sigma > 0, not {self.median} and {self.sigma}.")

    def value(self, score: Float[Array, ""]) -> Float[Array, ""]:
        """Return the quantile."""
        return self.median * jnp.exp(self.sigma * score)

    def describe(self) -> str:
        """Say it."""
        return f"log-normal (median {self.median:g} {self.unit}, log-SD {self.sigma:g})"


class TruncatedNormalMargin(AbstractMargin):
    """Normal, cut off at two limits; mean and SD are those before cutting."""

    unit: str = eqx.field(static=True)
    mean: float
    sd: float
    lower: float
    upper: float

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not (self.sd > 0 and self.lower < self.upper):
            raise UserError(
                f"A truncated normal margin needs sd > 0 and lower < upper, not sd={self.sd}, lower={self.lower} and "
                f"upper={self.upper}."
            )

    def value(self, score: Float[Array, ""]) -> Float[Array, ""]:
        """Return the quantile."""
        law = dist.TruncatedNormal(self.mean, self.sd, low=self.lower, high=self.upper)
        return jnp.asarray(law.icdf(ndtr(score)))

    def describe(self) -> str:
        """Say it."""
        return f"normal ({self.mean:g}, SD {self.sd:g}) within {self.lower:g} to {self.upper:g} {self.unit}".rstrip()


class GammaMargin(AbstractMargin):
    """Gamma with a mean and a coefficient of variation (SD over mean).

    Its quantiles are read from a table of logarithms, between whose points a straight line is right within 1e-6.
    """

    unit: str = eqx.field(static=True)
    mean: float
    cv: float
    logarithms: Float[np.ndarray, " score"]
    """Logarithm of the value at each of `_SCORES`."""

    def __init__(self, unit: str, mean: float, cv: float):
        """Tabulate the quantiles, each from the tail it is nearer to."""
        if not (mean > 0 and cv > 0):
            raise UserError(f"A gamma margin needs mean > 0 and cv > 0, not {mean} and {cv}.")
        self.unit, self.mean, self.cv = unit, mean, cv
        shape, tail = 1.0 / cv**2, special.ndtr(-np.abs(_SCORES))
        standard = np.where(_SCORES < 0, special.gammaincinv(shape, tail), special.gammainccinv(shape, tail))
        self.logarithms = np.log(np.maximum(standard * mean / shape, np.finfo(float).tiny))

    def value(self, score: Float[Array, ""]) -> Float[Array, ""]:
        """Return the quantile."""
        return jnp.exp(jnp.interp(score, _SCORES, jnp.asarray(self.logarithms)))

    def describe(self) -> str:
        """Say it."""
        return f"gamma (mean {self.mean:g} {self.unit}, CV {100 * self.cv:g} %)"


class UniformMargin(AbstractMargin):
    """Equally likely from one limit to the other."""

    unit: str = eqx.field(static=True)
    lower: float
    upper: float

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not self.lower < self.upper:
            raise UserError(f"A uniform margin needs lower < upper, not {self.lower} and {self.upper}.")

    def value(self, score: Float[Array, ""]) -> Float[Array, ""]:
        """Return the quantile."""
        return self.lower + (self.upper - self.lower) * ndtr(score)

    def describe(self) -> str:
        """Say it."""
        return f"uniform from {self.lower:g} to {self.upper:g} {self.unit}".rstrip()


class EmpiricalMargin(AbstractMargin):
    """The values of a column of a comma-separated table, each as likely as it is frequent; missing ones are left out.

    Args:
        path: the file.
        column: its column.
        unit: its unit.
    """

    unit: str = eqx.field(static=True)
    values: Float[np.ndarray, " value"]
    """Ascending."""
    file: tuple[str, str, str] = eqx.field(static=True)
    """Name and hash of the file, and the column."""

    def __init__(self, path: str, column: str, unit: str):
        """Read the column."""
        read = read_columns(path, (column,))
        values = read.values[column]
        self.values = np.sort(values[~np.isnan(values)])
        self.unit, self.file = unit, (read.source, read.sha256, column)
        if not len(self.values):
            raise UserError(f"Column {column} of {read.source} has no number.")

    def value(self, score: Float[Array, ""]) -> Float[Array, ""]:
        """Return the quantile."""
        place = jnp.floor(ndtr(score) * len(self.values)).astype(int)
        return jnp.asarray(self.values)[jnp.minimum(place, len(self.values) - 1)]

    def describe(self) -> str:
        """Say it."""
        return f"as {self.file[2]} in {self.file[0]} ({len(self.values)} values)"


class CategoricalMargin(AbstractMargin):
    """A few values, each with a probability; with others in a copula they are ranked as they are written.

    Args:
        probability: by value; together 1.
        unit: of the values, usually none.
    """

    unit: str = eqx.field(static=True)
    values: tuple[float, ...] = eqx.field(static=True)
    shares: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, probability: Mapping[float, float], unit: str = ""):
        """Keep values and probabilities in order."""
        self.unit = unit
        self.values, self.shares = tuple(map(float, probability)), tuple(map(float, probability.values()))
        if not (self.shares and min(self.shares) >= 0 and abs(sum(self.shares) - 1.0) < 1e-9):
            raise UserError(
                f"The probabilities of a categorical margin must be 0 or more and 1 together; {self.shares} are "
                f"{sum(self.shares):g}."
            )

    def value(self, score: Float[Array, ""]) -> Float[Array, ""]:
        """Return the quantile."""
        bounds = jnp.asarray(np.cumsum(self.shares)[:-1])
        return jnp.asarray(self.values)[jnp.searchsorted(bounds, ndtr(score), side="right")]

    def describe(self) -> str:
        """Say it."""
        each = zip(self.values, self.shares, strict=True)
        return ", ".join(f"{value:g}: {100 * share:g} %" for value, share in each)
