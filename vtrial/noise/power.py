"""Residual error with a power of the prediction."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.noise.base import Number, estimated, known, written
from vtrial.noise.continuous import AbstractNormal
from vtrial.noise.floor import check_floor
from vtrial.population import AbstractPrior


class Power(AbstractNormal):
    """Normal with a standard deviation proportional to a power of the prediction."""

    factor: AbstractPrior
    """Prior of the standard deviation where the prediction is 1, in the unit of the output."""
    exponent: Number
    """The power, or its prior: 0 is an additive error, 1 a proportional one."""
    least: float | None = eqx.field(static=True, default=None)
    """Least standard deviation, in the unit of the output: a prediction of 0 would otherwise have no density. Left out,
    a thousandth of the least value of the data above 0; without data, 1e-3."""

    def __check_init__(self):
        """Refuse a floor that is none."""
        check_floor("standard deviation of a power error", self.least)

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the priors of `sigma_pow` and, if it is estimated, `exponent`."""
        return {"sigma_pow": self.factor} | estimated({"exponent": self.exponent})

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return the unit of each."""
        return {name: output if name == "sigma_pow" else "" for name in self.priors()}

    def spread(self, prediction: Float[Array, " obs"], values: Values) -> Float[Array, " obs"]:
        """Return sigma_pow |f|^exponent, not below `least`."""
        size = jnp.maximum(jnp.abs(prediction), jnp.finfo(prediction.dtype).tiny)
        power = jnp.exp(known(self.exponent, "exponent", values) * jnp.log(size))
        return jnp.maximum(values["sigma_pow"] * power, self.least or 1e-3)

    def describe(self) -> str:
        """Write the formula."""
        return f"sigma_pow · f^{written(self.exponent, 'exponent')}, at least {self.least or 1e-3:g}"
