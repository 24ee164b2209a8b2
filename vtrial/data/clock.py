"""TIME and DATE: numbers, clock times and calendar dates become one time of each row."""

import logging
import re
from collections.abc import Mapping
from datetime import date

import numpy as np

from vtrial import units
from vtrial.data.table import Table
from vtrial.errors import UserError

DATES = ("", "ymd", "mdy", "dmy", "days")
"""How `data.dates` may say DATE is written: not said, in an order of year, month and day, or as a number of days."""

log = logging.getLogger(__name__)

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?")


def read_times(
    table: Table, order: Mapping[str, np.ndarray], unit: str, wanted: str, dates: str
) -> tuple[np.ndarray, bool]:
    """Return the time of each row in the unit `wanted`, and whether column DATE was used.

    Numbers are taken as they are, negative ones too. Clock times `HH:MM[:SS]`, and times with a DATE, count from the
    subject's first record. A DATE beside numbers is used only if `dates` says how it is written, for it is often there
    only to be read by people.

    Raises:
        UserError: a time is missing or none, or a date is missing, none, or may be read in two ways.
    """
    clock = any(":" in cell for cell in table.text("TIME"))
    if clock:
        time = _clock_hours(table) * units.factor("h", wanted, where="Column TIME")
    else:
        time = table.numbers("TIME") * units.factor(unit, wanted, where="Column TIME")
    if dates:
        table.require("DATE")
    dated = "DATE" in table.columns and bool(clock or dates)
    if not (clock or dated):
        return time, False
    day = _days(table, dates) if dated else np.zeros_like(time)
    for rows in order.values():
        # Days first: differences of whole numbers are exact.
        day[rows] -= day[rows[0]]
        time[rows] -= time[rows[0]]
    return time + day * units.factor("day", wanted, where="Column DATE"), dated


def run_on(table: Table, time: np.ndarray, order: Mapping[str, np.ndarray], event: np.ndarray) -> np.ndarray:
    """Return the times, made to go on from the row above where they start anew at a reset, as NONMEM lets them.

    What comes after a reset does not know of what was before it, so that only the difference of times matters.
    """
    time = time.copy()
    restarts = 0
    for rows in order.values():
        back = np.minimum(np.diff(time[rows]), 0.0) * np.isin(event[rows[1:]], (3, 4))
        restarts += int(np.count_nonzero(back))
        time[rows[1:]] -= np.cumsum(back)
    if restarts:
        log.info(
            "%s: TIME starts anew at %d reset(s); there it goes on from the time of the row above, also in results",
            table.name,
            restarts,
        )
    return time


def check_ascending(table: Table, time: np.ndarray, order: Mapping[str, np.ndarray]) -> None:
    """Refuse rows whose time is before that of the row above.

    Raises:
        UserError: there is one.
    """
    back = np.zeros(len(time), bool)
    for rows in order.values():
        back[rows[1:]] = np.diff(time[rows]) < 0
    if not back.any():
        return
    reason = "the time is before that of the row above; sort each subject by time"
    if "DATE" in table.columns or any(":" in cell for cell in table.text("TIME")):
        reason += ", or have a column DATE read with it (data.dates says how it is written)"
    table.refuse(back, "TIME", reason)


def _clock_hours(table: Table) -> np.ndarray:
    """Return clock times as hours since midnight."""
    hours = np.zeros(len(table.row))
    for position, cell in enumerate(table.text("TIME")):
        found = _CLOCK.fullmatch(cell)
        parts = [float(part or 0) for part in found.groups()] if found else [99.0, 0.0, 0.0]
        if parts[0] > 24 or parts[1] >= 60 or parts[2] >= 60:
            raise table.fault(position, "TIME", _no_clock_time(table, position))
        hours[position] = parts[0] + parts[1] / 60 + parts[2] / 3600
    return hours


def _no_clock_time(table: Table, position: int) -> str:
    """Say what is wrong with a time among clock times, and name one of these: it may be that which is wrong."""
    reason = "this is no clock time HH:MM or HH:MM:SS, as other times of the column are"
    other = next((p for p, cell in enumerate(table.text("TIME")) if ":" in cell and p != position), None)
    if other is None:
        return f"{reason}; correct it"
    return f"{reason} (row {table.row[other]}: '{table.text('TIME')[other]}'); correct one of them"


def _days(table: Table, dates: str) -> np.ndarray:
    """Return dates as numbers of days."""
    result = np.zeros(len(table.row))
    for position, cell in enumerate(table.text("DATE")):
        try:
            result[position] = _day(cell, dates)
        except ValueError as error:
            raise table.fault(position, "DATE", str(error)) from error
    return result


def _day(cell: str, dates: str) -> float:
    """Return a date as a number of days; raises `ValueError` with the reason why it is none."""
    if not cell:
        raise ValueError("the date is missing; fill it in")
    compact = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", cell)
    if dates in ("", "days") and not (compact and not dates):
        try:
            return float(cell)
        except ValueError:
            if dates:
                raise ValueError("this is no number of days, as data.dates: days says; correct one of them") from None
    parts = list(compact.groups()) if compact and dates == "ymd" else re.split(r"[-/.]", cell)
    order = dates or ("ymd" if len(parts[0]) == 4 and len(parts) == 3 else "")
    if not order:
        raise ValueError(
            "the date can be read in more than one way; write it as yyyy-mm-dd, or say data.dates: ymd, mdy, dmy or "
            "days"
        )
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise ValueError(f"this is no date in the order {order}; write it as yyyy-mm-dd, or correct data.dates")
    number = dict(zip(order, map(int, parts), strict=True))
    # Two digits of a year: NONMEM's default, 1950 to 2049.
    year = number["y"] + (0 if number["y"] > 99 else 2000 if number["y"] < 50 else 1900)
    try:
        return float(date(year, number["m"], number["d"]).toordinal())
    except ValueError:
        raise ValueError(f"there is no such date in the order {order}; correct it, or data.dates") from None


def check_dates(dates: str) -> None:
    """Refuse another word for how dates are written.

    Raises:
        UserError: it is none of `DATES`.
    """
    if dates not in DATES:
        raise UserError(f"data.dates is '{dates}'; it may be {', '.join(DATES[1:])}, or be left out.")
