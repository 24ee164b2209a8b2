"""Which columns the reader understands, and under which names other programs have them."""

import logging
from collections.abc import Collection, Mapping

from vtrial.data.table import Table, key

log = logging.getLogger(__name__)

_RENAMED = "; under another name it is read by data.columns, for example +data.columns={COLUMN: NAME}"
"""What to do about a column that is always needed."""

UNDERSTOOD = (
    *("ID", "TIME", "DATE", "DV", "AMT", "RATE", "DUR", "II", "ADDL", "SS", "EVID", "CMT", "MDV", "DVID"),
    *("CENS", "LIMIT", "LLOQ", "BLQ", "OCC"),
)

_ALIASES = {
    "AMT": ("AMOUNT",),
    "DV": ("Y",),
    "DVID": ("YTYPE",),
    "CMT": ("ADM", "ADMID", "ROUTE"),
    "DUR": ("TINF", "DURATION"),
    "II": ("TAU",),
}
"""Names that Monolix and Pumas have for the columns."""

_LAGS = ("LAG", "ALAG", "TLAG")
"""Columns of the field that change what a dose record means; understood only where they are 0."""


def named(table: Table, columns: Mapping[str, str], compartments: Collection[object], kept: Collection[str]) -> Table:
    """Return the table under the names of this reader, with the columns it needs and none whose meaning is lost.

    Args:
        table: the file.
        columns: names of this reader -> names in the file, as the user says.
        compartments: numbers or names in CMT that the user says.
        kept: columns that are covariates, whatever else their name may mean.

    Raises:
        UserError: a column is absent, or has lag times.
    """
    table.require(*columns.values())
    known, given = {key(c) for c in compartments}, dict(columns)
    for name, others in _ALIASES.items():
        if name in table.columns or name in columns:
            continue
        free = [c for c in others if c in table.columns and c not in (*kept, *columns.values())]
        # A route is a compartment only if the user says which.
        found = [c for c in free if c != "ROUTE" or known & set(table.keys(c))]
        given |= {name: found[0]} if found else {}
    table = table.renamed(given)
    free = [c for c in table.columns if c not in UNDERSTOOD]
    table.require("ID", "TIME", "DV", "AMT", advice=_RENAMED, among=free)
    table.require(*kept)
    for column in _LAGS:
        if column not in kept:
            reason = (
                "lag times are not read from the data; list the column in data.covariates, or give a parameter "
                "ALAG_<state>; only 0 is understood here"
            )
            table.refuse(table.numbers(column, missing=0.0) != 0, column, reason)
    return table


def report_unused(table: Table, kept: Collection[str], *, dated: bool) -> None:
    """Log the columns that were not used; `dated` says whether DATE was."""
    idle = ({"OCC"} if dated else {"OCC", "DATE"}) - set(kept)
    used = {*UNDERSTOOD, *_LAGS, *kept} - idle
    unused = [c for c in table.columns if c not in used]
    if unused:
        log.info("%s: columns not used: %s", table.name, ", ".join(unused))
