"""Covariates of the people in a table."""

import logging
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial.cohort.covariates.base import AbstractCovariates
from vtrial.data import Columns, Dataset, read_columns
from vtrial.errors import UserError

log = logging.getLogger(__name__)


class Table(AbstractCovariates):
    """Whole rows drawn with replacement from a comma-separated table: its margins and its correlations.

    Rows that lack a number in one of the columns are left out.

    Args:
        path: the file.
        units: the columns to use as covariates, each with its unit; "" has none.
        codes: for a column of words, the number that each word stands for.
        weight: a column with the weight of each row, such as that of a survey: rows are drawn in proportion to it;
            left out, all are as likely. Rows of weight 0 are never drawn.
    """

    rows: Float[np.ndarray, "row column"]
    """What is drawn from."""
    unit: Mapping[str, str] = eqx.field(static=True)
    """Unit of each column, in order."""
    upto: Float[np.ndarray, " row"] | None
    """Share of the weights up to each row; None where there are none."""
    weight: str | None = eqx.field(static=True)
    """The column of the weights."""
    found: tuple[str, str, int] = eqx.field(static=True)
    """Name of the file, its hash, and how many rows were left out."""

    def __init__(
        self,
        path: str,
        units: Mapping[str, str],
        codes: Mapping[str, Mapping[str, float]] | None = None,
        weight: str | None = None,
    ):
        """Read the table."""
        if not units:
            raise UserError("A table of covariates needs units: the columns to use, each with its unit.")
        names = tuple(units) if weight is None else tuple(dict.fromkeys((*units, weight)))
        read: Columns = read_columns(path, names, codes)
        rows = np.stack([read.values[name] for name in units], axis=1)
        complete = ~np.isnan([read.values[name] for name in names]).any(axis=0)
        if not complete.any():
            raise UserError(f"{read.source} has no row with a number in each of {', '.join(units)}.")
        self.rows, self.unit, self.weight = rows[complete], dict(units), weight
        self.upto = None if weight is None else _shares(read.values[weight][complete], weight, read.source)
        self.found = (read.source, read.sha256, int((~complete).sum()))
        if self.found[2]:
            log.info("%s: %d of %d rows lack a covariate and are left out", read.source, self.found[2], len(rows))

    def units(self, data: Dataset) -> dict[str, str]:
        """Return the columns'."""
        return dict(self.unit)

    def check(self, data: Dataset) -> None:
        """Nothing more: the table was read at once."""

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Pick one row."""
        if self.upto is None:
            at = jax.random.randint(key, (), 0, len(self.rows))
        else:
            at = jnp.searchsorted(jnp.asarray(self.upto), jax.random.uniform(key), side="right")
        row = jnp.asarray(self.rows)[at]
        return {name: row[i] for i, name in enumerate(self.unit)}

    def facts(self, key: Key[Array, ""], data: Dataset) -> dict[str, float]:
        """Tell nothing."""
        return {}

    def inputs(self) -> dict[str, str]:
        """Name the table."""
        return {self.found[0]: self.found[1]}

    def describe(self) -> str:
        """Say file, columns and rows."""
        by = f" in proportion to {self.weight}" if self.weight else ""
        return f"{', '.join(self.unit)} of {self.found[0]}, {len(self.rows)} rows drawn with replacement{by}"


def _shares(weights: Float[np.ndarray, " row"], name: str, source: str) -> Float[np.ndarray, " row"]:
    """Return the share of the weights up to each row; the last is 1.

    Raises:
        UserError: a weight is negative or not finite, or all are 0.
    """
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0):
        raise UserError(f"The weights {name} of {source} must be 0 or more, and one of them above 0; correct them.")
    total = np.cumsum(weights)
    return total / total[-1]
