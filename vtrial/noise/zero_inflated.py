"""Counts with more zeros than a Poisson law has."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial._types import Values
from vtrial.noise.discrete import AbstractDiscrete, positive
from vtrial.noise.poisson import draw_poisson, log_poisson
from vtrial.population import AbstractPrior


class ZeroInflatedPoisson(AbstractDiscrete):
    """A count that is 0 with the probability odds / (1 + odds), and else Poisson; its mean is the prediction f.

    The Poisson part has the mean f (1 + odds). Source: Lambert 1992, doi:10.2307/1269547.
    """

    odds: AbstractPrior
    """Prior of the odds of an excess zero, without unit; 0.25 is a probability of 20 %."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of `zero_odds`."""
        return {"zero_odds": self.odds}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return no unit."""
        return {"zero_odds": ""}

    def largest(self) -> int | None:
        """Return that there is none."""
        return None

    def log_probability(
        self, number: Float[Array, " obs"], prediction: Float[Array, " obs"], values: Values
    ) -> Float[Array, " obs"]:
        """Return log((odds [k = 0] + Poisson(k)) / (1 + odds))."""
        odds = jnp.asarray(values["zero_odds"])
        counted = log_poisson(number, positive(prediction) * (1.0 + odds))
        zero = jnp.log(odds + jnp.exp(jnp.where(number == 0, counted, 0.0)))
        return jnp.where(number == 0, zero, counted) - jnp.log1p(odds)

    def draw(self, key: Key[Array, ""], prediction: Float[Array, ""], values: Values) -> Float[Array, ""]:
        """Draw one count."""
        odds = jnp.asarray(values["zero_odds"])
        first, second = jax.random.split(key)
        count = draw_poisson(second, positive(prediction) * (1.0 + odds))
        return jnp.where(jax.random.uniform(first) * (1.0 + odds) < odds, 0.0, count)

    def describe(self) -> str:
        """Name the law."""
        return "zero-inflated Poisson with mean f, odds zero_odds of an excess zero"
