"""Additive residual error."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from vtrial.noise.base import AbstractNoise
from vtrial.population import AbstractPrior


class Additive(AbstractNoise):
    """Normal with the same standard deviation everywhere."""

    additive: AbstractPrior
    """Prior of the standard deviation, in the unit of the output."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of `sigma_add`."""
        return {"sigma_add": self.additive}

    def units(self, output: str) -> dict[str, str]:
        """Return the unit of the output."""
        return {"sigma_add": output}

    def distribution(self, prediction: Float[Array, "..."], values: Mapping[str, Array]) -> dist.Distribution:
        """Return Normal(f, sigma_add)."""
        return dist.Normal(prediction, jnp.broadcast_to(values["sigma_add"], prediction.shape))

    def describe(self) -> str:
        """Write the formula."""
        return "sigma_add"
