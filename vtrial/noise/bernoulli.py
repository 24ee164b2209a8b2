"""Yes or no."""

import jax
from jaxtyping import Array, Float, Key

from vtrial._types import Values
from vtrial.noise.discrete import AbstractDiscrete
from vtrial.population import AbstractPrior


class Bernoulli(AbstractDiscrete):
    """1 or 0; the prediction is the logit of the probability of 1."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return none."""
        return {}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return none."""
        return {}

    def largest(self) -> int | None:
        """Return 1."""
        return 1

    def log_probability(
        self, number: Float[Array, " obs"], prediction: Float[Array, " obs"], values: Values
    ) -> Float[Array, " obs"]:
        """Return log 1 / (1 + exp(-f)) of a 1, log 1 / (1 + exp(f)) of a 0."""
        return jax.nn.log_sigmoid((2.0 * number - 1.0) * prediction)

    def draw(self, key: Key[Array, ""], prediction: Float[Array, ""], values: Values) -> Float[Array, ""]:
        """Draw 1 or 0."""
        return (jax.random.logistic(key) + prediction > 0).astype(prediction.dtype)

    def describe(self) -> str:
        """Name the law."""
        return "Bernoulli, logit f"
