"""Combined additive and proportional residual error."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from vtrial.noise.base import AbstractNoise
from vtrial.population import AbstractPrior


class Combined(AbstractNoise):
    """Normal whose variance is the sum of an additive and a proportional part ("combined 2")."""

    additive: AbstractPrior
    """Prior of the additive standard deviation, in the unit of the output."""
    proportional: AbstractPrior
    """Prior of the proportional coefficient of variation, without unit."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the priors of `sigma_add` and `sigma_prop`."""
        return {"sigma_add": self.additive, "sigma_prop": self.proportional}

    def units(self, output: str) -> dict[str, str]:
        """Return the unit of each part."""
        return {"sigma_add": output, "sigma_prop": ""}

    def distribution(self, prediction: Float[Array, "..."], values: Mapping[str, Array]) -> dist.Distribution:
        """Return Normal(f, sqrt(sigma_add^2 + (sigma_prop f)^2))."""
        variance = values["sigma_add"] ** 2 + (values["sigma_prop"] * prediction) ** 2
        return dist.Normal(prediction, jnp.sqrt(variance))

    def describe(self) -> str:
        """Write the formula."""
        return "sqrt(sigma_add² + (sigma_prop · f)²)"
