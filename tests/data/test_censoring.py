"""Censored observations in use: what each column means, and what contradicts."""

import logging

import numpy as np
import pytest

from tests.data.test_conventions import read
from vtrial.errors import UserError

INF = np.inf
CASES = [
    # header, the row's cells after ID, TIME, DV, AMT -> value, lower, upper
    ("CENS", "2,.,1", (2, -INF, 2)),
    ("CENS", "9,.,-1", (9, 9, INF)),
    ("CENS,LIMIT", "2,.,1,0.5", (2, 0.5, 2)),
    ("CENS,LIMIT", "9,.,-1,20", (9, 9, 20)),
    ("BLQ", "2,.,1", (2, -INF, 2)),
    ("BLQ,LLOQ", "0,.,1,2.5", (2.5, -INF, 2.5)),
    ("BLQ,LLOQ", ".,.,1,2.5", (2.5, -INF, 2.5)),
    ("CENS,LLOQ", "1,.,1,2.5", (2.5, -INF, 2.5)),
    ("CENS,LLOQ,LIMIT", "1,.,1,2.5,0", (2.5, 0, 2.5)),
    ("LLOQ", "2,.,2.5", (2.5, -INF, 2.5)),
]


@pytest.mark.parametrize(("head", "row", "expected"), CASES)
@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_intervals_in_the_output_unit(tmp_path, caplog, head, row, expected, factor):
    dots = ",." * len(head.split(","))
    text = f"ID,TIME,DV,AMT,{head}\n1,0,.,10{dots}\n1,1,5,.{dots}\n1,2,{row}\n2,0,.,10{dots}\n2,1,4,.{dots}\n"
    units = {"TIME": "h", "AMT": "mg", "DV": "mg/L" if factor == 1 else "mg/mL"}
    with caplog.at_level(logging.INFO):
        seen = read(tmp_path, text, censored="use", units=units).observations["concentration"]
    np.testing.assert_allclose([seen.value[1], seen.lower[1], seen.upper[1]], factor * np.array(expected))
    np.testing.assert_array_equal(seen.censored, [False, True, False])
    np.testing.assert_array_equal(seen.previous, [-1, 0, -1])
    assert "1 of 3 observations are censored" in caplog.text


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [
        ("CENS,LLOQ", "5,.,1,2", "column DV: '5': .*but DV is above LLOQ"),
        ("CENS,BLQ", "5,.,-1,1", "column CENS: '-1': .*BLQ or LLOQ says that it is below"),
        ("BLQ", "0,.,1", "column BLQ: '1': neither DV nor LLOQ says the limit"),
        ("BLQ,LLOQ,LIMIT", "0,.,1,2,3", "column LIMIT: '3': .*lower limit below DV"),
    ],
)
def test_contradictions(tmp_path, head, row, said):
    dots = ",." * len(head.split(","))
    with pytest.raises(UserError, match=rf"row 4, ID 1, {said}"):
        read(tmp_path, f"ID,TIME,DV,AMT,{head}\n1,0,.,10{dots}\n1,1,5,.{dots}\n1,2,{row}\n", censored="use")


def test_a_missing_value_below_the_limit_is_an_observation_not_an_empty_row(tmp_path):
    text = "ID,TIME,DV,AMT,BLQ,LLOQ\n1,0,.,10,.,.\n1,1,5,.,0,1\n1,2,.,.,1,1\n"
    with pytest.raises(UserError, match="row 4, ID 1, column BLQ: '1': the value is below"):
        read(tmp_path, text)


def test_a_subject_without_observations_is_said(tmp_path, caplog):
    text = "ID,TIME,DV,AMT,CENS\n1,0,.,10,.\n1,1,5,.,0\nB,0,.,10,.\nB,1,2,.,1\nC,0,.,10,.\n"
    read(tmp_path, text, censored="drop")
    assert "2 subject(s) have no observation in use: ID B, C; the fit learns nothing from them." in caplog.text


@pytest.mark.parametrize(("dosed", "told"), [("A", True), ("AB", False), ("", False)])
def test_a_subject_without_a_dose_beside_others_with_one_is_said(tmp_path, caplog, dosed, told):
    rows = "".join(f"{who},0,.,10\n" * (who in dosed) + f"{who},1,5,.\n" for who in "AB")
    with caplog.at_level(logging.INFO):
        read(tmp_path, "ID,TIME,DV,AMT\n" + rows)
    assert ("1 subject(s) have observations but no dose: ID B;" in caplog.text) is told


def test_a_negative_value_is_told_once_and_a_censored_one_is_not(tmp_path, caplog):
    text = "ID,TIME,DV,AMT,CENS\n1,0,.,10,.\n1,1,-0.2,.,0\n1,2,-1,.,0\n1,3,-3,.,1\n2,0,.,10,.\n2,1,4,.,0\n"
    read(tmp_path, text, censored="use")
    (said,) = [r.getMessage() for r in caplog.records if "negative" in r.getMessage()]
    assert "row 3, ID 1, column DV: the value -0.2 is negative (1 more row(s) likewise)" in said
    assert "CENS or BLQ" in said
