"""Reader of NONMEM-style tables, with every check of raw data.

Columns understood: ID TIME DV AMT EVID CMT MDV DVID ADDL II and covariates; column names in any case; `.`, `NA` and an
empty cell are missing. Infusions, steady-state records, lag times, resets and censoring, which this version cannot
honour, are refused by row under their usual column names. Other columns are not read.
"""

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import equinox as eqx
import numpy as np

from vtrial import units
from vtrial.data.dataset import Dataset, Observations
from vtrial.data.table import Table
from vtrial.dosing import Dose, EventTable, event_table, stack
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel

log = logging.getLogger(__name__)


def _names(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


class AbstractData(eqx.Module):
    """A source of observed subjects."""

    @abstractmethod
    def read(self, model: AbstractModel) -> Dataset:
        """Read, check and convert to the model's units; raises `UserError` at the first thing that is wrong."""


class NonmemTable(AbstractData):
    """A CSV file of dose and observation records, one row each.

    Args:
        path: the file; a study shipped with vtrial finds it in studies/data.
        units: unit of TIME, AMT, DV and each covariate.
        outputs: for each output of the model, the DVID of its observations (any number if the file has no DVID).
        compartments: for each number in CMT, the model's state it doses into.
        covariates: columns to keep as baseline covariates.
    """

    path: str = eqx.field(static=True)
    units: Mapping[str, str] = eqx.field(static=True)
    outputs: Mapping[str, int] = eqx.field(static=True)
    compartments: Mapping[int, str] = eqx.field(static=True)
    covariates: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())

    def read(self, model: AbstractModel) -> Dataset:
        """Read the table."""
        self._check_names(model)
        path = Path(self.path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"data.path: '{self.path}' cannot be read ({error.strerror}); give the path of the data file."
            ) from error
        table = Table.parse(content, path.name)
        table.require("ID", "TIME", "DV", "AMT", "EVID", *self.covariates)
        self._refuse_unsupported(table)
        unused = [c for c in table.columns if c not in (*_UNDERSTOOD, *_UNSUPPORTED, *self.covariates)]
        if unused:
            log.info("%s: columns not used: %s", table.name, ", ".join(unused))
        time = table.numbers("TIME") * units.factor(self._unit("TIME"), model.time, where="Column TIME")
        table.refuse(
            time < 0,
            "TIME",
            "the time is negative; times count from each subject's own start, so shift them to be 0 or later",
        )
        order = table.subjects()
        event = table.numbers("EVID", allowed=(0, 1, 2))
        for rows in order.values():
            late = np.flatnonzero(np.diff(time[rows]) < 0)
            table.refuse(
                np.isin(table.row, table.row[rows[late + 1]]),
                "TIME",
                "the time is before that of the row above; sort each subject by time",
            )
        observations = self._observed(table, event, model)
        doses = self._doses(table, event, time, model)
        self._refuse_duplicates(table, time, event)
        events = stack([_subject_events(rows, time, doses, observations) for rows in order.values()])
        return Dataset(
            subjects=tuple(order),
            events=events,
            covariates={name: self._baseline(table, name, order) for name in self.covariates},
            covariate_units={name: self._unit(name) for name in self.covariates},
            observations=_long_form(order, time, observations, tuple(self.outputs)),
            output_units={o: model.outputs[o] for o in self.outputs},
            time_unit=model.time,
            source=path.name,
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def _unit(self, column: str) -> str:
        if column not in self.units:
            raise UserError(
                f"data.units lacks the unit of column {column}; add for example '{column}: "
                f"{_EXAMPLE.get(column, 'kg')}'."
            )
        return self.units[column]

    def _check_names(self, model: AbstractModel) -> None:
        """Check the configuration against the model before the file is opened."""
        for output in self.outputs:
            if output not in model.outputs:
                raise UserError(
                    f"data.outputs has '{output}', which model {type(model).__name__} does not. "
                    f"{nearest(output, model.outputs)}"
                )
        for number, state in self.compartments.items():
            if state not in model.states:
                raise UserError(
                    f"data.compartments maps CMT {number} to '{state}', which is no state of model "
                    f"{type(model).__name__}. {nearest(state, model.states)}"
                )

    def _refuse_unsupported(self, table: Table) -> None:
        """Refuse records whose meaning would be lost."""
        for column, what in _UNSUPPORTED.items():
            if column in table.columns:
                table.refuse(
                    table.numbers(column, missing=0.0) != 0,
                    column,
                    f"this version reads no {what}; only 0 is understood here",
                )

    def _observed(self, table: Table, event: np.ndarray, model: AbstractModel) -> dict[int, tuple[str, float]]:
        """Return the observations: position of the row -> (output, value in the output's unit)."""
        missing = table.numbers("MDV", missing=0.0, allowed=(0, 1)) if "MDV" in table.columns else np.zeros(len(event))
        rows = np.flatnonzero((event == 0) & (missing == 0))
        value = table.numbers("DV", missing=np.nan)
        table.refuse(
            (event == 0) & (missing == 0) & np.isnan(value),
            "DV",
            "an observation has no value; give one, or set MDV to 1 to leave the row out",
        )
        if not len(rows):
            raise UserError(f"{table.name} has no observation (EVID 0 with MDV 0); there is nothing to calibrate with.")
        by_number = {number: name for name, number in self.outputs.items()}
        if "DVID" in table.columns:
            number = table.numbers("DVID", missing=np.nan)
            known = np.isin(number, list(by_number))
            table.refuse(
                np.isin(np.arange(len(event)), rows) & ~known,
                "DVID",
                f"no output has this DVID; data.outputs knows {self.outputs}",
            )
        elif len(self.outputs) == 1:
            number = np.full(len(event), next(iter(by_number)))
            self._refuse_mixed(table, rows)
        else:
            raise UserError(
                f"{table.name} has no column DVID, but data.outputs names several outputs: {', '.join(self.outputs)}."
            )
        scale = {
            o: units.factor(self._unit("DV"), model.outputs[o], where=f"Column DV (output {o})") for o in self.outputs
        }
        return {int(r): (by_number[int(number[r])], float(value[r] * scale[by_number[int(number[r])]])) for r in rows}

    def _refuse_mixed(self, table: Table, rows: np.ndarray) -> None:
        """Refuse observations of several compartments that no DVID tells apart."""
        if "CMT" in table.columns:
            number = table.numbers("CMT", missing=np.nan)
            other = np.zeros(len(number), bool)
            other[rows] = number[rows] != number[rows[0]]
            reason = f"the first observation is of compartment {number[rows[0]]:g}; tell outputs apart by a column DVID"
            table.refuse(other & np.isfinite(number), "CMT", reason)

    def _doses(self, table: Table, event: np.ndarray, time: np.ndarray, model: AbstractModel) -> dict[int, Dose]:
        """Return the doses: position of the row -> dose in the model's units."""
        given = event == 1
        amount = table.numbers("AMT", missing=0.0)
        table.refuse(
            given & (amount <= 0), "AMT", "a dose record needs an amount above 0; correct it, or set EVID to 0"
        )
        table.refuse(
            ~given & (amount != 0), "AMT", "a record that is no dose has an amount; set EVID to 1, or AMT to 0"
        )
        known = list(self.compartments)
        if "CMT" in table.columns:
            number = table.numbers("CMT", missing=np.nan)
            hint = (
                f"no compartment has this number; data.compartments knows {dict(self.compartments)} and the "
                f"model has states {tuple(model.states)}"
            )
            table.refuse(given & ~np.isin(number, known), "CMT", hint)
        elif len(known) == 1:
            number = np.full(len(event), known[0])
        else:
            raise UserError(f"{table.name} has no column CMT, but data.compartments names several compartments.")
        interval = table.numbers("II", missing=0.0) if "II" in table.columns else np.zeros(len(event))
        more = table.numbers("ADDL", missing=0.0) if "ADDL" in table.columns else np.zeros(len(event))
        table.refuse(
            given & ((more < 0) | (more % 1 != 0)), "ADDL", "the number of additional doses must be 0, 1, 2, ..."
        )
        table.refuse(
            given & (more > 0) & (interval <= 0), "II", "additional doses need an interval above 0 between them"
        )
        hours = units.factor(self._unit("TIME"), model.time, where="Column II")
        states = tuple(model.states)
        into = {r: self.compartments[int(number[r])] for r in np.flatnonzero(given)}
        # A conversion is slow: one for each state dosed into, not one for each dose.
        scale = {s: units.factor(self._unit("AMT"), model.states[s], where="Column AMT") for s in set(into.values())}
        return {
            int(r): Dose(
                time=float(time[r]),
                amount=float(amount[r] * scale[into[r]]),
                state=states.index(into[r]),
                additional=int(more[r]),
                interval=float(interval[r] * hours),
            )
            for r in into
        }

    def _refuse_duplicates(self, table: Table, time: np.ndarray, event: np.ndarray) -> None:
        """Refuse a record that repeats another in everything that says what it is."""
        names = [c for c in ("EVID", "CMT", "DVID", "AMT", "MDV") if c in table.columns]
        columns = [np.nan_to_num(table.numbers(c, missing=0.0)).tolist() for c in names]
        keys = list(zip(table.text("ID"), *columns, time.tolist(), strict=True))
        seen: dict[tuple, int] = {}
        for position, key in enumerate(keys):
            first = seen.setdefault(key, position)
            if first != position and event[position] != 2:
                raise UserError(
                    f"{table.where(position, 'TIME')} repeats the record of row {table.row[first]} "
                    f"(same ID, {', '.join(names)} and TIME); remove one of them, or give replicates different times."
                )

    def _baseline(self, table: Table, name: str, order: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return a covariate's value for each subject."""
        value = table.numbers(name, missing=np.nan)
        table.refuse(np.isnan(value), name, "the covariate is missing; fill it in, or leave it out of data.covariates")
        first = np.empty_like(value)
        for rows in order.values():
            first[rows] = value[rows[0]]
        table.refuse(
            value != first,
            name,
            "the covariate changes within the subject; this version reads baseline covariates only",
        )
        return np.array([value[rows[0]] for rows in order.values()])


_UNDERSTOOD = ("ID", "TIME", "DV", "AMT", "EVID", "CMT", "MDV", "DVID", "ADDL", "II")

_UNSUPPORTED = {
    "RATE": "infusions",
    "DUR": "infusions",
    "TINF": "infusions",
    "SS": "steady-state doses",
    "LAG": "lag times",
    "ALAG": "lag times",
    "TLAG": "lag times",
    "CENS": "censored observations",
    "BLQ": "censored observations",
}
"""Columns of the field that change what a record means, and what they bring; understood here only where they are 0."""

_EXAMPLE = {"TIME": "h", "AMT": "mg", "DV": "mg/L"}


def _subject_events(
    rows: np.ndarray, time: np.ndarray, doses: Mapping[int, Dose], observations: Mapping[int, tuple[str, float]]
) -> EventTable:
    """Return one subject's event table: its rows in file order."""
    kept = [doses[r] if r in doses else float(time[r]) for r in rows.tolist() if r in doses or r in observations]
    return event_table(kept or [float(time[rows[0]])])


def _long_form(
    order: Mapping[str, np.ndarray],
    time: np.ndarray,
    observations: Mapping[int, tuple[str, float]],
    outputs: tuple[str, ...],
) -> dict[str, Observations]:
    """Return each output's observations; the n-th observation row of a subject is sample n of its event table."""
    entries = [
        (observations[r][0], observations[r][1], time[r], subject, sample)
        for subject, rows in enumerate(order.values())
        for sample, r in enumerate(r for r in rows.tolist() if r in observations)
    ]
    result = {}
    for output in outputs:
        mine = [e[1:] for e in entries if e[0] == output]
        if not mine:
            raise UserError(f"The data have no observation of output '{output}'; leave it out of data.outputs.")
        value, at, subject, sample = (np.array(column) for column in zip(*mine, strict=True))
        result[output] = Observations(value, at, subject, sample)
    return result
