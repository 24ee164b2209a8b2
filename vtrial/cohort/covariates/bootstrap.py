"""Covariates of the observed subjects."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial.cohort.covariates.base import AbstractCovariates
from vtrial.data import Dataset


class Bootstrap(AbstractCovariates):
    """Whole rows drawn with replacement from the observed subjects: margins and correlations are the data's own."""

    def units(self, data: Dataset) -> dict[str, str]:
        """Return the data's."""
        return dict(data.covariate_units)

    def check(self, data: Dataset) -> None:
        """Nothing can be wrong: a dataset has a subject."""

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Pick one observed subject."""
        row = jax.random.randint(key, (), 0, len(data.subjects))
        return {name: jnp.asarray(value)[row] for name, value in data.covariates.items()}

    def facts(self, key: Key[Array, ""], data: Dataset) -> dict[str, float]:
        """Tell nothing."""
        return {}

    def inputs(self) -> dict[str, str]:
        """Read no file."""
        return {}

    def describe(self) -> str:
        """Say it."""
        return "rows drawn with replacement from the observed subjects"
