"""The interface of a source of data."""

from abc import abstractmethod

import equinox as eqx

from vtrial.data.dataset import Dataset
from vtrial.model import AbstractModel


class AbstractData(eqx.Module):
    """A source of observed subjects."""

    @abstractmethod
    def read(self, model: AbstractModel) -> Dataset:
        """Read, check and convert to the model's units; raises `UserError` at the first thing that is wrong."""
