import jax
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import table
from vtrial.dosing import Dose, EventTable, Mark, Reset, event_table
from vtrial.errors import UserError

MODEL = OneCompartmentOral()
GOOD = """ID,TIME,DV,AMT,EVID,CMT,MDV,WT
A,0,.,320,1,1,1,80
A,0.5,3.1,0,0,2,0,80
A,2,8.0,0,0,2,0,80
B,0,,250,1,1,1,60
B,1.5,6.2,0,0,2,0,60
"""


def read(tmp_path, text, **changes):
    file = tmp_path / "d.csv"
    file.write_text(text)
    return table(file, **changes).read(MODEL)


def events(data, subject):
    """One subject's event table."""
    for members, stacked in zip(data.events.members, data.events.tables, strict=True):
        if subject in members:
            row = members.tolist().index(subject)
            return jax.tree.map(lambda x, row=row: x[row], stacked)
    raise AssertionError("not in any bucket")


def test_a_good_file(tmp_path):
    data = read(tmp_path, GOOD)
    assert data.subjects == ("A", "B")
    assert data.covariates["WT"].tolist() == [80.0, 60.0]
    seen = data.observations["concentration"]
    assert seen.value.tolist() == [3.1, 8.0, 6.2]
    assert seen.subject.tolist() == [0, 0, 1]
    assert data.doses.amount.tolist() == [320.0, 250.0]
    assert data.doses.subject.tolist() == [0, 1]
    times = [np.asarray(events(data, i).sample_time).tolist() for i in (0, 1)]
    assert [times[0][:2], times[1][0]] == [[0.5, 2.0], 1.5]


def test_theophylline_is_complete(data):
    assert len(data.subjects) == 12
    assert len(data.observations["concentration"].value) == 132
    assert data.observations["concentration"].value[0] == 0.74  # the non-zero sample at time 0 of subject 1


def test_units_are_converted(tmp_path):
    units = {"TIME": "min", "AMT": "g", "DV": "ng/mL", "WT": "kg"}
    data = read(tmp_path, GOOD, units=units)
    assert data.observations["concentration"].time[1] == pytest.approx(2 / 60)
    assert data.observations["concentration"].value[1] == pytest.approx(8.0e-3)
    assert data.doses.amount[0] == pytest.approx(320e3)
    assert np.asarray(events(data, 0).amount).max() == pytest.approx(320e3)


@pytest.mark.parametrize(
    "change", [str.lower, lambda s: s.replace("A,", " A ,").replace(",.", ", NA "), lambda s: s + ",,,,,,,\n"]
)
def test_harmless_differences(tmp_path, change):
    assert read(tmp_path, change(GOOD)).observations["concentration"].value.tolist() == [3.1, 8.0, 6.2]


def test_additional_doses(tmp_path):
    text = GOOD.replace("MDV,WT", "MDV,WT,ADDL,II").replace(",80\n", ",80,0,0\n").replace(",60\n", ",60,2,12\n")
    data = read(tmp_path, text.replace("0,0,2,0,60,2,12", "0,0,2,0,60,0,0"))
    given = events(data, 1)
    assert np.asarray(given.time)[np.asarray(given.amount) > 0].tolist() == [0.0, 12.0, 24.0]
    assert data.doses.additional.tolist() == [0, 2]


def test_dvid_must_be_known(tmp_path):
    text = GOOD.replace("MDV,WT", "DVID,WT").replace("8.0,0,0,2,0", "8.0,0,0,2,9").replace(",0,0,2,0,", ",0,0,2,1,")
    with pytest.raises(UserError, match=r"row 4, ID A, column DVID: '9': no output has this DVID"):
        read(tmp_path, text)


BAD = [
    # what, text, the sentence
    ("missing column", GOOD.replace("AMT", "AMTT"), r"d\.csv has no column AMT; .*AMT: NAME\}\. Did you mean 'AMTT'"),
    (
        "non-numeric cell",
        GOOD.replace("8.0", "8,0").replace("8,0", "8;0"),
        r"row 4, ID A, column DV: '8;0': the cell is not a number",
    ),
    ("infinite cell", GOOD.replace("8.0", "inf"), r"row 4, ID A, column DV: 'inf': the cell is not a number"),
    ("empty cell", GOOD.replace("A,2,8.0", "A,,8.0"), r"row 4, ID A, column TIME: 'missing': the cell is empty"),
    (
        "time before the first",
        GOOD.replace("A,0.5", "A,-0.5"),
        r"row 3, ID A, column TIME: '-0\.5': .*sort each subject",
    ),
    ("time runs back", GOOD.replace("A,2,8.0", "A,0.2,8.0"), r"row 4, ID A, column TIME: '0\.2': .*sort each subject"),
    (
        "duplicate dose",
        GOOD.replace("A,0.5,3.1,0,0,2,0", "A,0.0,.,320.0,1,1,1"),
        r"row 3, ID A, column TIME repeats the record of row 2",
    ),
    (
        "unknown compartment",
        GOOD.replace("320,1,1,1", "320,1,7,1"),
        r"row 2, ID A, column CMT: '7': no compartment has this number",
    ),
    (
        "dose without amount",
        GOOD.replace("320,1,1,1", "0,1,1,1"),
        r"row 2, ID A, column AMT: '0': a dose record needs an amount",
    ),
    (
        "amount without dose",
        GOOD.replace("8.0,0,0", "8.0,5,0"),
        r"row 4, ID A, column AMT: '5': a record that is no dose",
    ),
    (
        "observation without value",
        GOOD.replace("8.0", "."),
        r"row 4, ID A, column DV: 'missing': an observation has no value",
    ),
    ("unsupported EVID", GOOD.replace("8.0,0,0", "8.0,0,5"), r"row 4, ID A, column EVID: '5'"),
    ("reset with amount", GOOD.replace("8.0,0,0", ".,7,3"), r"row 4, ID A, column AMT: '7'"),
    (
        "unknown rate",
        GOOD.replace("MDV,WT", "RATE,WT").replace("320,1,1,1", "320,1,1,-3"),
        r"row 2, ID A, column RATE: '-3'",
    ),
    (
        "steady state without interval",
        GOOD.replace("MDV,WT", "SS,WT").replace("320,1,1,1", "320,1,1,1"),
        r"row 2, ID A, column II: 'missing': doses at steady state need an interval",
    ),
    (
        "rate and duration that disagree",
        GOOD.replace("MDV,WT", "RATE,DUR,WT")
        .replace("320,1,1,1", "320,1,1,100,2")
        .replace(",2,0,", ",2,0,0,")
        .replace("250,1,1,1", "250,1,1,0,0"),
        r"row 2, ID A, column (DUR|RATE)",
    ),
    ("no ID", GOOD.replace("B,1.5", ",1.5"), r"row 6, ID \(none\), column ID: 'missing'"),
    ("scattered subject", GOOD + "A,3,2.0,0,0,2,0,80\n", r"row 7, ID A, column ID: subject A appeared before"),
    ("empty file", "", r"d\.csv is empty"),
    ("header only", GOOD.splitlines()[0] + "\n", r"d\.csv has a header but no rows"),
    ("no observation", "\n".join(GOOD.splitlines()[:2]) + "\n", r"no observation"),
    ("no name for another column", GOOD.replace(",DV,", ",CONC,"), r"d\.csv has no column DV; .*\. Known: CONC, WT\."),
    (
        "row cut short",
        GOOD + "B,2,1,0\n",
        r"row 7 cannot be read: it has 4 cell\(s\), but the header names 8 columns; complete it",
    ),
    ("ragged", GOOD + "B,2,1,0,0,2,0,60,1,2,3\n", r"row 7 cannot be read: it has 11 cells"),
    (
        "censored",
        GOOD.replace("MDV,WT", "CENS,WT")
        .replace("320,1,1,1", "320,1,1,0")
        .replace("250,1,1,1", "250,1,1,0")
        .replace("8.0,0,0,2,0", "8.0,0,0,2,1"),
        r"row 4, ID A, column CENS: '1': .*censored",
    ),
    (
        "two compartments observed",
        GOOD.replace("8.0,0,0,2", "8.0,0,0,3"),
        r"row 4, ID A, column CMT: '3': the first observation",
    ),
    ("semicolons", GOOD.replace(",", ";"), r"separates its columns by semicolons"),
    ("same name twice", GOOD.replace("MDV", "DV"), r"has column DV twice"),
    ("column twice", GOOD.replace("CMT", "amt"), r"has column AMT twice"),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_files(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"units": {"TIME": "h", "AMT": "mg", "DV": "h", "WT": "kg"}},
            r"Column DV \(output concentration\) is given in 'h'",
        ),
        ({"units": {"TIME": "mg", "AMT": "mg", "DV": "mg/L", "WT": "kg"}}, "Column TIME is given in 'mg'"),
        ({"units": {"TIME": "h", "DV": "mg/L", "WT": "kg"}}, "lacks the unit of column AMT"),
        ({"covariates": ("AGE",)}, "no column AGE"),
        ({"outputs": {"conc": 1}}, "has 'conc'.*Known: concentration|has 'conc'.*Did you mean 'concentration'"),
        ({"compartments": {1: "gut"}}, "'gut', which is no state.*Known: depot, central"),
    ],
)
def test_bad_settings(tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, GOOD, **changes)


def test_absent_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        table(tmp_path / "nothing.csv").read(MODEL)


def records(tmp_path, columns, rows, **changes):
    """Read dose records of one subject, followed by one observation, and return its event table."""
    names = columns.split(",")
    text = f"ID,TIME,DV,MDV,CMT,{columns},WT\n"
    text += "".join(f"A,{time},.,1,1,{cells},70\n" for time, cells in rows)
    text += f"A,50,1.0,0,2,{','.join('0' for _ in names)},70\n"
    return events(read(tmp_path, text, **changes), 0)


@pytest.mark.parametrize(
    ("columns", "rows", "same"),
    [
        ("EVID,AMT,RATE", [(0, "1,100,20")], [Dose(0.0, 100.0, 0, rate=20.0)]),
        ("EVID,AMT,RATE", [(0, "1,100,-2")], [Dose(0.0, 100.0, 0, rate=-2.0)]),
        ("EVID,AMT,TINF", [(0, "1,100,4")], [Dose(0.0, 100.0, 0, duration=4.0)]),
        ("EVID,AMT,SS,II", [(0, "1,100,1,12")], [Dose(0.0, 100.0, 0, interval=12.0, steady=1)]),
        ("EVID,AMT,SS,II,ADDL", [(0, "1,100,2,12,2")], [Dose(0.0, 100.0, 0, 2, 12.0, steady=2)]),
        ("EVID,AMT,SS,II,RATE", [(0, "1,0,1,0,5")], [Dose(0.0, 0.0, 0, rate=5.0, steady=1)]),
        ("EVID,AMT", [(0, "1,100"), (8, "3,0")], [Dose(0.0, 100.0, 0), Reset(8.0)]),
        ("EVID,AMT", [(0, "1,100"), (8, "4,50")], [Dose(0.0, 100.0, 0), Dose(8.0, 50.0, 0, reset=True)]),
        ("EVID,AMT", [(0, "1,100"), (8, "2,0")], [Dose(0.0, 100.0, 0), Mark(8.0)]),
        ("AMT", [(0, "100"), (8, "50")], [Dose(0.0, 100.0, 0), Dose(8.0, 50.0, 0)]),
        ("EVID,AMOUNT", [(0, "1,100")], [Dose(0.0, 100.0, 0)]),
    ],
)
def test_dose_records(tmp_path, columns, rows, same):
    """A row of the table means what the hand-written record means."""
    found, wanted = records(tmp_path, columns, rows), event_table([*same, 50.0], states=2)
    for name in EventTable.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


def test_a_covariate_that_varies_is_kept_by_row(tmp_path):
    text = GOOD.replace("0,0,2,0,60", "0,0,2,0,61")
    data = read(tmp_path, text, covariate_interpolation="nocb")
    assert data.covariates["WT"].tolist() == [80.0, 60.0]
    assert data.varying["WT"][1].tolist()[:2] == [60.0, 61.0]
    assert events(data, 1).carried == "nocb"
    assert np.asarray(events(data, 1).span_time)[:2].tolist() == [0.0, 1.5]


def test_clock_times_and_dates(tmp_path):
    text = "ID,DATE,TIME,DV,AMT,CMT,WT\nA,2026-03-01,22:00,.,100,1,70\nA,2026-03-02,01:30,2.0,.,2,70\n"
    data = read(tmp_path, text)
    assert data.observations["concentration"].time.tolist() == [3.5]


def test_a_subject_with_one_record_beside_one_with_two_hundred(tmp_path):
    rows = [
        "A,0,.,100,1,1,1,70",
        *(f"A,{t},1.0,0,0,2,0,70" for t in range(1, 200)),
        "B,0,.,100,1,1,1,70",
        "B,1,1,0,0,2,0,70",
    ]
    data = read(tmp_path, "\n".join([GOOD.splitlines()[0], *rows]) + "\n")
    assert len(data.events.tables) == 2
    assert data.events.waste < 0.2
    assert len(data.observations["concentration"].value) == 200
