"""Real data: read once, checked completely, then held as arrays."""

from vtrial.data.base import AbstractData
from vtrial.data.dataset import Dataset, Doses, Observations
from vtrial.data.nobody import Nobody
from vtrial.data.nonmem import NonmemTable
from vtrial.data.plain import Columns, read_columns

__all__ = ["AbstractData", "Columns", "Dataset", "Doses", "Nobody", "NonmemTable", "Observations", "read_columns"]
