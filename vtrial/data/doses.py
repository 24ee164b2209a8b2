"""Dose records: AMT, RATE, DUR, II, ADDL, SS and CMT, checked together and converted."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from vtrial.data.rows import DOSES
from vtrial.data.table import Table, key
from vtrial.dosing import Dose
from vtrial.errors import UserError

log = logging.getLogger(__name__)

_COLUMNS = ("AMT", "RATE", "DUR", "II", "ADDL", "SS")
_AGREE = 1e-6
"""Relative difference allowed between AMT and RATE x DUR."""


def read_doses(
    table: Table,
    event: np.ndarray,
    time: np.ndarray,
    into: Mapping[int, str],
    states: Sequence[str],
    factor: Callable[[str, str], float],
) -> dict[int, Dose]:
    """Return the doses: position of the row -> dose in the model's units.

    Args:
        table: the file.
        event: EVID of each row.
        time: of each row, in the model's unit.
        into: the state each dose goes into, by position of the row.
        states: of the model, in order.
        factor: what a column is multiplied with for a state: called with the column's and the state's name.

    Raises:
        UserError: records contradict themselves, or NONMEM's rules.
    """
    column = {name: table.numbers(name, missing=0.0) for name in _COLUMNS}
    _check_others(table, event, column)
    _check_amounts(table, np.isin(event, DOSES), column)
    _check_trains(table, np.isin(event, DOSES), column)
    # A conversion is slow: one for each state dosed into, not one for each dose.
    scale = {(c, s): factor(c, s) for s in set(into.values()) for c in ("AMT", "RATE", "DUR", "II") if column[c].any()}
    result = {}
    for row, state in into.items():
        given = {c: float(column[c][row]) * (1.0 if column[c][row] < 0 else scale.get((c, state), 1.0)) for c in column}
        result[row] = Dose(
            time=float(time[row]),
            amount=given["AMT"],
            state=states.index(state),
            additional=int(given["ADDL"]),
            interval=given["II"],
            rate=given["RATE"],
            duration=_duration(table, row, given),
            steady=int(given["SS"]),
            reset=bool(event[row] == 4),
        )
    return result


def report_untreated(order: Mapping[str, np.ndarray], doses: Collection[int], observed: Collection[int]) -> None:
    """Log the subjects with observations but without a dose where others have one: their dose may have been lost."""
    if not doses:
        return
    given = {name: [row in doses for row in rows.tolist()] for name, rows in order.items()}
    seen = {name: [row in observed for row in rows.tolist()] for name, rows in order.items()}
    without = [name for name in order if any(seen[name]) and not any(given[name])]
    if without:
        log.info(
            "%d subject(s) have observations but no dose: ID %s; right for who was not treated, else look at their AMT "
            "and EVID",
            *(len(without), ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")),
        )


def _duration(table: Table, row: int, given: Mapping[str, float]) -> float:
    """Return the duration of an infusion that is not said by its rate; where both are given they must agree."""
    amount, rate, duration = given["AMT"], given["RATE"], given["DUR"]
    if rate and duration:
        if rate < 0:
            reason = f"RATE {rate:g} takes rate or duration from a parameter, but a duration is given too; keep one"
            raise table.fault(row, "DUR", reason)
        if abs(amount - rate * duration) > _AGREE * amount:
            reason = (
                f"amount {amount:g}, rate {rate:g} and duration {duration:g} (in the model's units) do not agree: rate "
                f"times duration is {rate * duration:g}; correct one, or leave out RATE or DUR"
            )
            raise table.fault(row, "DUR", reason)
        return 0.0
    return duration


def _check_others(table: Table, event: np.ndarray, column: Mapping[str, np.ndarray]) -> None:
    """Check rows that are no dose: they say nothing of a dose but II, which many files repeat on every row."""
    table.refuse(column["AMT"] < 0, "AMT", "the amount is negative; correct it")
    table.refuse(
        (event == 3) & (column["AMT"] != 0),
        "AMT",
        "a reset (EVID 3) has an amount; set EVID to 4 for a reset with a dose, or AMT to 0",
    )
    other = ~np.isin(event, DOSES)
    for name in ("AMT", "RATE", "DUR", "ADDL", "SS"):
        what = "an amount" if name == "AMT" else f"a value of {name}"
        remedy = f"a record that is no dose has {what}; set EVID to 1, or {name} to 0"
        table.refuse(other & (column[name] != 0), name, remedy)


def _check_amounts(table: Table, given: np.ndarray, column: Mapping[str, np.ndarray]) -> None:
    """Check amount, rate and duration of each dose."""
    amount, rate, duration = column["AMT"], column["RATE"], column["DUR"]
    table.refuse(
        given & (rate < 0) & ~np.isin(rate, (-1, -2)),
        "RATE",
        "a rate is 0 (bolus), above 0, -1 (the rate is a parameter) or -2 (the duration is a parameter)",
    )
    table.refuse(given & (duration < 0), "DUR", "the duration is negative; give 0 or leave it empty for a bolus")
    endless = given & (amount == 0) & (column["SS"] > 0) & ((rate > 0) | (rate == -1))
    table.refuse(
        endless & (column["II"] != 0),
        "II",
        "a constant infusion at steady state (AMT 0, RATE, SS) is not repeated; set II to 0, or give an amount",
    )
    table.refuse(
        endless & (duration != 0),
        "DUR",
        "a constant infusion at steady state (AMT 0, RATE, SS) has no duration; leave it out, or give an amount",
    )
    table.refuse(
        given & (amount == 0) & ~endless,
        "AMT",
        "a dose record needs an amount above 0; correct it, or set EVID to 0",
    )


def _check_trains(table: Table, given: np.ndarray, column: Mapping[str, np.ndarray]) -> None:
    """Check repeated doses and those at steady state."""
    more, interval, steady = column["ADDL"], column["II"], column["SS"]
    table.refuse(given & (steady == 3), "SS", "SS 3 is not read; use 1 (reset to steady state) or 2 (added to it)")
    table.refuse(
        given & ~np.isin(steady, (0, 1, 2)), "SS", "only 0, 1 (reset to steady state) and 2 (added) are understood"
    )
    table.refuse(given & ((more < 0) | (more % 1 != 0)), "ADDL", "the number of additional doses must be 0, 1, 2, ...")
    table.refuse(given & (interval < 0), "II", "the interval is negative; correct it")
    table.refuse(given & (more > 0) & (interval <= 0), "II", "additional doses need an interval above 0 between them")
    table.refuse(
        given & (steady > 0) & (column["AMT"] > 0) & (interval <= 0),
        "II",
        "doses at steady state need an interval above 0 between them",
    )


def states_dosed(
    table: Table, event: np.ndarray, compartments: Mapping[int | str, str], states: Sequence[str]
) -> dict[int, str]:
    """Return the state each dose goes into: position of the row -> name of the state.

    CMT is a number or a name of `compartments`, or the name of a state. Missing or 0, it is the only one there is.

    Raises:
        UserError: a compartment is unknown, or switched off by a negative number.
    """
    known = {state.casefold(): state for state in states} | {key(k): state for k, state in compartments.items()}
    usual = set(compartments.values()) or set(states)
    rows = np.flatnonzero(np.isin(event, DOSES)).tolist()
    if "CMT" not in table.columns:
        if rows and len(usual) > 1:
            raise UserError(
                f"{table.name} has no column CMT, but there are several compartments to dose into: "
                f"{', '.join(sorted(usual))}; add the column, or name one in data.compartments."
            )
        return dict.fromkeys(rows, next(iter(usual)))
    cells = table.keys("CMT")
    table.refuse(
        np.array([cell.startswith("-") for cell in cells]),
        "CMT",
        "a negative number, which switches a compartment off in NONMEM, is not read; end the record's effect by a "
        "reset (EVID 3), or leave it out",
    )
    default = {"": next(iter(usual)), "0": next(iter(usual))} if len(usual) == 1 else {}
    known = default | known
    wrong = np.zeros(len(cells), bool)
    wrong[rows] = [cells[r] not in known for r in rows]
    table.refuse(
        wrong,
        "CMT",
        f"no compartment has this number or name; data.compartments knows {dict(compartments)} and the model has "
        f"states {tuple(states)}",
    )
    return {r: known[cells[r]] for r in rows}
