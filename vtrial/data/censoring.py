"""Censored observations: CENS and LIMIT, BLQ and LLOQ."""

import logging
from typing import NamedTuple

import numpy as np

from vtrial.data.table import Table
from vtrial.errors import UserError

log = logging.getLogger(__name__)

CENSORED = ("refuse", "drop", "use")
"""What `data.censored` may say."""

_REMEDY = (
    ": say data.censored: use to have its probability in the likelihood, or data.censored: drop to leave such rows out "
    "(which biases estimates if they are many), or set MDV to 1"
)


class Marks(NamedTuple):
    """What each row of a file says about censoring; see `NonmemTable` for the columns."""

    code: np.ndarray
    """CENS."""
    blq: np.ndarray
    limit: np.ndarray
    """LIMIT; NaN where there is none."""
    lloq: np.ndarray
    """LLOQ; -inf where there is none."""

    def filled(self, value: np.ndarray) -> np.ndarray:
        """Return DV, where it is missing of a value below LLOQ that limit."""
        known = ((self.code == 1) | (self.blq == 1)) & np.isfinite(self.lloq)
        return np.where(known & np.isnan(value), self.lloq, value)

    def below(self, value: np.ndarray) -> np.ndarray:
        """Return which values are below a limit."""
        return (self.code == 1) | (self.blq == 1) | (value < self.lloq)

    def intervals(self, table: Table, rows: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each row's value, of a censored one its limit, and the ends of its interval, NaN of measured values.

        Raises:
            UserError: the columns contradict each other.
        """
        table.refuse(
            rows & ~np.isin(self.code, (-1, 0, 1)),
            "CENS",
            "only 0 (a value), 1 (below the value in DV) and -1 (above it) are understood",
        )
        table.refuse(
            rows & ~np.isin(self.blq, (0, 1)), "BLQ", "only 0 and 1 (below the limit of quantification) are understood"
        )
        below, above = rows & self.below(value), rows & (self.code == -1)
        table.refuse(below & above, "CENS", "the value is above the one in DV, but BLQ or LLOQ says that it is below")
        table.refuse(
            below & np.isfinite(self.lloq) & (value > self.lloq),
            "DV",
            "the row is marked as below the limit of quantification, but DV is above LLOQ",
        )
        top = np.where(np.isfinite(self.lloq), self.lloq, value)
        low = below & (self.limit >= top)
        table.refuse(low, "LIMIT", "a value censored below DV (CENS 1) needs its lower limit below DV")
        high = above & (self.limit <= value)
        table.refuse(high, "LIMIT", "a value censored above DV (CENS -1) needs its upper limit above DV")
        lower = np.where(below, np.where(np.isnan(self.limit), -np.inf, self.limit), np.where(above, value, np.nan))
        upper = np.where(below, top, np.where(above, np.where(np.isnan(self.limit), np.inf, self.limit), np.nan))
        return np.where(below, top, value), lower, upper

    def judge(self, table: Table, rows: np.ndarray, value: np.ndarray, censored: str) -> np.ndarray:
        """Return which rows are to be dropped, as `data.censored` says.

        Raises:
            UserError: a value is censored and they are refused, none other is left, or its limit is not known.
        """
        which = {
            "CENS": (rows & (self.code != 0), "the value is censored"),
            "BLQ": (rows & (self.blq != 0), "the value is below the limit of quantification"),
            "LLOQ": (rows & (value < self.lloq), "DV is below this limit of quantification"),
        }
        found = np.any([mask for mask, _ in which.values()], axis=0)
        if censored == "refuse":
            for column, (mask, what) in which.items():
                table.refuse(mask, column, what + _REMEDY)
        if censored == "drop":
            if found.any():
                log.info("%s: %d of %d observations are censored and dropped", table.name, found.sum(), rows.sum())
            if found.sum() == rows.sum():
                raise UserError(f"{table.name} has only censored observations; there is nothing to calibrate with.")
            return found
        unknown = rows & (self.blq == 1) & (self.code != 1) & ~np.isfinite(self.lloq) & (value == 0)
        table.refuse(unknown, "BLQ", "neither DV nor LLOQ says the limit of quantification; add column LLOQ")
        if found.any():
            log.info("%s: %d of %d observations are censored", table.name, found.sum(), rows.sum())
        return np.zeros_like(found)


def read_marks(table: Table) -> Marks:
    """Return what the rows say."""
    return Marks(
        table.numbers("CENS", missing=0.0),
        table.numbers("BLQ", missing=0.0),
        table.numbers("LIMIT", missing=np.nan),
        table.numbers("LLOQ", missing=-np.inf),
    )
