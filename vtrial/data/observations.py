"""Observations: DV, MDV, DVID, and whether a value is censored."""

import logging
from collections.abc import Callable, Mapping

import numpy as np

from vtrial.data.dataset import Observations
from vtrial.data.table import Table, key
from vtrial.errors import UserError

log = logging.getLogger(__name__)

CENSORED = ("refuse", "drop")
"""What `data.censored` may say."""

type Seen = dict[int, tuple[str, float]]
"""Position of a row -> output observed there, and its value in the output's unit."""


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
    value = table.numbers("DV", missing=np.nan)
    rows = _observed(table, event, value)
    if not rows.any():
        raise UserError(f"{table.name} has no observation (EVID 0 with MDV 0); there is nothing to calibrate with.")
    which = _outputs(table, rows, outputs)
    rows &= ~_censored(table, rows, value, censored)
    scale = {output: factor(output) for output in outputs}
    return {r: (which[r], float(value[r] * scale[which[r]])) for r in np.flatnonzero(rows).tolist()}


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


def _censored(table: Table, rows: np.ndarray, value: np.ndarray, censored: str) -> np.ndarray:
    """Return which observations are censored, if they are to be dropped.

    Raises:
        UserError: one is censored and they are not to be dropped, or the columns contradict each other.
    """
    code = table.numbers("CENS", missing=0.0)
    table.refuse(
        rows & ~np.isin(code, (-1, 0, 1)),
        "CENS",
        "only 0 (a value), 1 (below the value in DV) and -1 (above it) are understood",
    )
    blq = table.numbers("BLQ", missing=0.0)
    table.refuse(rows & ~np.isin(blq, (0, 1)), "BLQ", "only 0 and 1 (below the limit of quantification) are understood")
    limit, lloq = table.numbers("LIMIT", missing=np.nan), table.numbers("LLOQ", missing=-np.inf)
    low, high = rows & (code == 1) & (limit >= value), rows & (code == -1) & (limit <= value)
    table.refuse(low, "LIMIT", "a value censored below DV (CENS 1) needs its lower limit below DV")
    table.refuse(high, "LIMIT", "a value censored above DV (CENS -1) needs its upper limit above DV")
    reason = (
        ": censored observations are not used in the likelihood by this version; leave the rows out by data.censored: "
        "drop (which biases estimates if they are many), or set MDV to 1"
    )
    wrong = {
        "CENS": (rows & (code != 0), "the value is censored"),
        "BLQ": (rows & (blq != 0), "the value is below the limit of quantification"),
        "LLOQ": (rows & (value < lloq), "DV is below this limit of quantification"),
    }
    dropped = np.any([mask for mask, _ in wrong.values()], axis=0)
    if censored == "drop":
        if dropped.any():
            log.info("%s: %d of %d observations are censored and dropped", table.name, dropped.sum(), rows.sum())
        if dropped.sum() == rows.sum():
            raise UserError(f"{table.name} has only censored observations; there is nothing to calibrate with.")
        return dropped
    for column, (mask, what) in wrong.items():
        table.refuse(mask, column, what + reason)
    return dropped


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
        value, at, subject, sample = (np.array(column) for column in zip(*mine, strict=True))
        result[output] = Observations(value, at, subject, sample)
    return result
