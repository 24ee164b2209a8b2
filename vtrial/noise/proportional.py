"""Proportional residual error."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from vtrial.errors import UserError
from vtrial.noise.base import AbstractNoise
from vtrial.population import AbstractPrior


class Proportional(AbstractNoise):
    """Normal with a standard deviation proportional to the prediction."""

    proportional: AbstractPrior
    """Prior of the coefficient of variation, without unit."""
    least: float = eqx.field(static=True, default=1e-3)
    """Least standard deviation, in the unit of the output: a prediction of 0 would otherwise have no density."""

    def __check_init__(self):
        """Refuse a floor that is none."""
        if not self.least > 0:
            raise UserError(f"The least standard deviation of a proportional error must be positive, not {self.least}.")

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of `sigma_prop`."""
        return {"sigma_prop": self.proportional}

    def units(self, output: str) -> dict[str, str]:
        """Return no unit."""
        return {"sigma_prop": ""}

    def distribution(self, prediction: Float[Array, "..."], values: Mapping[str, Array]) -> dist.Distribution:
        """Return Normal(f, sigma_prop |f|), its SD not below `least`."""
        return dist.Normal(prediction, jnp.maximum(values["sigma_prop"] * jnp.abs(prediction), self.least))

    def describe(self) -> str:
        """Write the formula."""
        return f"sigma_prop · f, at least {self.least:g}"
