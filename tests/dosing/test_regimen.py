import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from vtrial.dosing import Regimen
from vtrial.errors import UserError


def test_units_are_converted_once():
    record = Regimen("0.3 g", "0.5 day", 3, "depot").record(OneCompartmentOral())
    assert record == (0.0, pytest.approx(300.0), 0, 2, pytest.approx(12.0))


def test_a_sample_at_the_hour_of_a_dose_is_a_trough():
    events = Regimen("100 mg", "12 h", 3, "depot").records(OneCompartmentOral(), [0.0, 12.0, 13.0])
    assert events.sample_after.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"into": "gut"}, "no state of the model"),
        ({"dose": "300 h"}, "dose is given in 'h'"),
        ({"every": "12 mg"}, "every is given in 'mg'"),
        ({"every": "0 h"}, "interval must be positive"),
        ({"dose": "-1 mg"}, "must not be negative"),
        ({"doses": 0}, "at least 1"),
    ],
)
def test_mistakes(change, said):
    settings = {"dose": "300 mg", "every": "12 h", "doses": 3, "into": "depot"} | change
    with pytest.raises(UserError, match=said):
        Regimen(**settings).record(OneCompartmentOral())
