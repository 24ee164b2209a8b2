"""Proportional residual error."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from vtrial.noise.base import AbstractNoise
from vtrial.population import AbstractPrior

_FLOOR = 1e-8
"""Least standard deviation: a prediction of 0 would otherwise have no density."""


class Proportional(AbstractNoise):
    """Normal with a standard deviation proportional to the prediction."""

    proportional: AbstractPrior
    """Prior of the coefficient of variation, without unit."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of `sigma_prop`."""
        return {"sigma_prop": self.proportional}

    def units(self, output: str) -> dict[str, str]:
        """Return no unit."""
        return {"sigma_prop": ""}

    def distribution(self, prediction: Float[Array, "..."], values: Mapping[str, Array]) -> dist.Distribution:
        """Return Normal(f, sigma_prop |f|)."""
        return dist.Normal(prediction, jnp.maximum(values["sigma_prop"] * jnp.abs(prediction), _FLOOR))

    def describe(self) -> str:
        """Write the formula."""
        return "sigma_prop · f"
