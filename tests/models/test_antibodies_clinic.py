"""Evolocumab (Kuchimanchi 2018) and alirocumab (Martinez 2019) in patients against formulas and SciPy's LSODA."""

import numpy as np
import pytest
from vtrial.models.oral_1cpt_linear_mm_ldl import ExposureLowersLdl
from vtrial.models.oral_2cpt_linear_mm import TwoCompartmentOralParallelElimination

from tests.models.cards import integrated, population, repeated, solve, subject

DAY = 24.0
NMOL = 1 / 0.1418
"""nmol of evolocumab in 1 mg."""
REFERENCE = {"WT": 84.0, "SEX": 0.0, "STATIN": 0.0, "EZETIMIBE": 0.0, "HEFH": 0.0, "PCSK9": 425.0}
EVOLOCUMAB, ALIROCUMAB = ExposureLowersLdl(), TwoCompartmentOralParallelElimination()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"CL": 0.105, "VC": 5.18, "VMAX": 9.85 / NMOL, "KM": 27.3 / NMOL, "KA": 0.319, "F_depot": 0.72}),
        ({}, {"LDL0": 150.0, "EMAX": 99.7, "EC50": 51.5}),
        ({"WT": 60.0}, {"CL": 0.105 * (60 / 84) ** 0.276, "VC": 5.18 * (60 / 84) ** 1.04}),
        ({"WT": 60.0, "PCSK9": 283.0}, {"VMAX": 9.85 / NMOL * (60 / 84) ** 0.145 * (283 / 425) ** 0.194}),
        ({"SEX": 1.0}, {"VC": 5.18 * 1.11, "LDL0": 150.0}),
        ({"STATIN": 1.0}, {"VMAX": 9.85 / NMOL * 1.13, "LDL0": 150 * 0.797, "EMAX": 99.7 * 0.937, "EC50": 51.5}),
        ({"EZETIMIBE": 1.0}, {"VMAX": 9.85 / NMOL * 1.2, "LDL0": 150 * 0.768, "EMAX": 99.7}),
        ({"HEFH": 1.0}, {"LDL0": 150 * 1.28, "EMAX": 99.7}),
    ],
)
def test_evolocumab_covariates(change, expected):
    found = subject("evolocumab_clinical", EVOLOCUMAB, REFERENCE | change)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def evolocumab_by_scipy(p, dose, every, times):
    """Drug and exposure in nmol and L, as the source writes them; the window begins and ends at a break."""

    def rates(t, y):
        c = y[1] / p["VC"]  # nmol/L
        saturable = p["VC"] * 9.85 * c / (27.3 + c)
        return [-p["KA"] * y[0], p["KA"] * y[0] - p["CL"] * c - saturable, c if 56.0 <= t < 84.0 else 0.0]

    doses = [(t, dose * NMOL * p["F_depot"], 0) for t in np.arange(0.0, 84.0, every).tolist()]
    found = integrated(rates, [0.0, 0.0, 0.0], doses, times, 56.0, 84.0)
    return found[:, 1] / p["VC"] / NMOL, found[:, 2] / NMOL


@pytest.mark.parametrize(("dose", "every", "potency"), [(420.0, 28.0, 2.3), (140.0, 21.0, 1.0)])
def test_exposure_lowers_ldl(dose, every, potency):
    """The last regimen has no dose on day 56, where the exposure begins to count within a step of the solver."""
    p = subject("evolocumab_clinical", EVOLOCUMAB, REFERENCE)
    p["EC50"] = potency * p["EC50"]
    times = [10.0, 41.0, 60.0, 84.0, 100.0]
    given = repeated(dose, every, len(np.arange(0.0, 84.0, every)))
    found = solve(EVOLOCUMAB, p, [given, *times])
    concentration, exposure = evolocumab_by_scipy(p, dose, every, times)
    np.testing.assert_allclose(found["concentration"], concentration, rtol=1e-4)
    np.testing.assert_allclose(found["exposure"], exposure, rtol=1e-4)
    np.testing.assert_allclose(found["ldl"], 150 - 99.7 * exposure / (51.5 * potency + exposure), rtol=1e-4)
    np.testing.assert_allclose(found["ldl"][:2], 150.0, rtol=1e-12)
    assert found["ldl"][4] == pytest.approx(found["ldl"][3], rel=1e-6)  # after the window it stays


def test_greatest_reduction_is_the_published_one():
    """66 %, of two digits: what an endless exposure of the reference patient takes away."""
    p = subject("evolocumab_clinical", EVOLOCUMAB, REFERENCE)
    y = {"depot": 0.0, "central": 0.0, "exposure": 1e12}
    left = float(EVOLOCUMAB.observe(84.0, y, p)["ldl"]) / p["LDL0"]
    assert 100 * (1 - left) == pytest.approx(66.0, abs=0.5)


PATIENT = {"WT": 70.0, "AGE": 50.0, "STATIN": 1.0, "FPCSK9": 100.0}


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ({}, "CL", 0.0124 + 2.92e-4 * (70 - 82.9) + 0.00644),
        ({"STATIN": 0.0}, "CL", 0.0124 + 2.92e-4 * (70 - 82.9)),
        ({"WT": 120.0}, "CL", 0.0124 + 2.92e-4 * (120 - 82.9) + 0.00644),
        ({}, "KM", 7.73 - 0.541 * 100 / 72.9),
        ({"FPCSK9": 0.0}, "KM", 7.73),
        ({}, "VP", 2.79 * (50 / 60) ** 0.31),
        ({}, "VMAX", 0.183),
    ],
)
def test_alirocumab_covariates_add(change, name, expected):
    """Rates are published by the hour, the model counts days."""
    by = DAY if name in ("CL", "VMAX") else 1.0
    found = subject("alirocumab", ALIROCUMAB, PATIENT | change)
    assert found[name] == pytest.approx(by * expected, rel=1e-9)
    assert "(CL + 0.000292 (WT - 82.9) + 0.00644 STATIN)" in population("alirocumab")["CL"].describe("CL")


def test_alirocumab():
    """75 mg every two weeks against SciPy's LSODA, in hours as published."""
    cl, km, vp = 0.0124 + 2.92e-4 * (70 - 82.9) + 0.00644, 7.73 - 0.541 * 100 / 72.9, 2.79 * (50 / 60) ** 0.31

    def rates(t, y):
        c, absorbed = y[1] / 3.19, 0.00768 * y[0]
        exchanged = 0.0185 * (c - y[2] / vp)
        return [-absorbed, absorbed - cl * c - 0.183 * c / (km + c) - exchanged, exchanged]

    days = np.array([1.0, 4.0, 13.9, 16.0, 28.0, 42.0, 60.0])
    doses = [(14 * DAY * i + 0.641, 75 * 0.862, 0) for i in range(4)]
    expected = integrated(rates, [0.0, 0.0, 0.0], doses, (DAY * days).tolist())[:, 1] / 3.19
    p = subject("alirocumab", ALIROCUMAB, PATIENT)
    found = solve(ALIROCUMAB, p, [repeated(75.0, 14.0, 4), *days.tolist()])["concentration"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
