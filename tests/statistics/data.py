"""Data sets of the shared reference folder, as arrays; not part of the repository."""

import csv
from collections.abc import Callable

import numpy as np

from tests.helpers import SHARED

TRIALS = SHARED / "reference" / "trials"


def visits(
    name: str, patient: str, value: str, visit: str, covariates: dict[str, Callable[[str], float]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return outcomes [patient visit] and covariates [patient] of a table with one row per visit."""
    with open(TRIALS / name, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    patients = list(dict.fromkeys(row[patient] for row in rows))
    times = sorted({row[visit] for row in rows}, key=lambda v: (len(v), v))
    outcome = np.full((len(patients), len(times)), np.nan)
    known = {name: np.zeros(len(patients)) for name in covariates}
    for row in rows:
        at = patients.index(row[patient])
        if row[value] != "NA":
            outcome[at, times.index(row[visit])] = float(row[value])
        for name, read in covariates.items():
            known[name][at] = read(row[name])
    return outcome, known
