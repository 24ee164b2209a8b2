"""Real data: read once, checked completely, then held as arrays."""

from vtrial.data.dataset import Dataset, Observations
from vtrial.data.nonmem import AbstractData, NonmemTable

__all__ = ["AbstractData", "Dataset", "NonmemTable", "Observations"]
