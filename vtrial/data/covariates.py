"""Covariates of observed subjects: baseline, and at every row where they vary."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from vtrial.data.table import Table

log = logging.getLogger(__name__)

INTERPOLATIONS = ("locf", "nocb", "linear")
"""How a covariate may go on between rows: the last row's value, the next row's, or from one to the other."""

_OCCASION = "OCC"


def read_covariates(
    table: Table,
    names: Sequence[str],
    order: Mapping[str, np.ndarray],
    time: np.ndarray,
    interpolation: str,
    missing: Sequence[str] = (),
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return each covariate's first value [subject], and those that vary within a subject at each row [subject span].

    Rows without a value have that of the last row with one, before the first that of the first; with linear
    interpolation, rows between two values lie on the line. Subjects with fewer rows repeat their last. A covariate in
    `missing` may lack any value in a subject, and is not a number there.

    Raises:
        UserError: a subject has no value at all of another, or an occasion is no whole number.
    """
    baseline, varying = {}, {}
    longest = max(len(rows) for rows in order.values())
    for name in names:
        value = _filled(table, name.upper(), order, time, interpolation, may_miss=name in missing)
        if name.upper() == _OCCASION:
            table.refuse(value % 1 != 0, name.upper(), "an occasion is a whole number; correct it")
        first = np.array([value[rows[0]] for rows in order.values()])
        baseline[name] = first
        told = [rows for rows in order.values() if not np.isnan(value[rows[0]])]
        if changing := sum(bool((value[rows] != value[rows[0]]).any()) for rows in told):
            log.info(
                "%s: %s varies within %d of %d subject(s); between rows it goes on by data.covariate_interpolation: %s",
                *(table.name, name, changing, len(order), interpolation),
            )
            varying[name] = np.stack(
                [np.append(value[rows], np.full(longest - len(rows), value[rows[-1]])) for rows in order.values()]
            )
    return baseline, varying


def _filled(
    table: Table, name: str, order: Mapping[str, np.ndarray], time: np.ndarray, interpolation: str, *, may_miss: bool
) -> np.ndarray:
    """Return a covariate at each row, gaps filled by the rule of `interpolation`; an occasion goes on."""
    value = table.numbers(name, missing=np.nan)
    missing = np.isnan(value)
    for rows in order.values():
        gaps, known = rows[missing[rows]], rows[~missing[rows]]
        if not len(known) and not may_miss:
            reason = (
                "the covariate is missing in every row of the subject; fill it in, leave it out of data.covariates, or "
                "estimate it: list it in data.missing and give population.missing its distribution"
            )
            raise table.fault(int(rows[0]), name, reason)
        if not len(known):
            continue
        if interpolation == "linear" and name.upper() != _OCCASION:
            value[gaps] = np.interp(time[gaps], time[known], value[known])
        elif interpolation == "nocb" and name.upper() != _OCCASION:
            value[gaps] = value[known[np.minimum(np.searchsorted(known, gaps), len(known) - 1)]]
        else:
            value[gaps] = value[known[np.maximum(np.searchsorted(known, gaps) - 1, 0)]]
    if filled := int((missing & ~np.isnan(value)).sum()):
        log.info("%s: %s missing in %d row(s), filled from the subject's other rows", table.name, name, filled)
    if lacking := sum(bool(np.isnan(value[rows]).all()) for rows in order.values()):
        log.info("%s: %s missing in %d subject(s)", table.name, name, lacking)
    return value
