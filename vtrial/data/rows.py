"""What each row of a table is: its event code, and that it does not repeat another."""

import logging

import numpy as np

from vtrial.data.table import Table
from vtrial.errors import UserError

log = logging.getLogger(__name__)

DOSES = (1, 4)
"""Event codes with a dose."""

REPEATS = ("refuse", "keep")
"""What `data.repeats` may say of a dose that is there twice."""

_IDENTITY = ("EVID", "CMT", "DVID", "AMT", "RATE", "DUR", "SS", "II", "ADDL", "MDV")
"""Columns that, with ID, TIME and DV, say what a record is."""


def event_codes(table: Table) -> np.ndarray:
    """Return EVID of each row; where it is missing, 1 for a row with a dose and 0 for another, as NONMEM infers it.

    Raises:
        UserError: a code is unknown, or is one that NONMEM does not have.
    """
    value = table.numbers("EVID", missing=np.nan)
    table.refuse(
        np.isin(value, (5, 6, 7, 8)),
        "EVID",
        "codes 5 to 8, by which rxode2 and mrgsolve replace or multiply amounts and give transit doses, are not read; "
        "use codes 0 to 4",
    )
    table.refuse(
        ~np.isnan(value) & ~np.isin(value, (0, 1, 2, 3, 4)),
        "EVID",
        "only 0 (observation), 1 (dose), 2 (other), 3 (reset) and 4 (reset and dose) are understood",
    )
    amount, rate, steady = (table.numbers(c, missing=0.0) for c in ("AMT", "RATE", "SS"))
    dosed = (amount != 0) | ((steady != 0) & (rate != 0))
    missing = np.isnan(value)
    if missing.any():
        log.info(
            "%s: EVID of %d row(s) inferred: 1 where there is a dose, else 0 (%d doses)",
            table.name,
            missing.sum(),
            (missing & dosed).sum(),
        )
    return np.where(missing, dosed, value).astype(int)


def check_repeats(table: Table, time: np.ndarray, event: np.ndarray, *, keep: bool) -> None:
    """Refuse a dose or reset that repeats another exactly unless told to `keep` it; measurements are replicates.

    Two equal values may be two measurements, as of tumours on one day, or a row copied twice: they are kept and told.

    Raises:
        UserError: a dose or a reset is there twice.
    """
    names = [c for c in _IDENTITY if c in table.columns]
    columns = [[cell if cell != "0" else "" for cell in table.keys(c)] for c in names]
    value = [cell if code == 0 else "" for cell, code in zip(table.keys("DV"), event.tolist(), strict=True)]
    seen: dict[tuple, int] = {}
    measured, replicates, equal = set(), 0, []
    for position, this in enumerate(zip(table.text("ID"), *columns, time.tolist(), value, strict=True)):
        first = seen.setdefault(this, position)
        if first != position and event[position] not in (0, 2) and not keep:
            raise UserError(
                f"{table.where(position, 'TIME')} repeats the record of row {table.row[first]} "
                f"(same ID, {', '.join(names)} and TIME); remove one of them, or set data.repeats to keep "
                "if both are meant."
            )
        if event[position] == 0 and value[position]:
            equal += [(position, first)] if first != position else []
            replicates += this[:-1] in measured
            measured.add(this[:-1])
    if replicates:
        log.info("%s: %d observation(s) at the time of another: replicates", table.name, replicates)
    if equal:
        log.warning(
            "%s repeats the record of row %s, value too (%d such row(s)): taken as measured twice; if it is a copy, "
            "remove it",
            table.where(equal[0][0], "TIME"),
            table.row[equal[0][1]],
            len(equal),
        )
