"""Vancomycin: Goti 2018, Colin 2019, Thomson 2009 and Buelga 2005 against their formulas and an independent solver."""

import jax.numpy as jnp
import numpy as np
import pytest
from hydra.utils import instantiate
from vtrial.models.iv_1cpt import OneCompartmentBolus
from vtrial.models.iv_2cpt import TwoCompartmentIntravenous

from tests.helpers import written
from tests.models.cards import repeated, solve, subject
from vtrial._resources import directory

MODEL = TwoCompartmentIntravenous()
GOTI = {"CRCL": 120.0, "WT": 70.0, "DIAL": 0.0}
DOSES = repeated(1000.0, 12.0, 11, rate=1000.0)


def standard(age):
    """Serum creatinine (mg/dL) that Colin's model expects at an age in years."""
    return np.exp(-1.22839 + 0.67190 * np.log10(age) + 6.27017 * np.exp(-3.10940 * age))


def colin(weight, weeks, creatinine):
    covariates = {"WT": weight, "PMA": weeks, "SCRD": creatinine - standard(weeks / 52)}
    return subject("vancomycin_colin", MODEL, covariates)


def area(p, start, end):
    """AUC by Gauss's rule of 20 points between the starts and ends of the infusions."""
    points, weights = np.polynomial.legendre.leggauss(20)
    edges = np.array([t for t in np.arange(0.0, 133.0) if start <= t <= end and t % 12 in (0, 1)])
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    values = solve(MODEL, p, [DOSES, *(middle + half * points).ravel().tolist()])["concentration"]
    return float(np.sum(half * weights * values.reshape(half.shape[0], -1)))


def test_goti_concentrations():
    found = solve(MODEL, subject("vancomycin_goti", MODEL, GOTI), [DOSES, 1.0, 12.0, 96.0, 97.0, 108.0])
    expected = [15.65429, 5.20176, 12.71488, 27.79860, 12.80968]
    np.testing.assert_allclose(found["concentration"], expected, rtol=1e-4)


@pytest.mark.parametrize(("start", "end", "expected"), [(0, 24, 249.97157), (96, 120, 440.7425)])
def test_goti_area(start, end, expected):
    p = subject("vancomycin_goti", MODEL, GOTI)
    assert area(p, start, end) == pytest.approx(expected, rel=1e-4)


def test_area_of_a_day_at_steady_state_is_the_daily_dose_over_clearance():
    p = subject("vancomycin_goti", MODEL, GOTI)
    assert 2000.0 / p["CL"] == pytest.approx(444.4444, rel=1e-6)
    fast = p | {"VC": p["VC"] / 4, "VP": p["VP"] / 8}  # at steady state after four days
    assert area(fast, 96, 120) == pytest.approx(2000.0 / p["CL"], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "parameter", "ratio"),
    [
        ({"DIAL": 1.0}, "CL", 0.7),
        ({"DIAL": 1.0}, "VC", 0.5),
        ({"CRCL": 60.0}, "CL", 0.5**0.8),
        ({"CRCL": 200.0}, "CL", (150 / 120) ** 0.8),
        ({"WT": 140.0}, "VC", 2.0),
        ({"WT": 140.0}, "VP", 1.0),
    ],
)
def test_goti_covariates(change, parameter, ratio):
    typical, other = (subject("vancomycin_goti", MODEL, GOTI | c)[parameter] for c in ({}, change))
    assert other / typical == pytest.approx(ratio, rel=1e-9)


def test_colin():
    weeks = 52 * (35 + 40 / 52)
    reference = colin(70.0, weeks, standard(weeks / 52))
    for name, value in {"CL": 5.312, "VC": 42.52, "VP": 41.68, "Q": 3.222}.items():
        assert reference[name] == pytest.approx(value, rel=1e-9)
    assert standard(weeks / 52) == pytest.approx(0.831448, rel=1e-5)
    assert colin(3.0, 40.0, 0.5)["CL"] == pytest.approx(0.252315, rel=1e-4)
    assert colin(70.0, 80 * 52 + 40, 1.0)["CL"] == pytest.approx(2.513604, rel=1e-4)


@pytest.mark.parametrize(("exponent", "expected"), [(0.0, 38.4), (1.0, 38.4 * 2)])
def test_scaling_of_the_peripheral_volume_is_a_choice(exponent, expected):
    """Two ports of the model differ in it: not scaled is the default of the file, the other one a setting."""
    node = written(directory("conf") / "population" / "vancomycin_goti.yaml")
    setting = node["parameters"]["VP"]["covariates"]["WT"]
    assert setting["exponent"] == 0.0
    setting["exponent"] = exponent
    vp = instantiate(node, _convert_="all")["VP"]
    found = vp.individual(
        "VP", {"VP": jnp.asarray(vp.prior.centre(), float)}, jnp.zeros(()), {"WT": jnp.asarray(140.0)}
    )
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_colin_has_cancer_and_heel_pricks_where_asked_for():
    covariates = {"WT": 70.0, "PMA": 1860.0, "SCRD": 0.0}
    plain = subject("vancomycin_colin", MODEL, covariates)
    for more, ratios in (
        ({"CANCER": 0.0, "HEEL": 0.0}, {"CL": 1.0, "VC": 1.0, "Q": 1.0, "VP": 1.0}),
        ({"CANCER": 1.0, "HEEL": 0.0}, {"CL": 1.294, "VC": 1.0, "Q": 1.0, "VP": 1.0}),
        ({"CANCER": 0.0, "HEEL": 1.0}, {"CL": 1.0, "VC": 0.688, "Q": 0.403, "VP": 1.0}),
    ):
        found = subject("vancomycin_colin_more", MODEL, covariates | more)
        for name, ratio in ratios.items():
            assert found[name] / plain[name] == pytest.approx(ratio, rel=1e-9), (more, name)


def test_thomson_and_buelga():
    thomson = subject("vancomycin_thomson", MODEL, {"CRCL": 100.0, "WT": 80.0})
    expected = {"CL": 2.99 * (1 + 0.0154 * 34), "VC": 0.675 * 80, "Q": 2.28, "VP": 0.732 * 80}
    buelga = subject("vancomycin_buelga", OneCompartmentBolus(), {"CRCL": 100.0, "WT": 80.0})
    expected |= {"CL1": 1.08 * 6.0, "VC1": 0.98 * 80}
    for name, value in (thomson | {"CL1": buelga["CL"], "VC1": buelga["VC"]}).items():
        assert value == pytest.approx(expected[name], rel=1e-9), name
