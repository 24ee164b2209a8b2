"""A CSV file as text cells, with messages that name file, row, ID and column."""

import csv
import io
from collections.abc import Sequence

import numpy as np
import polars as pl

from vtrial.errors import UserError, nearest

_MISSING = ("", ".", "NA")


class Table:
    """Cells of a file as text; numbers are taken from it column by column, each checked.

    `row` numbers the rows as an editor does: the header is row 1.
    """

    def __init__(self, frame: pl.DataFrame, name: str):
        """Wrap a frame of text columns with upper-case names."""
        number = np.arange(2, len(frame) + 2)
        blank = frame.select(
            pl.all_horizontal(pl.all().is_null() | pl.all().str.strip_chars().is_in(_MISSING))
        ).to_series()
        self.name = name
        self.row = number[~blank.to_numpy()]
        self._frame = frame.filter(~blank)
        self.columns = tuple(frame.columns)

    @staticmethod
    def parse(content: bytes, name: str) -> "Table":
        """Parse the bytes of a comma-separated file.

        Raises:
            UserError: the file is empty, is no table, or names a column twice.
        """
        try:
            frame = pl.read_csv(io.BytesIO(content), infer_schema=False, truncate_ragged_lines=False)
        except pl.exceptions.NoDataError:
            raise UserError(f"{name} is empty; it needs a header row and data rows.") from None
        except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
            raise UserError(
                f"{name} cannot be read as a comma-separated table: {str(error).splitlines()[0]}"
            ) from error
        # polars renames a column that comes twice; the header itself tells.
        header = next(csv.reader([content.split(b"\n", 1)[0].decode(errors="replace")]))
        names = [c.strip().upper() for c in header]
        for separator, word in ((";", "semicolons"), ("\t", "tabs")):
            if len(names) == 1 and separator in names[0]:
                raise UserError(f"{name} separates its columns by {word}; save it with commas.")
        for column in names:
            if names.count(column) > 1:
                raise UserError(f"{name} has column {column} twice; keep one of them.")
        frame.columns = names
        table = Table(frame, name)
        if not len(table.row):
            raise UserError(f"{name} has a header but no rows; it needs dose and observation records.")
        return table

    def require(self, *columns: str) -> None:
        """Refuse a table without one of these columns."""
        for column in columns:
            if column not in self.columns:
                raise UserError(f"{self.name} has no column {column}. {nearest(column, self.columns)}")

    def text(self, column: str) -> list[str]:
        """Return a column's cells, without surrounding blanks; missing cells as ''."""
        cells = (str(cell or "").strip() for cell in self._frame[column])
        return ["" if cell in _MISSING else cell for cell in cells]

    def where(self, position: int, column: str) -> str:
        """Name a cell: file, row, ID and column."""
        return f"{self.name}, row {self.row[position]}, ID {self.text('ID')[position] or '(none)'}, column {column}"

    def refuse(self, wrong: np.ndarray, column: str, reason: str) -> None:
        """Raise at the first row where `wrong` is true, with the value found there."""
        if wrong.any():
            position = int(np.flatnonzero(wrong)[0])
            value = self.text(column)[position] or "missing"
            others = int(wrong.sum()) - 1
            more = f" ({others} more row(s) likewise)" if others else ""
            raise UserError(f"{self.where(position, column)}: '{value}': {reason}{more}.")

    def numbers(self, column: str, *, missing: float | None = None, allowed: Sequence[float] = ()) -> np.ndarray:
        """Return a column as numbers; `missing` stands for an empty cell, which is refused without it.

        Raises:
            UserError: a cell is no finite number, or none of the `allowed` ones.
        """
        cells = self.text(column)
        value = np.full(len(cells), np.nan if missing is None else missing)
        filled = np.array([bool(cell) for cell in cells])
        if missing is None:
            self.refuse(~filled, column, "the cell is empty; it needs a number")
        for position in np.flatnonzero(filled):
            try:
                value[position] = float(cells[position])
            except ValueError:
                value[position] = np.inf
        self.refuse(
            filled & ~np.isfinite(value), column, "the cell is not a number; correct it, or mark it missing with '.'"
        )
        if allowed:
            self.refuse(
                ~np.isin(value, allowed),
                column,
                f"only {', '.join(f'{a:g}' for a in allowed)} are understood by this version",
            )
        return value

    def subjects(self) -> dict[str, np.ndarray]:
        """Return the positions of each subject's rows, in the order of the file.

        Raises:
            UserError: an ID is missing, or a subject's rows are not together.
        """
        ids = self.text("ID")
        self.refuse(np.array([not i for i in ids]), "ID", "the row has no ID")
        starts = [p for p in range(len(ids)) if p == 0 or ids[p] != ids[p - 1]]
        names = [ids[p] for p in starts]
        for number, p in enumerate(starts):
            if ids[p] in names[:number]:
                raise UserError(
                    f"{self.where(p, 'ID')}: subject {ids[p]} appeared before in other rows; keep each subject's "
                    "rows together."
                )
        return {ids[p]: np.arange(p, end) for p, end in zip(starts, [*starts[1:], len(ids)], strict=True)}
