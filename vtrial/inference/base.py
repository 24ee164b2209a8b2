"""The inference interface."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import xarray as xr
from jaxtyping import Array, Key

from vtrial.data import Dataset
from vtrial.inference.checkpoint import Checkpoint
from vtrial.likelihood import StatisticalModel


class AbstractInference(eqx.Module):
    """A way to get draws of the population given data.

    A subclass samples whatever sites `statistical.joint(data)` has, through `UnconstrainedDensity`, and leaves names,
    units and dimensions to `groups`. An approximation says by itself how good it is: the attribute `pareto_k` of
    `sample_stats` is judged by the gate, and more than 0.7 is refused.
    """

    @abstractmethod
    def __call__(
        self,
        key: Key[Array, ""],
        statistical: StatisticalModel,
        data: Dataset,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Mapping[str, xr.Dataset]:
        """Return the groups `posterior` and `sample_stats`, with dimensions chain and draw.

        With a checkpoint a long inference saves its state now and then, and begins with a state that an interrupted one
        of the same model, data, settings and key has left: the draws are those of a run never interrupted, bit for bit.
        Whoever stores the draws clears it.

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
