"""Dose records that contradict themselves: each is refused by file, row, ID, column and value."""

import jax
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import table
from vtrial.errors import UserError

BAD = [
    # columns, cells of row 3, column and value named, reason
    ("EVID,AMT", "5,10", "EVID: '5'", "codes 5 to 8, by which rxode2 and mrgsolve"),
    ("EVID,AMT", "8,10", "EVID: '8'", "codes 5 to 8"),
    ("EVID,AMT", "9,10", "EVID: '9'", r"only 0 \(observation\)"),
    ("EVID,AMT", "1,-10", "AMT: '-10'", "the amount is negative"),
    ("AMT", "-10", "AMT: '-10'", "the amount is negative"),
    ("EVID,AMT", "1,0", "AMT: '0'", "a dose record needs an amount above 0"),
    ("EVID,AMT", "4,.", "AMT: 'missing'", "a dose record needs an amount above 0"),
    ("EVID,AMT", "2,10", "AMT: '10'", "a record that is no dose has an amount; set EVID to 1"),
    ("EVID,AMT", "3,10", "AMT: '10'", r"a reset \(EVID 3\) has an amount; set EVID to 4"),
    ("EVID,AMT,RATE", "2,0,5", "RATE: '5'", "a record that is no dose has a value of RATE"),
    ("EVID,AMT,TINF", "2,0,5", "TINF: '5'", "a record that is no dose has a value of DUR"),
    ("EVID,AMT,ADDL", "2,0,5", "ADDL: '5'", "a record that is no dose"),
    ("EVID,AMT,SS", "3,0,1", "SS: '1'", "a record that is no dose"),
    ("EVID,AMT,RATE", "1,10,-3", "RATE: '-3'", r"a rate is 0 \(bolus\), above 0, -1 .* or -2"),
    ("EVID,AMT,RATE", "1,10,fast", "RATE: 'fast'", "the cell is not a number"),
    ("EVID,AMT,DUR", "1,10,-3", "DUR: '-3'", "the duration is negative"),
    ("EVID,AMT,RATE,DUR", "1,10,5,3", "DUR: '3'", "do not agree: rate times duration is 15"),
    ("EVID,AMT,RATE,DUR", "1,10,-2,3", "DUR: '3'", "RATE -2 takes rate or duration from a parameter"),
    ("EVID,AMT,SS,II", "1,10,3,12", "SS: '3'", "SS 3 is not read; use 1"),
    ("EVID,AMT,SS,II", "1,10,4,12", "SS: '4'", "only 0, 1 "),
    ("EVID,AMT,SS,II", "1,10,1,0", "II: '0'", "doses at steady state need an interval above 0"),
    ("EVID,AMT,SS,II,RATE", "1,0,1,12,5", "II: '12'", "a constant infusion at steady state .* is not repeated"),
    ("EVID,AMT,SS,II,RATE,DUR", "1,0,1,0,5,2", "DUR: '2'", "a constant infusion at steady state .* has no duration"),
    ("EVID,AMT,SS,II,RATE", "1,0,1,0,-2", "AMT: '0'", "a dose record needs an amount above 0"),
    ("EVID,AMT,SS,II", "1,0,1,12", "AMT: '0'", "a dose record needs an amount above 0"),
    ("EVID,AMT,ADDL", "1,10,2", "II: 'missing'", "additional doses need an interval above 0"),
    ("EVID,AMT,ADDL,II", "1,10,2.5,12", "ADDL: '2.5'", "must be 0, 1, 2"),
    ("EVID,AMT,ADDL,II", "1,10,-1,12", "ADDL: '-1'", "must be 0, 1, 2"),
    ("EVID,AMT,II", "1,10,-12", "II: '-12'", "the interval is negative"),
    ("EVID,AMT,CMT", "1,10,gut", "CMT: 'gut'", "no compartment has this number or name; data.compartments knows"),
    ("EVID,AMT,CMT", "2,0,-1", "CMT: '-1'", "switches a compartment off in NONMEM, is not read"),
    ("EVID,AMT,LAG", "1,10,0.5", "LAG: '0.5'", "lag times are not read from the data"),
    ("AMT,DVID", "0,7", "DVID: '7'", "no output has this DVID"),
]


@pytest.mark.parametrize(("columns", "cells", "where", "reason"), BAD)
def test_refused(tmp_path, columns, cells, where, reason):
    file = tmp_path / "d.csv"
    empty = ",".join("." if name != "DVID" else "1" for name in columns.split(","))
    file.write_text(f"ID,TIME,DV,{columns}\nP7,0,1,{empty}\nP7,1,2,{cells}\n")
    reader = table(file, covariates=(), compartments={1: "depot"})
    with pytest.raises(UserError, match=rf"d\.csv, row 3, ID P7, column {where}: .*{reason}"):
        reader.read(OneCompartmentOral())


def test_a_time_that_starts_anew_at_a_reset(tmp_path):
    """It goes on from the row above: the same data as with times written so; a dose alone may not go back."""
    file, model = tmp_path / "d.csv", OneCompartmentOral()
    reader = table(file, covariates=(), compartments={1: "depot"})
    text = "ID,TIME,DV,EVID,AMT\n1,0,.,1,10\n1,9,2,0,.\n1,0,.,{},10\n1,5,3,0,.\n1,2,.,3,.\n1,4,0,0,.\n"
    file.write_text(text.format(4))
    anew = reader.read(model)
    assert anew.observations["concentration"].time.tolist() == [9.0, 14.0, 16.0]
    file.write_text("ID,TIME,DV,EVID,AMT\n1,0,.,1,10\n1,9,2,0,.\n1,9,.,4,10\n1,14,3,0,.\n1,14,.,3,.\n1,16,0,0,.\n")
    pairs = zip(jax.tree.leaves(anew.events), jax.tree.leaves(reader.read(model).events), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    file.write_text(text.format(1))
    with pytest.raises(UserError, match=r"d\.csv, row 4, ID 1, column TIME: '0': the time is before that"):
        reader.read(model)


def test_units_of_infusions(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("ID,TIME,DV,AMT,RATE,DUR,II,ADDL\n1,0,.,1,0.5,2,60,1\n1,30,.,1,.,5,.,.\n1,40,1,.,.,.,.,.\n")
    units = {"TIME": "min", "AMT": "g", "DV": "mg/L"}
    reader = table(file, covariates=(), compartments={1: "depot"}, units=units)
    given = reader.read(OneCompartmentOral()).doses
    assert given.rate.tolist() == [pytest.approx(30e3), 0.0]  # the rate stays where a duration agrees with it
    assert given.duration.tolist() == [0.0, pytest.approx(5 / 60)]
    assert given.interval.tolist() == [1.0, 0.0]
    other = table(file, covariates=(), compartments={1: "depot"}, units=units | {"RATE": "g/h", "DUR": "h"})
    assert other.read(OneCompartmentOral()).doses.rate[0] == pytest.approx(500.0)
