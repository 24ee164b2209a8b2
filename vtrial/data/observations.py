"""Observations: DV, MDV, DVID, and whether a value is censored."""

import logging
from collections.abc import Callable, Mapping

import numpy as np

from vtrial.data.censoring import read_marks
from vtrial.data.dataset import Observations
from vtrial.data.table import Table, key
from vtrial.errors import UserError

log = logging.getLogger(__name__)

type Seen = dict[int, tuple[str, float, float, float]]
"""Position of a row -> output observed there, its value and the ends of its interval, all in the output's unit."""


def read_observations(
    table: Table,
    event: np.ndarray,
    outputs: Mapping[str, int | str],
    factor: Callable[[str], float],
    *,
    censored: str,
) -> Seen:
    """Return the observations.

    Args:
        table: the file.
        event: EVID of each row.
        outputs: for each output its number or name in DVID, see `NonmemTable`.
        factor: what DV is multiplied with for an output.
        censored: what to do with censored values, one of `CENSORED`.

    Raises:
        UserError: an observation has no value, no output, or is censored.
    """
    marks = read_marks(table)
    value = marks.filled(table.numbers("DV", missing=np.nan))
    rows = _observed(table, event, value)
    if not rows.any():
        raise UserError(f"{table.name} has no observation (EVID 0 with MDV 0); there is nothing to calibrate with.")
    which = _outputs(table, rows, outputs)
    columns = marks.intervals(table, rows, value)
    dropped = marks.judge(table, rows, value, censored)
    scale = {output: factor(output) for output in outputs}
    found: Seen = {}
    for r in np.flatnonzero(rows & ~dropped).tolist():
        shown, lower, upper = (float(column[r] * scale[which[r]]) for column in columns)
        found[r] = (which[r], shown, lower, upper)
    _report_negative(table, rows & ~dropped & np.isnan(columns[1]) & np.isnan(columns[2]), value)
    for output in {which[r] for r in np.flatnonzero(dropped).tolist()} - {entry[0] for entry in found.values()}:
        raise UserError(
            f"{table.name}: every observation of output '{output}' is censored, and data.censored: drop leaves none; "
            "leave the output out of data.outputs."
        )
    return found


def _observed(table: Table, event: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return which rows have an observation: EVID 0 and MDV 0; without MDV, EVID 0 and a value."""
    if "MDV" not in table.columns:
        empty = (event == 0) & np.isnan(value)
        if empty.any():
            log.info("%s: MDV of %d row(s) inferred: EVID 0 without DV is no observation", table.name, empty.sum())
        return (event == 0) & ~empty
    rows = (event == 0) & (table.numbers("MDV", missing=0.0, allowed=(0, 1)) == 0)
    table.refuse(
        rows & np.isnan(value),
        "DV",
        "an observation has no value; give one, or set MDV to 1 to leave the row out",
    )
    return rows


def _outputs(table: Table, rows: np.ndarray, outputs: Mapping[str, int | str]) -> dict[int, str]:
    """Return the output of each row with an observation."""
    if "DVID" not in table.columns and len(outputs) == 1:
        _refuse_mixed(table, rows)
        return dict.fromkeys(np.flatnonzero(rows).tolist(), next(iter(outputs)))
    column = "DVID" if "DVID" in table.columns else "CMT"
    if column not in table.columns:
        raise UserError(
            f"{table.name} has neither column DVID nor CMT, but data.outputs names several outputs: "
            f"{', '.join(outputs)}; add DVID."
        )
    by_name = {key(name): output for output, name in outputs.items()}
    cells = table.keys(column)
    unknown = rows & ~np.isin(cells, list(by_name))
    table.refuse(unknown, column, f"no output has this {column}; data.outputs knows {dict(outputs)}")
    return {r: by_name[cells[r]] for r in np.flatnonzero(rows).tolist()}


def _refuse_mixed(table: Table, rows: np.ndarray) -> None:
    """Refuse observations of several compartments that no DVID tells apart."""
    cells = np.array(table.keys("CMT"))
    first = next((cell for cell in cells[rows] if cell), "")
    reason = f"the first observation is of compartment {first}; tell outputs apart by a column DVID"
    table.refuse(rows & (cells != first) & (cells != ""), "CMT", reason)


def long_form(
    order: Mapping[str, np.ndarray], time: np.ndarray, seen: Seen, outputs: Mapping[str, int | str]
) -> dict[str, Observations]:
    """Return each output's observations; the n-th observation row of a subject is sample n of its event table.

    Raises:
        UserError: an output has none.
    """
    entries = [
        (*seen[r], time[r], subject, sample)
        for subject, rows in enumerate(order.values())
        for sample, r in enumerate(r for r in rows.tolist() if r in seen)
    ]
    result = {}
    for output in outputs:
        mine = [e[1:] for e in entries if e[0] == output]
        if not mine:
            raise UserError(f"The data have no observation of output '{output}'; leave it out of data.outputs.")
        value, lower, upper, at, subject, sample = (np.array(column) for column in zip(*mine, strict=True))
        result[output] = Observations(value, lower, upper, at, subject, sample, _previous(subject))
    _report_unobserved(order, entries)
    return result


def _report_negative(table: Table, measured: np.ndarray, value: np.ndarray) -> None:
    """Log the first measured value below 0, which most outputs cannot have."""
    below = np.flatnonzero(measured & (value < 0))
    if below.size:
        log.warning(
            "%s: the value %s is negative%s, and is used as it is. A concentration below 0 is noise or a mistake: mark "
            "it as below the limit (CENS or BLQ) or missing (MDV 1); leave it where the output may be negative",
            table.where(int(below[0]), "DV"),
            table.text("DV")[int(below[0])],
            f" ({below.size - 1} more row(s) likewise)" if below.size > 1 else "",
        )


def _previous(subject: np.ndarray) -> np.ndarray:
    """Return the position of the entry before, -1 where it is another subject's; a subject's entries are together."""
    before = np.arange(-1, len(subject) - 1)
    return np.where(subject == subject[before], before, -1)


def _report_unobserved(order: Mapping[str, np.ndarray], entries: list[tuple]) -> None:
    """Log the subjects without an observation: they say nothing about the parameters."""
    observed = {entry[5] for entry in entries}
    idle = [name for i, name in enumerate(order) if i not in observed]
    if idle:
        more = ", ..." if len(idle) > 5 else ""
        log.warning(
            "%d subject(s) have no observation in use: ID %s; the fit learns nothing from them. If they were observed, "
            "look at their DV, MDV and EVID (and data.censored, which may drop rows); else leave them out of the file",
            *(len(idle), ", ".join(idle[:5]) + more),
        )
