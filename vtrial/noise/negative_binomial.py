"""Counts that vary more than a Poisson law's."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial._types import Values
from vtrial.noise.discrete import AbstractDiscrete, log_factorial, positive
from vtrial.noise.poisson import draw_poisson
from vtrial.population import AbstractPrior

_SMALL = 1e-4


class NegativeBinomial(AbstractDiscrete):
    """A count whose mean is the prediction f and whose variance is f + overdispersion f^2."""

    overdispersion: AbstractPrior
    """Prior of the overdispersion, without unit; 0 would be a Poisson law."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of `overdispersion`."""
        return {"overdispersion": self.overdispersion}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return no unit."""
        return {"overdispersion": ""}

    def largest(self) -> int | None:
        """Return that there is none."""
        return None

    def log_probability(
        self, number: Float[Array, " obs"], prediction: Float[Array, " obs"], values: Values
    ) -> Float[Array, " obs"]:
        """Return the log probability, with size 1 / overdispersion."""
        a, mean = _least(values["overdispersion"]), positive(prediction)
        size, more = 1.0 / a, jnp.log1p(a * mean)
        # log of (1)(1 + a)...(1 + (k - 1) a), which cancels where a k is small: there by its series.
        near = a * number < _SMALL
        series = a * number * (number - 1.0) / 2.0 * (1.0 - a * (2.0 * number - 1.0) / 6.0)
        rising = jax.lax.lgamma(number + size) - jax.lax.lgamma(jnp.broadcast_to(size, number.shape))
        product = jnp.where(near, series, rising + number * jnp.log(a))
        return product + number * (jnp.log(mean) - more) - size * more - log_factorial(number)

    def draw(self, key: Key[Array, ""], prediction: Float[Array, ""], values: Values) -> Float[Array, ""]:
        """Draw a Poisson count whose mean is drawn from a gamma law."""
        a = _least(values["overdispersion"])
        first, second = jax.random.split(key)
        mean = positive(prediction) * a * jax.random.gamma(first, 1.0 / a, dtype=prediction.dtype)
        return draw_poisson(second, mean)

    def describe(self) -> str:
        """Write the variance."""
        return "negative binomial, variance f + overdispersion · f²"


def _least(overdispersion: Array | np.ndarray) -> Float[Array, ""]:
    """Keep it so far from 0 that its inverse is no infinity."""
    return jnp.maximum(jnp.asarray(overdispersion), 1e-12)
