"""Leukocytes after paclitaxel (Friberg 2002) against an independent solver."""

import numpy as np
import pytest
from vtrial.models.friberg import Myelosuppression

from tests.models.cards import STIFF, solve, subject
from vtrial.dosing import Dose

MODEL = Myelosuppression()
PATIENT = subject("paclitaxel_leukocytes", MODEL)
MG = 0.8539
"""mg of paclitaxel in 1 umol."""


def course(umol, days, *solver):
    rows = [Dose(0.0, umol * MG, 0, rate=umol * MG / 3), *(24 * days).tolist()]
    return solve(MODEL, PATIENT, rows, *solver)["circulating"]


@pytest.mark.parametrize(
    ("umol", "nadir", "day"), [(190, 4.484779, 8.875), (366, 2.938727, 9.25), (530, 2.015462, 9.583)]
)
def test_nadir(umol, nadir, day):
    days = np.arange(0, 29 * 24) / 24
    counts = course(umol, days)
    assert counts.min() == pytest.approx(nadir, rel=1e-4)
    assert days[counts.argmin()] == pytest.approx(day, abs=0.001)
    assert counts[days <= 21].max() > 7.21  # rebound
    assert course(umol, np.array([1000.0]), STIFF)[0] == pytest.approx(7.21, rel=1e-6)


def test_course():
    found = course(366, np.array([0.0, 5, 8, 10, 14, 21]))
    np.testing.assert_allclose(found, [7.21, 4.640818, 3.076836, 2.989655, 4.798526, 9.487016], rtol=1e-4)


def test_a_strong_drug_kills_proliferating_cells():
    """Where SLOPE C is above 1 the factor is negative, and not cut at 0."""
    y = dict.fromkeys(MODEL.states, 7.21) | {"central": 2.0 / PATIENT["SLOPE"] * PATIENT["VC"]}
    assert float(MODEL.rates(0.0, y, PATIENT)["proliferating"]) == pytest.approx(-2.0 * 7.21 * 4 / 124.0, rel=1e-9)


def test_without_drug_counts_stay():
    np.testing.assert_allclose(solve(MODEL, PATIENT, [0.0, 1000.0])["circulating"], 7.21)
