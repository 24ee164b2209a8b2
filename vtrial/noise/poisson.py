"""Counts with a Poisson law."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial._types import Values
from vtrial.noise.discrete import AbstractDiscrete, log_factorial, positive
from vtrial.population import AbstractPrior


class Poisson(AbstractDiscrete):
    """A count whose mean, and variance, is the prediction."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return none."""
        return {}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return none."""
        return {}

    def largest(self) -> int | None:
        """Return that there is none."""
        return None

    def log_probability(
        self, number: Float[Array, " obs"], prediction: Float[Array, " obs"], values: Values
    ) -> Float[Array, " obs"]:
        """Return k log f - f - log k!."""
        return log_poisson(number, positive(prediction))

    def draw(self, key: Key[Array, ""], prediction: Float[Array, ""], values: Values) -> Float[Array, ""]:
        """Draw one count."""
        return draw_poisson(key, positive(prediction))

    def describe(self) -> str:
        """Name the law."""
        return "Poisson(f)"


def log_poisson(number: Float[Array, " obs"], mean: Float[Array, " obs"]) -> Float[Array, " obs"]:
    """Return the log probability of a count, given its mean above 0."""
    return number * jnp.log(mean) - mean - log_factorial(number)


def draw_poisson(key: Key[Array, ""], mean: Float[Array, ""]) -> Float[Array, ""]:
    """Draw a count, given its mean."""
    return jax.random.poisson(key, mean).astype(mean.dtype)
