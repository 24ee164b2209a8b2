"""Proportional residual error."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.noise.continuous import AbstractNormal
from vtrial.noise.floor import check_floor
from vtrial.population import AbstractPrior


class Proportional(AbstractNormal):
    """Normal with a standard deviation proportional to the prediction."""

    proportional: AbstractPrior
    """Prior of the coefficient of variation, without unit."""
    least: float | None = eqx.field(static=True, default=None)
    """Least standard deviation, in the unit of the output: a prediction of 0 would otherwise have no density. Left out,
    a thousandth of the least value of the data above 0; without data, 1e-3."""

    def __check_init__(self):
        """Refuse a floor that is none."""
        check_floor("standard deviation of a proportional error", self.least)

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of `sigma_prop`."""
        return {"sigma_prop": self.proportional}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return no unit."""
        return {"sigma_prop": ""}

    def spread(self, prediction: Float[Array, " obs"], values: Values) -> Float[Array, " obs"]:
        """Return sigma_prop |f|, not below `least`."""
        return jnp.maximum(values["sigma_prop"] * jnp.abs(prediction), self.least or 1e-3)

    def describe(self) -> str:
        """Write the formula."""
        return f"sigma_prop · f, at least {self.least or 1e-3:g}"
