import pytest

from vtrial.report.numbers import interval, percent, significant, with_error


@pytest.mark.parametrize(
    ("value", "error", "unit", "text"),
    [
        (12.3456, 0.034, "mg/L", "12.35 ± 0.03 mg/L"),
        (12.3456, 0.34, "", "12.3 ± 0.3"),
        (1234.5, 12.0, "h", "1234 ± 12 h"),
        (-0.004, 0.1, "", "0.0 ± 0.1"),
        (float("nan"), 0.1, "", "not known"),
    ],
)
def test_no_more_digits_than_the_error_allows(value, error, unit, text):
    assert with_error(value, error, unit) == text


def test_percent():
    assert percent(0.8951, 0.0217) == "90 ± 2 %"
    assert percent(0.0, 0.005) == "0.0 ± 0.5 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (123456.0, "123000"), (2.0, "2.00"), (0.0, "0"), (1e-9, "1.00e-09"), (float("nan"), "–")],
)
def test_significant(value, text):
    assert significant(value) == text


def test_interval():
    assert interval(1.0, 25.0) == "1.00 to 25.0"
