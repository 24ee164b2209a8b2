"""Residual error that is correlated in time."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.data.dataset import Dataset
from vtrial.noise.base import refuse
from vtrial.noise.continuous import AbstractContinuous, AbstractGaussian
from vtrial.noise.law import Law
from vtrial.population import AbstractPrior


class Autoregressive(AbstractContinuous):
    """AR(1) in continuous time: the standardised errors of a subject have the correlation exp(-gap / tau).

    The likelihood of measured values is that of their joint normal law. A censored value does not inform the errors
    after it, see `AbstractContinuous`: exact where a subject's last value alone is censored, else an approximation.
    Errors of a virtual patient are drawn in order of time, so that a further sample changes those after it, though not
    their law. Source: Karlsson, Beal and Sheiner 1995, doi:10.1007/BF02353466.
    """

    error: AbstractGaussian
    """The error of one measurement."""
    tau: AbstractPrior
    """Prior of the time after which the correlation has fallen to 1/e, in the model's time unit."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the priors of the error and of `tau`."""
        return self.error.priors() | {"tau": self.tau}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return the unit of each."""
        return self.error.units(output, time) | {"tau": time}

    def law(self, prediction: Float[Array, " obs"], values: Values) -> Law:
        """Return the law of the error."""
        return self.error.law(prediction, values)

    def memory(self, gap: Float[Array, " obs"], values: Values) -> Float[Array, " obs"] | None:
        """Return -gap / tau."""
        tiny = jnp.finfo(gap.dtype).tiny ** 0.25
        return -gap / jnp.maximum(jnp.asarray(values["tau"]), tiny)

    def check_values(self, output: str, data: Dataset) -> None:
        """Refuse replicates, whose errors this law has equal, and check as the error given does."""
        self.error.check_values(output, data)
        seen = data.observations[output]
        before = seen.previous
        reason = (
            "an error correlated in time says that two measurements at one time are equal; average replicates, or "
            "choose an error that is independent"
        )
        refuse((before >= 0) & (seen.time == np.asarray(seen.time)[before]), output, data, reason)

    def describe(self) -> str:
        """Write the formula."""
        return f"{self.error.describe()}, correlation exp(-gap / tau)"
