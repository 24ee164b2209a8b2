"""Measurements that are whole numbers."""

from abc import abstractmethod
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial._types import Values
from vtrial.data.dataset import Dataset, Observations
from vtrial.noise.base import AbstractWithoutError, Visits, refuse


class AbstractDiscrete(AbstractWithoutError):
    """A measurement that is a whole number from 0, independent of those before it; it has no residual."""

    @abstractmethod
    def largest(self) -> int | None:
        """Return the largest value, if there is one."""

    @abstractmethod
    def log_probability(
        self, number: Float[Array, " obs"], prediction: Float[Array, " obs"], values: Values
    ) -> Float[Array, " obs"]:
        """Return the log probability of each number."""

    @abstractmethod
    def draw(self, key: Key[Array, ""], prediction: Float[Array, ""], values: Values) -> Float[Array, ""]:
        """Draw one number."""

    @property
    def also(self) -> tuple[str, ...]:
        """Need no other output."""
        return ()

    def check(self, output: str, data: Dataset) -> None:
        """Refuse what is no whole number of its range, and censored values."""
        seen, largest = data.observations[output], self.largest()
        refuse_censored(output, data)
        what = "a count, a whole number from 0 on" if largest is None else f"a whole number from 0 to {largest}"
        top = np.inf if largest is None else largest
        wrong = (seen.value < 0) | (seen.value > top) | (seen.value != np.round(seen.value))
        refuse(wrong, output, data, f"it must be {what}; correct DV, or choose another noise for the output")

    def log_likelihood(
        self,
        prediction: Float[Array, " obs"],
        also: Mapping[str, Float[Array, " obs"]],
        values: Values,
        seen: Observations,
    ) -> Float[Array, " obs"]:
        """Return the log probability of each observation."""
        return self.log_probability(jnp.asarray(seen.value), prediction, values)

    def replicate(
        self, prediction: Float[Array, " obs"], also: Mapping[str, Float[Array, " obs"]], values: Values, visits: Visits
    ) -> Float[Array, " obs"]:
        """Return numbers that would be observed."""
        return jax.vmap(lambda key, f: self.draw(key, f, values))(visits.own, prediction)


def refuse_censored(output: str, data: Dataset) -> None:
    """Refuse censored values; raises `UserError` at the first."""
    reason = "a censored value has no meaning here; set CENS and BLQ to 0, or leave the row out by MDV 1"
    refuse(data.observations[output].censored, output, data, reason)


def positive(prediction: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return a mean that is above 0: a numerical solution may be a little below."""
    return jnp.maximum(prediction, 1e-30)


def log_factorial(number: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return log(number!)."""
    return jax.lax.lgamma(number + 1.0)
