"""Comments, names of columns, clock times and dates, censoring, covariates that vary, molar masses."""

import logging

import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.tmdd import TargetMediatedDisposition

from tests.helpers import table
from vtrial.data import NonmemTable
from vtrial.errors import UserError

MODEL = OneCompartmentOral()
HEAD = "ID,TIME,DV,AMT,CMT,WT"
PLAIN = {"covariates": (), "compartments": {1: "depot"}}


def read(tmp_path, text, **changes):
    file = tmp_path / "d.csv"
    file.write_text(text)
    return table(file, **(PLAIN | changes)).read(MODEL)


def values(data):
    return data.observations["concentration"].value.tolist()


def times(data):
    return data.observations["concentration"].time.tolist()


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        ("# made by hand, 2026\nID,TIME,DV,AMT\n1,0,.,10\n#1,1,9,.\n1,2,3,.\n", ("1",)),
        ("#ID,TIME,DV,AMT\n1,0,.,10\n1,2,3,.\n", ("1",)),
        ("C,ID,TIME,DV,AMT\n.,1,0,.,10\nC,1,1,9,.\n.,1,2,3,.\n", ("1",)),
        ("#,ID,TIME,DV,AMT\n,1,0,.,10\n#,1,1,9,.\nC,1,1,9,.\n,1,2,3,.\n", ("1",)),
        ("ID,TIME,DV,AMT\n1,0,.,10\nC,1,9,.\n1,2,3,.\n", ("1",)),  # numbers only: nobody is called C
        ("ID,TIME,DV,AMT\nC12,0,.,10\nC12,2,3,.\n", ("C12",)),
        ("ID,TIME,DV,AMT\nC,0,.,10\nC,2,3,.\nB,0,.,5\n", ("C", "B")),  # words: somebody may be
        ("\ufeffID,TIME,DV,AMT\r\n1,0,.,10\r\n\r\n1,2,3,.\r\n", ("1",)),
    ],
)
def test_comments(tmp_path, text, subjects):
    data = read(tmp_path, text)
    assert data.subjects == subjects
    assert values(data) == [3.0]


def test_rows_are_numbered_as_in_an_editor(tmp_path):
    with pytest.raises(UserError, match=r"d\.csv, row 5, ID 1, column DV: 'x'"):
        read(tmp_path, "# a\nID,TIME,DV,AMT\n\n#1,1,9,.\n1,2,x,.\n")


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("id,time,y,amount,adm\n1,0,.,10,1\n1,2,3,.,.\n", {}),
        ("ID,TIME,Y,AMT,YTYPE,ADMID\n1,0,.,10,.,1\n1,2,3,.,1,.\n", {}),
        ("ID,TIME,DV,AMT,ROUTE\n1,0,.,10,ev\n1,2,3,.,.\n", {"compartments": {"ev": "depot", "iv": "central"}}),
        ("ID,TIME,DV,AMT,CMT\n1,0,.,10,Depot\n1,2,3,.,central\n", {"compartments": {}}),
        ("ID,TIME,DV,AMT,CMT\n1,0,.,10,1.0\n1,2,3,.,2.0\n", {}),
        ("ID,TIME,DV,AMT,CMT\n1,0,.,10,0\n1,2,3,.,0\n", {}),
        (
            "WHO,HOURS,CONC,DV,MG\n1,0,.,7,10\n1,2,3,7,.\n",
            {"columns": dict(ID="WHO", time="hours", DV="CONC", AMT="MG")},
        ),
        ("ID,TIME,DV,AMT,DVID\n1,0,.,10,.\n1,2,3,.,cp\n", {"outputs": {"concentration": "CP"}}),
        ("ID,TIME,DV,AMT,MDV\n1,0,.,10,1\n1,1,.,.,1\n1,2,3,.,0\n", {}),
        ("ID,TIME,DV,AMT,EVID\n1,0,.,10,.\n1,1,.,.,2\n1,2,3,.,0\n", {}),
        ("ID,TIME,DV,AMT\n1,0,NA,10\n1,1,NA,NA\n1,2,3,NA\n", {}),
    ],
)
def test_names_of_columns_and_what_is_inferred(tmp_path, text, changes):
    data = read(tmp_path, text, **changes)
    assert values(data) == [3.0]
    assert (data.doses.amount.tolist(), data.doses.state.tolist()) == ([10.0], [0])


def test_messages_name_the_files_own_column(tmp_path):
    with pytest.raises(UserError, match=r"row 3, ID 1, column Y: 'x': the cell is not a number"):
        read(tmp_path, "ID,TIME,Y,AMT\n1,0,.,10\n1,2,x,.\n")


def test_outputs_by_compartment_without_dvid(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("ID,TIME,DV,AMT,CMT\n1,0,.,10,1\n1,2,3,.,2\n1,2,4,.,3\n")
    units = {"TIME": "h", "AMT": "nmol", "DV": {"ligand": "nmol/L", "receptor": "umol/L"}}
    data = NonmemTable(str(file), units, {"ligand": 2, "receptor": 3}, {1: "depot"}).read(TargetMediatedDisposition())
    assert [data.observations[o].value.tolist() for o in ("ligand", "receptor")] == [
        [pytest.approx(3.0)],
        [pytest.approx(4000.0)],
    ]


@pytest.mark.parametrize(
    ("rows", "changes", "expected"),
    [
        (["08:00,.,10", "09:30,1,.", "10:00:36,2,."], {}, [1.5, 2.01]),
        (["2026-02-28,23:00,.,10", "2026-03-01,01:00,1,."], {}, [2.0]),
        (["2026/02/28,23:00,.,10", "2026/03/01,01:00,1,."], {}, [2.0]),
        (["3,23:00,.,10", "4,01:00,1,."], {}, [2.0]),
        (["02/28/26,23:00,.,10", "03/01/26,01:00,1,."], {"dates": "mdy"}, [2.0]),
        (["28.02.2026,23:00,.,10", "01.03.2026,01:00,1,."], {"dates": "dmy"}, [2.0]),
        (["31-12-99,23:00,.,10", "01-01-00,01:00,1,."], {"dates": "dmy"}, [2.0]),
        (["20260228,23:00,.,10", "20260301,01:00,1,."], {"dates": "ymd"}, [2.0]),
        (["2026-02-28,23,.,10", "2026-03-01,1,1,."], {"dates": "ymd"}, [2.0]),  # hours of the day, as numbers
        (["2026-02-28,23,.,10", "2026-02-28,24,1,."], {}, [24.0]),  # a date beside elapsed time
        (["-3,.,10", "-1,5,."], {}, [-1.0]),
    ],
)
def test_times(tmp_path, rows, changes, expected):
    head = "ID,DATE,TIME,DV,AMT" if rows[0].count(",") == 3 else "ID,TIME,DV,AMT"
    data = read(tmp_path, head + "\n" + "".join(f"1,{row}\n" for row in rows), **changes)
    assert times(data) == pytest.approx(expected, abs=1e-12)


BAD_TIMES = [
    (["08:00,.,10", "9,1,."], {}, r"row 3, ID 1, column TIME: '9': this is no clock time"),
    (["0,.,10", "9,1,.", "10:30,1,."], {}, r"row 2, .*'0': this is no clock time .*\(row 4: '10:30'\); correct one of"),
    (["08:00,.,10", "08:75,1,."], {}, r"row 3, ID 1, column TIME: '08:75': this is no clock time"),
    (["23:00,.,10", "01:00,1,."], {}, r"row 3, ID 1, column TIME: '01:00': .*have a column DATE read with it"),
    (["02/03/26,23:00,.,10"], {}, r"row 2, ID 1, column DATE: '02/03/26': .*data\.dates: ymd, mdy, dmy"),
    (["20260302,23:00,.,10"], {}, r"row 2, ID 1, column DATE: '20260302': .*yyyy-mm-dd"),
    (["2026-02-30,23:00,.,10"], {}, r"row 2, ID 1, column DATE: '2026-02-30': there is no such date"),
    ([",23:00,.,10"], {}, r"row 2, ID 1, column DATE: 'missing': the date is missing"),
    (["2026-02-28,23:00,.,10"], {"dates": "days"}, r"row 2, ID 1, column DATE: .*number of days"),
    (["soon,23:00,.,10"], {"dates": "mdy"}, r"row 2, ID 1, column DATE: 'soon': this is no date in the order mdy"),
    (["1,23,.,10", "2,1,1,."], {}, r"row 3, ID 1, column TIME: '1': .*have a column DATE read with it"),
    (["0,.,10"], {"dates": "mdy"}, r"d\.csv has no column DATE"),
    (["0,.,10"], {"dates": "usual"}, r"data\.dates is 'usual'; it may be ymd, mdy, dmy, days"),
]


@pytest.mark.parametrize(("rows", "changes", "said"), BAD_TIMES)
def test_bad_times(tmp_path, rows, changes, said):
    head = "ID,DATE,TIME,DV,AMT" if rows[0].count(",") == 3 else "ID,TIME,DV,AMT"
    with pytest.raises(UserError, match=said):
        read(tmp_path, head + "\n" + "".join(f"1,{row}\n" for row in rows), **changes)


CENSORED = [
    ("CENS", "1,0,.,10,0\n1,1,5,.,0\n1,2,2,.,1\n1,3,4,.,0\n", "'1': the value is censored: .*data.censored: drop"),
    ("CENS", "1,0,.,10,0\n1,1,5,.,0\n1,2,9,.,-1\n1,3,4,.,0\n", "'-1': the value is censored"),
    ("BLQ", "1,0,.,10,0\n1,1,5,.,0\n1,2,2,.,1\n1,3,4,.,0\n", "'1': the value is below the limit of quantification"),
    ("LLOQ", "1,0,.,10,.\n1,1,5,.,2.5\n1,2,2,.,2.5\n1,3,4,.,2.5\n", "'2.5': DV is below this limit"),
]


@pytest.mark.parametrize(("column", "rows", "said"), CENSORED)
def test_censored_observations_are_refused_or_dropped(tmp_path, caplog, column, rows, said):
    text = f"ID,TIME,DV,AMT,{column}\n{rows}"
    with pytest.raises(UserError, match=rf"d\.csv, row 4, ID 1, column {column}: {said}"):
        read(tmp_path, text)
    with caplog.at_level(logging.INFO):
        assert values(read(tmp_path, text, censored="drop")) == [5.0, 4.0]
    assert "1 of 3 observations are censored and dropped" in caplog.text


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [
        ("CENS", "2", r"column CENS: '2': only 0 .*, 1 .* and -1"),
        ("BLQ", "3", r"column BLQ: '3': only 0 and 1"),
        ("CENS,LIMIT", "1,7", r"column LIMIT: '7': .*lower limit below DV"),
        ("CENS,LIMIT", "-1,1", r"column LIMIT: '1': .*upper limit above DV"),
        ("CENS,LIMIT", "1,x", r"column LIMIT: 'x': the cell is not a number"),
        ("LLOQ", "low", r"column LLOQ: 'low': the cell is not a number"),
    ],
)
def test_bad_censoring(tmp_path, head, row, said):
    text = f"ID,TIME,DV,AMT,{head}\n1,0,.,10,{','.join('.' for _ in head.split(','))}\n1,1,5,.,{row}\n"
    with pytest.raises(UserError, match=rf"d\.csv, row 3, ID 1, {said}"):
        read(tmp_path, text, censored="drop")


def test_all_censored(tmp_path):
    with pytest.raises(UserError, match="only censored observations"):
        read(tmp_path, "ID,TIME,DV,AMT,BLQ\n1,0,.,10,0\n1,1,5,.,1\n", censored="drop")


VARYING = HEAD + "\nA,0,.,10,1,\nA,1,1,.,2,50\nA,3,2,.,2,.\nA,5,3,.,2,54\nB,0,.,10,1,70\nB,2,4,.,2,\n"


@pytest.mark.parametrize(
    ("interpolation", "filled"),
    [("locf", [50, 50, 50, 54]), ("nocb", [50, 50, 54, 54]), ("linear", [50, 50, 52, 54])],
)
def test_covariates_that_vary(tmp_path, caplog, interpolation, filled):
    with caplog.at_level(logging.INFO):
        data = read(tmp_path, VARYING, covariates=("WT",), covariate_interpolation=interpolation)
    assert data.covariates["WT"].tolist() == [50.0, 70.0]
    assert data.varying["WT"].tolist() == [filled, [70.0] * 4]
    assert data.every_covariate["WT"].shape == (2, 4)
    assert "WT missing in 3 row(s), filled" in caplog.text
    assert "WT varies within 1 of 2 subject(s)" in caplog.text
    assert f"goes on by data.covariate_interpolation: {interpolation}" in caplog.text
    for stacked, members in zip(data.events.tables, data.events.members, strict=True):
        assert stacked.carried == interpolation
        for row, subject in enumerate(members):
            rows = [4, 2][subject]
            assert np.asarray(stacked.span_time)[row, :rows].tolist() == [[0, 1, 3, 5], [0, 2]][subject]


def test_covariates_that_vary_are_known_at_doses(tmp_path):
    """Each dose has the value of its own row, beside a sample at its time too, and where time starts anew."""
    rows = "A,0,.,10,1,50\nA,1,1,.,2,51\nA,24,.,10,1,.\nA,25,2,.,2,54\n"
    rows += "B,0,.,10,1,70\nB,2,4,.,2,70\nB,3,.,10,1,71\nB,9,1,.,2,71\n"
    data = read(tmp_path, f"{HEAD}\n{rows}", covariates=("WT",), covariate_interpolation="nocb")
    assert data.varying_at_doses()["WT"].tolist() == [50.0, 54.0, 70.0, 71.0]
    rows = "A,0,.,10,1,0,1,50\nA,12,1,.,2,0,0,50\nA,12,.,10,1,0,1,80\nA,0,.,10,1,0,4,90\nA,1,2,.,2,0,0,90\n"
    data = read(tmp_path, f"ID,TIME,DV,AMT,CMT,MDV,EVID,WT\n{rows}".replace(",0,1,", ",1,1,"), covariates=("WT",))
    assert data.varying_at_doses()["WT"].tolist() == [50.0, 80.0, 90.0]


def test_covariates_that_do_not_vary_change_nothing(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    text = VARYING.replace("54", "50")
    data = read(tmp_path, text, covariates=("WT",), covariate_interpolation="nocb")
    assert not data.varying
    assert [t.carried for t in data.events.tables] == [""] * len(data.events.tables)
    assert "varies" not in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (VARYING.replace("B,0,.,10,1,70", "B,0,.,10,1,."), "row 6, ID B, column WT: 'missing': .*every row"),
        (VARYING.replace("54", "heavy"), "row 5, ID A, column WT: 'heavy': the cell is not a number"),
    ],
)
def test_bad_covariates(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, text, covariates=("WT",))


def test_occasions(tmp_path):
    text = "ID,TIME,DV,AMT,OCC\n1,0,.,10,1\n1,1,5,.,1\n1,24,.,10,2\n1,25,6,.,2\n"
    assert values(read(tmp_path, text)) == [5.0, 6.0]
    data = read(tmp_path, text, covariates=("OCC",))
    assert data.varying["OCC"].tolist() == [[1.0, 1.0, 2.0, 2.0]]
    with pytest.raises(UserError, match=r"row 3, ID 1, column OCC: '1\.5': an occasion is a whole number"):
        read(tmp_path, text.replace("1,1,5,.,1", "1,1,5,.,1.5"), covariates=("OCC",))


def test_replicates_are_kept_and_repeated_doses_refused(tmp_path, caplog):
    text = "ID,TIME,DV,AMT\n1,0,.,10\n1,1,5,.\n1,1,6,.\n"
    with caplog.at_level(logging.INFO):
        assert values(read(tmp_path, text)) == [5.0, 6.0]
    assert "1 observation(s) at the time of another" in caplog.text
    with pytest.raises(UserError, match="row 3, ID 1, column TIME repeats the record of row 2"):
        read(tmp_path, text.replace("1,0,.,10\n", "1,0,.,10\n1,0.0,.,10\n"))
    both = read(tmp_path, text.replace("1,0,.,10\n", "1,0,.,10\n1,0.0,.,10\n"), repeats="keep")
    assert both.doses.amount[both.doses.amount > 0].tolist() == [10.0, 10.0]


def test_equal_values_at_one_time_count_twice_and_are_told(tmp_path, caplog):
    """Two tumours measured on one day may have one size."""
    assert values(read(tmp_path, "ID,TIME,DV,AMT\n1,0,.,10\n1,1,5,.\n1,1.0,5.0,.\n")) == [5.0, 5.0]
    assert "row 4, ID 1, column TIME repeats the record of row 3, value too (1 such row(s))" in caplog.text


MOLAR = "ID,TIME,DV,AMT\n1,0,.,180.2\n1,1,1.802,.\n"


def test_molar_masses(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text(MOLAR)
    units, outputs = {"TIME": "h", "AMT": "ug", "DV": "ng/mL"}, {"ligand": 1}
    model = TargetMediatedDisposition()

    def reader(**changes):
        return NonmemTable(str(file), units, outputs, {1: "depot"}, **changes)

    for mass in ("180.2 g/mol", {"ligand": "0.1802 kg/mol", "depot": "180.2 g/mol"}):
        data = reader(molar_mass=mass).read(model)
        assert data.observations["ligand"].value.tolist() == pytest.approx([10.0])
        assert data.doses.amount.tolist() == pytest.approx([1000.0])
    for mass, said in (
        ("", "Column AMT is given in 'ug', which can be converted to 'nmol' only by a molar mass"),
        ({"depot": "180.2 g/mol"}, r"Column DV \(output ligand\) is given in 'ng/mL'.*only by a molar mass"),
        ({"gut": "180.2 g/mol"}, "data.molar_mass has 'gut'"),
    ):
        with pytest.raises(UserError, match=said):
            reader(molar_mass=mass).read(model)
    for mass, said in (("180.2", "has no unit"), ("180.2 mg/L", "cannot be converted"), ("-1 g/mol", "positive")):
        with pytest.raises(UserError, match=said):
            reader(molar_mass=mass)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"covariate_interpolation": "spline"}, "data.covariate_interpolation is 'spline'; it may be locf or nocb or"),
        ({"censored": "m3"}, "data.censored is 'm3'; it may be refuse or drop or use"),
        ({"outputs": {}}, "data.outputs is empty"),
        ({"columns": {"CONC": "Y"}}, "data.columns has 'CONC', which is no column of this reader"),
        ({"columns": {"DV": "CONCE"}}, "d.csv has no column CONCE"),
        ({"units": {"TIME": "h", "AMT": "mg", "DV": {"conc": "mg/L"}}}, "data.units.DV has 'conc'"),
        ({"units": {"TIME": "h", "AMT": {"depot": "mg"}, "DV": "mg/L"}}, "data.units.AMT is a mapping"),
        ({"compartments": {}}, "no column CMT, but there are several compartments"),
    ],
)
def test_bad_settings(tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, "ID,TIME,DV,AMT\n1,0,.,10\n1,1,5,.\n", **changes)


def test_two_outputs_need_two_numbers(tmp_path):
    with pytest.raises(UserError, match="gives DVID 1 to ligand and to another output"):
        NonmemTable("d.csv", {}, {"ligand": 1, "receptor": "1"})
