"""The residual-error interface."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import numpyro.distributions as dist
from jaxtyping import Array, Float

from vtrial.population import AbstractPrior


class AbstractNoise(eqx.Module):
    """The distribution of a measurement around its prediction, with parameters of its own."""

    @abstractmethod
    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of each of its parameters, by short name."""

    @abstractmethod
    def units(self, output: str) -> dict[str, str]:
        """Return the unit of each of its parameters, given the unit of the output."""

    @abstractmethod
    def distribution(self, prediction: Float[Array, "..."], values: Mapping[str, Array]) -> dist.Distribution:
        """Return the distribution of measurements around `prediction`, given values of its parameters."""

    @abstractmethod
    def describe(self) -> str:
        """Write the standard deviation as a formula in f, the prediction."""
