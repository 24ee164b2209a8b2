"""A CSV file as text cells, with messages that name file, row, ID and column."""

import csv
import logging
import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl

from vtrial.errors import UserError, nearest

log = logging.getLogger(__name__)

_MISSING = ("", ".", "NA")
_COMMENT = ("#", "C")


class Table:
    """Cells of a file as text; numbers are taken from it column by column, each checked.

    A column that the file does not have is missing throughout. `row` numbers the rows as an editor does: the first line
    of the file is row 1.
    """

    def __init__(self, frame: pl.DataFrame, row: np.ndarray, name: str, called: Mapping[str, str] | None = None):
        """Wrap a frame of text columns with upper-case names; `called` says what the file calls a renamed one."""
        self.name = name
        self.row = row
        self.columns = tuple(frame.columns)
        self._frame = frame
        self._called = dict(called or {})

    @staticmethod
    def parse(content: bytes, name: str) -> "Table":
        """Parse the bytes of a comma-separated file; comments and rows without any entry are left out.

        A row is a comment if it starts with `#`, or if its first cell is `C` under a first column that is named `C` or
        `#`; under a first column ID also if every other ID is a number, for then nobody is called C.

        Raises:
            UserError: the file is empty, is no table, or names a column twice.
        """
        names, lines = _lines(content, name)
        if not lines:
            raise UserError(f"{name} has a header but no rows; it needs dose and observation records.")
        _check_whole(lines, names, name)
        text = "\n".join([",".join(f"c{i}" for i in range(len(names))), *(line for _, line in lines)])
        try:
            frame = pl.read_csv(text.encode(), infer_schema=False, truncate_ragged_lines=False)
        except pl.exceptions.PolarsError as error:
            for number, line in lines:
                if (found := len(next(csv.reader([line])))) > len(names):
                    raise UserError(
                        f"{name}, row {number} cannot be read: it has {found} cells, but the header names {len(names)} "
                        "columns; a decimal comma, or a comma in a text without quotes, gives one too many."
                    ) from error
            raise UserError(
                f"{name} cannot be read as a comma-separated table: {str(error).splitlines()[0]}"
            ) from error
        frame.columns = names
        blank = frame.select(pl.all_horizontal(pl.all().is_null() | pl.all().str.strip_chars().is_in(_MISSING)))
        empty = blank.to_series().to_numpy()
        table = Table(frame.filter(~empty), np.array([number for number, _ in lines])[~empty], name)
        if not len(table.row):
            raise UserError(f"{name} has a header but no rows; it needs dose and observation records.")
        return table

    def renamed(self, columns: Mapping[str, str]) -> "Table":
        """Return the table with columns under other names: new name -> name in the file; messages keep the latter."""
        back = {old: new for new, old in columns.items()}
        # The file's own column of the new name, if there is one, stays out of the way under another name.
        kept = {new: f"{new} (not used)" for new in columns if new in self.columns and new not in back}
        return Table(self._frame.rename(kept | back), self.row, self.name, columns)

    def require(self, *columns: str, advice: str = "", among: Collection[str] | None = None) -> None:
        """Refuse a table without one of these columns.

        Args:
            columns: their names.
            advice: what else can be done, after a semicolon; COLUMN in it stands for the name.
            among: columns that may be meant; left out, all.
        """
        for column in columns:
            if column not in self.columns:
                said, known = advice.replace("COLUMN", column), self.columns if among is None else among
                raise UserError(f"{self.name} has no column {column}{said}. {nearest(column, known)}")

    def text(self, column: str) -> list[str]:
        """Return a column's cells, without surrounding blanks; missing cells as ''."""
        return self._cells(column).to_list()

    def _cells(self, column: str) -> pl.Series:
        if column not in self.columns:
            return pl.Series([""] * len(self.row), dtype=pl.String)
        cells = self._frame[column].fill_null("").str.strip_chars()
        return cells.set(cells.is_in(_MISSING), "")

    def where(self, position: int, column: str) -> str:
        """Name a cell: file, row, ID and column."""
        who = self.text("ID")[position] or "(none)"
        return f"{self.name}, row {self.row[position]}, ID {who}, column {self._called.get(column, column)}"

    def fault(self, position: int, column: str, reason: str, others: int = 0) -> UserError:
        """Return the exception that says what is wrong with a cell, and the value found there."""
        more = f" ({others} more row(s) likewise)" if others else ""
        value = self.text(column)[position] or "missing"
        return UserError(f"{self.where(position, column)}: '{value}': {reason}{more}.")

    def refuse(self, wrong: np.ndarray, column: str, reason: str) -> None:
        """Raise at the first row where `wrong` is true."""
        if wrong.any():
            raise self.fault(int(np.flatnonzero(wrong)[0]), column, reason, int(wrong.sum()) - 1)

    def numbers(self, column: str, *, missing: float | None = None, allowed: Sequence[float] = ()) -> np.ndarray:
        """Return a column as numbers; `missing` stands for an empty cell, which is refused without it.

        Raises:
            UserError: a cell is no finite number, or none of the `allowed` ones.
        """
        cells = self._cells(column)
        filled = (cells != "").to_numpy()
        if missing is None:
            self.refuse(~filled, column, "the cell is empty; it needs a number")
        value = cells.cast(pl.Float64, strict=False).fill_null(np.inf).to_numpy()
        self.refuse(
            filled & ~np.isfinite(value), column, "the cell is not a number; correct it, or mark it missing with '.'"
        )
        value = np.where(filled, value, np.nan if missing is None else missing)
        if allowed:
            self.refuse(
                ~np.isin(value, allowed),
                column,
                f"only {', '.join(f'{a:g}' for a in allowed)} are understood by this version",
            )
        return value

    def keys(self, column: str) -> list[str]:
        """Return a column's cells as names of things that may be numbers or words, see `key`."""
        return [key(cell) for cell in self.text(column)]

    def subjects(self) -> dict[str, np.ndarray]:
        """Return the positions of each subject's rows, in the order of the file.

        Raises:
            UserError: an ID is missing, or a subject's rows are not together.
        """
        ids = self.text("ID")
        self.refuse(np.array([not i for i in ids]), "ID", "the row has no ID")
        starts = [p for p in range(len(ids)) if p == 0 or ids[p] != ids[p - 1]]
        seen = set()
        for p in starts:
            if ids[p] in seen:
                raise UserError(
                    f"{self.where(p, 'ID')}: subject {ids[p]} appeared before in other rows; keep each subject's "
                    "rows together."
                )
            seen.add(ids[p])
        return {ids[p]: np.arange(p, end) for p, end in zip(starts, [*starts[1:], len(ids)], strict=True)}


def key(value: object) -> str:
    """Return one spelling of a number or a word: 1, '1' and '1.0' are equal, so are 'PCA' and 'pca'."""
    text = str(value).strip()
    return f"{float(text):.12g}" if text and _is_number(text) and text not in _MISSING else text.casefold()


def _lines(content: bytes, name: str) -> tuple[list[str], list[tuple[int, str]]]:
    """Return the names of the columns, and each row of data with its number.

    Raises:
        UserError: the file is empty or no text, or its header is none.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} cannot be read as a comma-separated table: it is not UTF-8 text; save it as CSV in UTF-8."
        ) from error
    lines = [(n, line) for n, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1) if line.strip()]
    header = next(
        (i for i, (_, line) in enumerate(lines) if not _first(line).startswith("#") or _is_header(line)), None
    )
    if header is None:
        raise UserError(f"{name} is empty; it needs a header row and data rows.")
    names = _names(lines[header][1], name)
    comments = _COMMENT if names[0] in _COMMENT else ("#",)
    rows = lines[header + 1 :]
    if names[0] == "ID" and all(
        _is_number(_first(line))
        for _, line in rows
        if not _first(line).startswith(_COMMENT[:1]) and _first(line) != "C"
    ):
        comments = _COMMENT
    kept = [(n, line) for n, line in rows if not line.lstrip(' "').startswith("#") and _first(line) not in comments]
    if len(kept) < len(rows):
        log.info("%s: %d comment row(s) left out", name, len(rows) - len(kept))
    return names, kept


def _check_whole(lines: Sequence[tuple[int, str]], names: Sequence[str], name: str) -> None:
    """Refuse a row with fewer cells than columns, whose last cells would be taken as missing; raises `UserError`."""
    needed = max(i for i, column in enumerate(names, start=1) if column != _nameless(i))
    for number, line in lines:
        cells = len(next(csv.reader([line]), [])) if '"' in line else line.count(",") + 1
        if cells < needed and line.strip(', "'):
            raise UserError(
                f"{name}, row {number} cannot be read: it has {cells} cell(s), but the header names "
                f"{needed} columns; complete it, with '.' or nothing between commas for what is missing."
            )


def _nameless(place: int) -> str:
    """Name a column without a name by its place."""
    return f"(column {place})"


def _first(line: str) -> str:
    return line.split(",", 1)[0].strip(' "')


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in _MISSING
    return True


def _is_header(line: str) -> bool:
    """Return whether a line that starts with `#` is a header all the same, such as `#ID,TIME,DV`."""
    return {"ID", "TIME"} <= {c.strip(' "').upper() for c in line.lstrip(' "#').split(",")}


def _names(header: str, name: str) -> list[str]:
    """Return the names of the columns in upper case; a column without one is named by its place."""
    names = [c.strip().upper() for c in next(csv.reader([header]))]
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), (" ", "blanks")):
        if len(names) == 1 and separator in names[0]:
            raise UserError(f"{name} separates its columns by {word}; save it with commas.")
    names[0] = names[0].lstrip("#") or names[0][:1]
    for column in filter(None, names):
        if names.count(column) > 1:
            raise UserError(f"{name} has column {column} twice; keep one of them.")
    return [column or _nameless(i) for i, column in enumerate(names, start=1)]
