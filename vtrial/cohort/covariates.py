"""Covariates of virtual patients."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from vtrial import keys, units
from vtrial.data import Dataset
from vtrial.errors import UserError, nearest


class AbstractCovariates(eqx.Module):
    """Where the covariates of virtual patients come from."""

    @abstractmethod
    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Return the covariates of one patient, in the dataset's units."""

    @abstractmethod
    def check(self, data: Dataset) -> None:
        """Check outside `jit` that every covariate of the data can be drawn; raises `UserError`."""

    @abstractmethod
    def describe(self) -> str:
        """Say in words where they come from."""


class Bootstrap(AbstractCovariates):
    """Whole rows drawn with replacement from the observed subjects: margins and correlations are the data's own."""

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Pick one observed subject."""
        row = jax.random.randint(key, (), 0, len(data.subjects))
        return {name: jnp.asarray(value)[row] for name, value in data.covariates.items()}

    def check(self, data: Dataset) -> None:
        """Nothing can be wrong: a dataset has a subject."""

    def describe(self) -> str:
        """Say it."""
        return "rows drawn with replacement from the observed subjects"


class TruncatedNormal(AbstractCovariates):
    """Independent normal covariates, each cut off at two limits.

    Args:
        unit: unit of each covariate; that of the dataset.
        mean: by covariate.
        sd: likewise, before cutting.
        lower: likewise.
        upper: likewise.
    """

    unit: Mapping[str, str] = eqx.field(static=True)
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    lower: Mapping[str, float]
    upper: Mapping[str, float]

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Draw each covariate with a key of its own."""
        return {
            n: dist.TruncatedNormal(self.mean[n], self.sd[n], low=self.lower[n], high=self.upper[n]).sample(
                keys.named(key, n)
            )
            for n in data.covariates
        }

    def check(self, data: Dataset) -> None:
        """Check that each table has each covariate of the data, and possible numbers."""
        for table, values in (("mean", self.mean), ("sd", self.sd), ("lower", self.lower), ("upper", self.upper)):
            for name in data.covariates:
                if name not in values:
                    raise UserError(
                        f"cohort.covariates.{table} lacks {name}, which the data have. {nearest(name, values)}"
                    )
        for name in data.covariates:
            given, known = self.unit.get(name, ""), data.covariate_units[name]
            if units.factor(given, known, where=f"cohort.covariates.unit.{name}") != 1.0:
                raise UserError(
                    f"cohort.covariates gives {name} in '{given}', the data have it in '{known}'; use one unit."
                )
            if not (self.sd[name] > 0 and self.lower[name] < self.upper[name]):
                raise UserError(f"cohort.covariates needs sd > 0 and lower < upper for {name}.")

    def describe(self) -> str:
        """Say each margin."""
        return "; ".join(
            f"{n} normal({self.mean[n]:g}, {self.sd[n]:g}) within {self.lower[n]:g} to {self.upper[n]:g} "
            f"{self.unit.get(n, '')}"
            for n in self.mean
        )
