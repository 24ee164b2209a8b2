import pytest

from vtrial import units
from vtrial.errors import UserError


@pytest.mark.parametrize(
    ("given", "wanted", "factor"),
    [
        ("h", "h", 1),
        ("day", "h", 24),
        ("mg", "g", 1e-3),
        ("ng/mL", "mg/L", 1e-3),
        ("L/day", "L/h", 1 / 24),
        ("1/min", "1/h", 60),
        ("", "", 1),
    ],
)
def test_factor(given, wanted, factor):
    assert units.factor(given, wanted, where="x") == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [("300 mg", "mg", 300), ("0.3 g", "mg", 300), ("2 day", "h", 48), ("5 ug/mL", "mg/L", 5)],
)
def test_quantity(text, wanted, value):
    assert units.quantity(text, wanted, where="x") == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("300", "no unit"),
        ("many mg", "not a number"),
        ("300 h", "cannot be converted"),
        ("300 zorkmids", "is not a unit"),
        ("mg", "not a number"),
    ],
)
def test_quantity_refuses(text, said):
    with pytest.raises(UserError, match=rf"^dose.*{said}"):
        units.quantity(text, "mg", where="dose")


def test_a_number_is_no_unit():
    with pytest.raises(UserError, match="write the unit alone"):
        units.factor("70 kg", "kg", where="x")


@pytest.mark.parametrize(
    ("given", "wanted", "factor"),
    [("ng/mL", "nmol/L", 2.0), ("nmol/L", "ng/mL", 0.5), ("mg", "umol", 2.0), ("mol", "kg", 0.5), ("mg", "ug", 1000.0)],
)
def test_molar_mass(given, wanted, factor):
    assert units.factor(given, wanted, where="x", molar_mass=500.0) == pytest.approx(factor, rel=1e-12)


def test_a_molar_mass_converts_nothing_else():
    with pytest.raises(UserError, match="x is given in 'mg', which can be converted to 'nmol' only by a molar mass"):
        units.factor("mg", "nmol", where="x")
    with pytest.raises(UserError, match="x is given in 'mg/L', which cannot be converted to 'nmol'"):
        units.factor("mg/L", "nmol", where="x", molar_mass=500.0)
