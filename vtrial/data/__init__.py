"""Real data: read once, checked completely, then held as arrays."""

from vtrial.data.base import AbstractData
from vtrial.data.dataset import Dataset, Doses, Observations
from vtrial.data.nonmem import NonmemTable

__all__ = ["AbstractData", "Dataset", "Doses", "NonmemTable", "Observations"]
