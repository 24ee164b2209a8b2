"""The interface of a prior."""

from abc import abstractmethod

import equinox as eqx
import numpyro.distributions as dist


class AbstractPrior(eqx.Module):
    """A distribution of one number."""

    @abstractmethod
    def distribution(self) -> dist.Distribution:
        """Return the NumPyro distribution."""

    @abstractmethod
    def centre(self) -> float:
        """Return the median: where chains start, and what a check takes as typical."""

    @abstractmethod
    def scaled(self, factor: float) -> "AbstractPrior":
        """Return the prior of the same quantity in another unit: every value multiplied by `factor`."""

    @abstractmethod
    def describe(self, unit: str) -> str:
        """Say the prior in words, with the unit of its values."""

    @abstractmethod
    def positive(self) -> bool:
        """Return whether every value it allows is above 0."""
