"""The reference cases of dose records, read as a table: the same events as when written by hand."""

import csv
import json

import jax
import numpy as np
import pytest

from tests.validation import events
from vtrial.data import NonmemTable
from vtrial.dosing import EventTable

CASES = [n for n in events.names() if n.partition("_")[0] <= "s16"]
"""Those of pharmacokinetics: every kind of record is in them; s03 has a dose twice."""


@pytest.mark.parametrize("name", CASES)
def test_a_case_read_as_a_table(tmp_path, name):
    with (events.DATA / "events_cases.csv").open() as file:
        mine = [row for row in csv.DictReader(file) if row["CASE"] == name]
    varies = bool(mine[0]["COV"].strip('"'))
    for row in mine:
        row["CRCL"] = json.loads(row.pop("COV"))["CRCL"] if varies else "90"
    path = tmp_path / "case.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(mine[0]))
        writer.writeheader()
        writer.writerows(mine)
    model = events.case(name).model
    data = NonmemTable(
        path=str(path),
        units={"TIME": model.time, "AMT": "mg", "DV": "mg/L", "CRCL": "mL/min"},
        outputs={"concentration": "CP"},
        compartments=dict(enumerate(model.states, start=1)),
        covariates=("CRCL",),
        covariate_interpolation="nocb",
        repeats="keep",
        columns={"DV": "VALUE", "DVID": "OUTPUT"},
    ).read(model)
    case = events.case(name)
    found = jax.tree.map(lambda x: x[0], data.events.tables[0])
    for field in EventTable.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, field), getattr(case.events, field), err_msg=field)
    np.testing.assert_array_equal(data.observations["concentration"].value, case.expected["concentration"])
    if varies:
        np.testing.assert_allclose(3.2 * (data.varying["CRCL"][0] / 90) ** 0.7, case.p["CL"])
    else:
        assert not data.varying
