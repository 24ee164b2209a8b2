"""Combined residual error whose standard deviations add up."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.noise.continuous import AbstractNormal
from vtrial.population import AbstractPrior


class Combined1(AbstractNormal):
    """Normal whose standard deviation is the sum of an additive and a proportional part ("combined 1")."""

    additive: AbstractPrior
    """Prior of the additive standard deviation, in the unit of the output."""
    proportional: AbstractPrior
    """Prior of the proportional coefficient of variation, without unit."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the priors of `sigma_add` and `sigma_prop`."""
        return {"sigma_add": self.additive, "sigma_prop": self.proportional}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return the unit of each part."""
        return {"sigma_add": output, "sigma_prop": ""}

    def spread(self, prediction: Float[Array, " obs"], values: Values) -> Float[Array, " obs"]:
        """Return sigma_add + sigma_prop |f|."""
        return jnp.asarray(values["sigma_add"] + values["sigma_prop"] * jnp.abs(prediction))

    def describe(self) -> str:
        """Write the formula."""
        return "sigma_add + sigma_prop · f"
