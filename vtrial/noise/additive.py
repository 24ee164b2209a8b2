"""Additive residual error."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.noise.continuous import AbstractNormal
from vtrial.population import AbstractPrior


class Additive(AbstractNormal):
    """Normal with the same standard deviation everywhere."""

    additive: AbstractPrior
    """Prior of the standard deviation, in the unit of the output."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of `sigma_add`."""
        return {"sigma_add": self.additive}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return the unit of the output."""
        return {"sigma_add": output}

    def spread(self, prediction: Float[Array, " obs"], values: Values) -> Float[Array, " obs"]:
        """Return sigma_add."""
        return jnp.broadcast_to(jnp.asarray(values["sigma_add"]), prediction.shape)

    def describe(self) -> str:
        """Write the formula."""
        return "sigma_add"
