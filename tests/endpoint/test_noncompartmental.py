"""Noncompartmental analysis against WinNonlin and PKNCA on theophylline, closed forms, and the conventions."""

import csv
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import ROOT, SHARED
from vtrial.cohort.plan import _samples
from vtrial.endpoint import AreaToInfinity, AreaToLast, Clearance, Cmax, Course, HalfLife, Schedule, Tmax, Window
from vtrial.endpoint.profile import area_to_infinity, area_to_last, greatest, profile, terminal

MODEL = OneCompartmentOral()

WINNONLIN = np.array(
    [
        [10.50, 1.12, 0.048456997, 3, 147.234748, 214.923632],
        [8.33, 1.92, 0.104086444, 4, 88.731275, 97.377935],
        [8.20, 1.02, 0.102444314, 3, 95.878198, 106.127668],
        [8.60, 1.07, 0.099287021, 3, 102.633623, 114.216205],
        [11.40, 1.00, 0.086618884, 4, 118.179354, 136.304732],
        [6.44, 1.15, 0.08779574, 7, 71.697015, 82.175883],
        [7.09, 3.48, 0.088336496, 4, 87.969227, 100.987629],
        [7.56, 2.02, 0.08145054, 6, 86.806563, 102.153300],
        [9.03, 0.63, 0.082458634, 3, 83.937436, 97.520004],
        [10.21, 3.55, 0.074959824, 3, 135.576070, 167.860031],
        [8.00, 0.98, 0.09545856, 3, 77.893472, 86.902617],
        [9.75, 3.52, 0.110259489, 3, 115.220208, 125.831540],
    ]
)
"""Subjects 1 to 12 of the theophylline data: Cmax, Tmax, lambda z, samples it was fitted to, AUClast, AUCinf by linear
up and log down. WinNonlin 6.3 as published with R's NonCompart; AUCinf also from PKNCA, to the same digits."""


@jax.jit
def analysed(time, value):
    samples = profile(time, value, 0.0)
    slope = terminal(samples)
    return jnp.stack([*greatest(samples), slope.rate, slope.samples, area_to_last(samples), area_to_infinity(samples)])


def test_theophylline_is_winnonlins():
    times, values = defaultdict(list), defaultdict(list)
    with open(ROOT / "studies" / "data" / "theophylline.csv") as file:
        for row in csv.DictReader(file):
            if row["MDV"] == "0":
                times[int(row["ID"])].append(float(row["TIME"]))
                values[int(row["ID"])].append(float(row["DV"]))
    found = [analysed(np.array(times[i]), jnp.asarray(values[i])) for i in range(1, 13)]
    np.testing.assert_allclose(np.array(found), WINNONLIN, rtol=5e-9, atol=6e-7)


def of(endpoint, time, value):
    """The endpoint of a course."""
    course = Course(np.asarray(time, float), jnp.asarray(value, float), jnp.asarray(value, float), jax.random.key(0))
    return float(endpoint.value(course, MODEL))


def test_a_bolus_is_known_in_closed_form():
    """C = 10 exp(-0.2 t): every piece but the first is exact, whatever the times; CL = dose / AUC."""
    time = np.array([0.0, 0.5, 2, 5, 9, 14])
    value = 10 * np.exp(-0.2 * time)
    window = Schedule("concentration", [f"{t} h" for t in time])
    assert of(HalfLife(window), time, value) == pytest.approx(np.log(2) / 0.2, rel=1e-10)
    assert of(AreaToLast(window), time, value) == pytest.approx((10 - value[-1]) / 0.2, rel=1e-10)
    assert of(AreaToInfinity(window), time, value) == pytest.approx(50, rel=1e-10)
    assert of(Clearance("0.2 g", window, flow="mL/min"), time, value) == pytest.approx(4e3 / 60, rel=1e-10)
    assert of(Tmax(window), time + 24, value) == 0.0


@pytest.mark.parametrize(
    ("value", "cmax", "area"),
    [
        ([0.3, 4, 2, 0.4, 0.2], 4, 2 + 2 / np.log(2)),  # 0 before the first, cut after the last quantified
        ([0.3, 4, 0.4, 2, 0.2], 4, 2 + 2 * 2 / np.log(2)),  # below the limit between: left out
        ([0.3, 4, np.nan, 2, 0.2], 4, 2 + 2 * 2 / np.log(2)),  # missing: left out
        ([0.1, 0.2, 0.3, 0.2, 0.1], 0, 0),  # nothing can be quantified
        ([4, 4, 5, 5, 5], 5, 4 + 4.5 + 10),  # level and up are linear
    ],
)
def test_quantification_limit(value, cmax, area):
    window = Schedule("concentration", [f"{t} h" for t in range(5)])
    assert of(Cmax(window, "0.5 mg/L"), np.arange(5), value) == pytest.approx(cmax)
    assert of(AreaToLast(window, "500 ug/L"), np.arange(5), value) == pytest.approx(area)


@pytest.mark.parametrize("value", [[1.0, 5, 4, 3, 0], [5.0, 1, 2, 3, 4], [5.0, 4, 3, 0, 0]])
def test_no_terminal_slope(value):
    """Fewer than three samples after the greatest, or they go up."""
    window = Schedule("concentration", [f"{t} h" for t in range(5)])
    assert np.isnan(of(HalfLife(window), np.arange(5), value))
    assert np.isnan(of(AreaToInfinity(window), np.arange(5), value))


def test_a_scheduled_sample_at_the_hour_of_a_dose_is_before_it():
    for window, after in (
        (Schedule("concentration", ["0 h", "12 h"]), False),
        (Window("concentration", "0 h", "12 h", 2), True),
    ):
        asked = [(s.time, s.after) for s in _samples(Cmax(window), MODEL, moving=False)]
        assert asked == [(0.0, after), (12.0, False)]


@pytest.mark.external
def test_peaks_are_those_of_a_submitted_table():
    """Cmax and Tmax of all 48 subjects in CDISC's ADPP are those of the concentrations in its ADPC.

    Its areas are linear and its slopes include the time of the peak: other conventions than PKNCA's.
    """
    folder = SHARED / "data" / "cdisc_adam"
    samples, expected = defaultdict(set), defaultdict(dict)
    for row in csv.DictReader((folder / "adpc.csv").read_text().splitlines()):
        plasma = row["PARAMCD"] == "XAN" and row["PARCAT1"] == "PLASMA" and row["DTYPE"] == "" and row["AVAL"] != ""
        if plasma and float(row["NFRLT"]) <= 24:
            samples[row["USUBJID"]].add((float(row["NRRLT"]), float(row["AVAL"])))
    for row in csv.DictReader((folder / "adpp.csv").read_text().splitlines()):
        if row["PARAMCD"] in ("CMAX", "TMAX"):
            expected[row["USUBJID"]][row["PARAMCD"]] = float(row["AVAL"])
    assert len(expected) == 48
    for subject, peak in expected.items():
        time, value = np.array(sorted(samples[subject])).T
        assert analysed(time, jnp.asarray(value))[:2].tolist() == [peak["CMAX"], peak["TMAX"]]
