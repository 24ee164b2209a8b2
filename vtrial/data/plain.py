"""Plain tables of numbers, such as of covariates: one row a person or an age, no dose and no observation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vtrial._resources import directory
from vtrial.data.table import Table
from vtrial.errors import UserError, nearest
from vtrial.hashes import digest


class Columns(NamedTuple):
    """Columns of a file, all of one length."""

    values: dict[str, np.ndarray]
    """By name; a missing cell is NaN."""
    source: str
    """Name of the file."""
    sha256: str
    """Hash of its bytes."""


def read_columns(path: str, names: Sequence[str], codes: Mapping[str, Mapping[str, float]] | None = None) -> Columns:
    """Read columns of a comma-separated file as numbers; a file of studies/data may be named alone.

    Args:
        path: the file.
        names: the columns; in the file they may be in any case.
        codes: for a column of words, the number that each stands for.

    Raises:
        UserError: the file or a column is not there, or a cell is no number.
    """
    file = next((f for f in (Path(path), directory("studies") / "data" / path) if f.is_file()), None)
    if file is None:
        raise UserError(f"There is no file '{path}'; give the path of a comma-separated table.")
    table, words = Table.parse(file.read_bytes(), file.name), dict(codes or {})
    table.require(*(name.upper() for name in names))
    values = {
        name: _coded(table, name.upper(), words[name]) if name in words else table.numbers(name.upper(), missing=np.nan)
        for name in names
    }
    return Columns(values, file.name, digest(file))


def _coded(table: Table, column: str, codes: Mapping[str, float]) -> np.ndarray:
    """Return a column of words as the numbers they stand for."""
    cells = table.text(column)
    for position, cell in enumerate(cells):
        if cell and cell not in codes:
            raise table.fault(position, column, f"no number is given for this word. {nearest(cell, codes)}".rstrip("."))
    return np.array([codes[cell] if cell else np.nan for cell in cells], float)
