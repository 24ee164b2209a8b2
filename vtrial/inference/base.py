"""The inference interface."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import xarray as xr
from jaxtyping import Array, Key

from vtrial.data import Dataset
from vtrial.likelihood import StatisticalModel


class AbstractInference(eqx.Module):
    """A way to get draws of the population given data."""

    @abstractmethod
    def __call__(self, key: Key[Array, ""], statistical: StatisticalModel, data: Dataset) -> Mapping[str, xr.Dataset]:
        """Return the groups `posterior` and `sample_stats`, with dimensions chain and draw.

        Raises:
            UserError: the sampler cannot start, or is asked for nothing.
        """

    @abstractmethod
    def count(self) -> int | None:
        """Return how many draws it will give; None if that is known only afterwards."""

    @abstractmethod
    def inputs(self) -> dict[str, str]:
        """Return the hashes of the files it reads beside the data, by name."""

    @abstractmethod
    def describe(self) -> str:
        """Say in words how the draws are got."""
