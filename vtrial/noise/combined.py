"""Combined additive and proportional residual error."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.noise.base import AbstractNoise
from vtrial.noise.continuous import AbstractNormal
from vtrial.population import AbstractPrior, Fixed


class Combined(AbstractNormal):
    """Normal whose variance is the sum of an additive and a proportional part ("combined 2")."""

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
        """Return sqrt(sigma_add^2 + (sigma_prop f)^2)."""
        variance = values["sigma_add"] ** 2 + (values["sigma_prop"] * prediction) ** 2
        # The root of exactly 0 has no derivative.
        return jnp.sqrt(jnp.maximum(variance, jnp.finfo(prediction.dtype).tiny))

    def describe(self) -> str:
        """Write the formula."""
        return "sqrt(sigma_add² + (sigma_prop · f)²)"


def adding(noise: AbstractNoise) -> tuple[str, str] | None:
    """Return the short names of the two standard deviations whose variances add, if a noise estimates such ones.

    It may wrap the noise that does.
    """
    parts = jax.tree.leaves(noise, is_leaf=lambda part: isinstance(part, Combined))
    names = ("sigma_add", "sigma_prop")
    if not any(isinstance(part, Combined) for part in parts):
        return None
    return None if any(isinstance(noise.priors()[name], Fixed) for name in names) else names
