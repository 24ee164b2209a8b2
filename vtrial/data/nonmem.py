"""Reader of NONMEM-style tables, with every check of raw data."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import equinox as eqx
import numpy as np

from vtrial.data.base import AbstractData
from vtrial.data.censoring import CENSORED
from vtrial.data.clock import check_ascending, check_dates, read_times, run_on
from vtrial.data.columns import UNDERSTOOD, named, report_unused
from vtrial.data.conversion import Conversion
from vtrial.data.covariates import INTERPOLATIONS, read_covariates
from vtrial.data.dataset import Dataset, Doses
from vtrial.data.doses import read_doses, report_untreated, states_dosed
from vtrial.data.observations import Seen, long_form, read_observations
from vtrial.data.rows import REPEATS, check_repeats, event_codes
from vtrial.data.table import Table, key
from vtrial.dosing import Dose, Mark, Reset, event_table
from vtrial.dosing.batch import Batch, batch
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel


def _names(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


class NonmemTable(AbstractData):
    """A comma-separated file of dose, observation and other records, one row each, a subject's rows together by time.

    Columns, in any case and order; `.`, `NA` and an empty cell are missing; rows that start with `#`, or have `C` under
    a first column C, are comments. ID, TIME, DV and AMT must be there.

    - ID: a number or a word.
    - TIME: a number (negative ones too), or a clock time HH:MM[:SS], which counts from the subject's first record.
    - DATE: with clock times: yyyy-mm-dd, or a number of days; see `dates`.
    - EVID: 0 observation, 1 dose, 2 other (a time at which covariates may change), 3 reset, 4 reset and dose; TIME may
      start anew at a reset. Missing, it is 1 where there is a dose (AMT, or RATE with SS), else 0.
    - AMT: amount of a dose.
    - RATE: 0 bolus, above 0 an infusion of that rate, -1 of the rate that parameter R_<state> says, -2 of the duration
      that D_<state> says. Bioavailability changes the duration of an infusion given by rate, else its rate.
    - DUR: above 0 an infusion of that duration; with RATE the two must agree.
    - II, ADDL: interval, and number of additional doses.
    - SS: 1 reset to steady state, 2 steady state added to what there is; with AMT 0, RATE and II 0 a constant infusion.
    - CMT: number or name of the compartment dosed into, see `compartments`.
    - DV, MDV: value of an observation; MDV 1: there is none. Without column MDV, EVID 0 without DV is no observation.
    - DVID: number or name of what is observed, see `outputs`.
    - CENS: 0 a measured value, 1 one below the limit in DV, -1 one above it. LIMIT: the other end of the interval.
    - BLQ: 1 a value below the limit of quantification. LLOQ: that limit, for CENS and BLQ in place of the one in DV,
      which may then be missing; a DV below it is censored too.
    - OCC: occasion, a whole number; listed in `covariates`, it is read as one.

    Other names: AMOUNT for AMT, Y for DV, YTYPE for DVID, ADM and ADMID for CMT (ROUTE too, if `compartments` knows its
    values), TINF and DURATION for DUR, TAU for II.

    Args:
        path: the file; a study shipped with vtrial finds it in studies/data.
        units: unit of TIME, AMT, DV (one, or one for each output) and each covariate; RATE is in AMT's per TIME's and
            DUR and II are in TIME's unless given; LIMIT and LLOQ are in DV's.
        outputs: for each output of the model, the number or name in DVID of its observations; in a file without DVID
            the one in CMT if there are several outputs, and any if there is one.
        compartments: for each number or name in CMT, the model's state it doses into; names of states are known.
        covariates: columns to keep as covariates.
        missing: those of them that some subjects may have no value of; `population.missing` says how they are spread.
        covariate_interpolation: how a covariate that varies within a subject goes on between rows: "locf" (the last
            row's value), "nocb" (the next row's, as in NONMEM) or "linear".
        columns: where a file has other names: the name above -> the name in the file.
        dates: how DATE is written: "ymd", "mdy", "dmy" or "days". Given, DATE is used with a number in TIME too, which
            then counts from the midnight of DATE.
        censored: "refuse" censored observations; "drop" them (method M1: their rows then only carry covariates); or
            "use" the probability of their interval in the likelihood (method M3, or M4 with noise `Positive`).
        repeats: "refuse" a dose or a reset that is there twice, which is often a row copied by mistake, or "keep" both,
            as NONMEM does.
        molar_mass: for example "180.2 g/mol", or one for each output and state, where data and model have amounts of
            substance on one side and masses on the other.
    """

    path: str = eqx.field(static=True)
    units: Mapping[str, str | Mapping[str, str]] = eqx.field(static=True)
    outputs: Mapping[str, int | str] = eqx.field(static=True)
    compartments: Mapping[int | str, str] = eqx.field(static=True, default_factory=dict)
    covariates: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    covariate_interpolation: str = eqx.field(static=True, default="locf")
    missing: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    columns: Mapping[str, str] = eqx.field(static=True, default_factory=dict)
    dates: str = eqx.field(static=True, default="")
    censored: str = eqx.field(static=True, default="refuse")
    repeats: str = eqx.field(static=True, default="refuse")
    molar_mass: str | Mapping[str, str] = eqx.field(static=True, default="")

    def __check_init__(self):
        """Check what needs neither model nor file."""
        check_dates(self.dates)
        choices = {"covariate_interpolation": INTERPOLATIONS, "censored": CENSORED, "repeats": REPEATS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise UserError(f"data.{name} is '{getattr(self, name)}'; it may be {' or '.join(known)}.")
        if not self.outputs:
            raise UserError("data.outputs is empty; say which output of the model DV observes.")
        numbers = [key(number) for number in self.outputs.values()]
        for output, number in zip(self.outputs, numbers, strict=True):
            if numbers.count(number) > 1:
                raise UserError(
                    f"data.outputs gives DVID {number} to {output} and to another output; give each its own."
                )
        known = (*UNDERSTOOD, *self.covariates)
        for name in self.columns:
            if name.upper() not in (*UNDERSTOOD, *self._kept()):
                raise UserError(f"data.columns has '{name}', which is no column of this reader. {nearest(name, known)}")
        Conversion(self.units, self.molar_mass).check()

    def read(self, model: AbstractModel) -> Dataset:
        """Read the table."""
        self._check_names(model)
        content, conversion = self._content(), Conversion(self.units, self.molar_mass)
        table = self._table(content)
        order, event = table.subjects(), event_codes(table)
        time, dated = read_times(table, order, conversion.unit("TIME"), model.time, self.dates)
        report_unused(table, self._kept(), dated=dated)
        time = run_on(table, time, order, event)
        check_ascending(table, time, order)
        states = tuple(model.states)
        into = states_dosed(table, event, self.compartments, states)
        doses = read_doses(table, event, time, into, states, lambda c, s: conversion.dose(c, s, model))
        seen = read_observations(
            table, event, self.outputs, lambda o: conversion.output(o, model), censored=self.censored
        )
        report_untreated(order, doses, seen)
        check_repeats(table, time, event, keep=self.repeats == "keep")
        baseline, varying = read_covariates(
            table, self.covariates, order, time, self.covariate_interpolation, self.missing
        )
        carried = self.covariate_interpolation if varying else ""
        return Dataset(
            subjects=tuple(order),
            events=_events(order, event, time, doses, seen, len(states), carried),
            doses=_doses(order, event, doses),
            covariates=baseline,
            varying=varying,
            covariate_units={name: conversion.unit(name) for name in self.covariates},
            observations=long_form(order, time, seen, self.outputs),
            output_units={o: model.outputs[o] for o in self.outputs},
            time_unit=model.time,
            source=table.name,
            sha256=hashlib.sha256(content).hexdigest(),
        )

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
        Conversion(self.units, self.molar_mass).check_names(model)

    def _content(self) -> bytes:
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise UserError(
                f"data.path: '{self.path}' cannot be read ({error.strerror}); give the path of the data file."
            ) from error

    def _table(self, content: bytes) -> Table:
        columns = {name.upper(): column.upper() for name, column in self.columns.items()}
        return named(Table.parse(content, Path(self.path).name), columns, tuple(self.compartments), self._kept())

    def _kept(self) -> tuple[str, ...]:
        return tuple(name.upper() for name in self.covariates)


def _events(
    order: Mapping[str, np.ndarray],
    event: np.ndarray,
    time: np.ndarray,
    doses: Mapping[int, Dose],
    seen: Seen,
    states: int,
    carried: str,
) -> Batch:
    """Return the event tables; every row is in them, for a person's time starts at the first and covariates change."""

    def row(r: int) -> Dose | Reset | Mark | float:
        if r in doses:
            return doses[r]
        at = float(time[r])
        return Reset(at) if event[r] == 3 else at if r in seen else Mark(at)

    return batch(
        [event_table([row(r) for r in rows.tolist()], states=states, carried=carried) for rows in order.values()]
    )


def _doses(order: Mapping[str, np.ndarray], event: np.ndarray, doses: Mapping[int, Dose]) -> Doses:
    """Return the dose records in long form."""
    subject = {r: i for i, rows in enumerate(order.values()) for r in rows.tolist()}
    place = {r: i for rows in order.values() for i, r in enumerate(rows.tolist())}
    rows = sorted(doses)

    def column(name: str, kind: type) -> np.ndarray:
        return np.array([getattr(doses[r], name) for r in rows], kind)

    return Doses(
        subject=np.array([subject[r] for r in rows], int),
        evid=event[rows].astype(int),
        row=np.array([place[r] for r in rows], int),
        **{name: column(name, float) for name in ("time", "amount", "rate", "duration", "interval")},
        **{name: column(name, int) for name in ("state", "additional", "steady")},
    )
