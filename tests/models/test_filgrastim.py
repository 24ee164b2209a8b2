"""Filgrastim and neutrophils (Krzyzanski 2010) against an independent solver."""

import numpy as np
import pytest
from vtrial.models.filgrastim import FilgrastimNeutrophils

from tests.models.cards import repeated, solve, subject

MODEL = FilgrastimNeutrophils()
VOLUNTEER = subject("filgrastim", MODEL)


def test_baseline_holds():
    found = solve(MODEL, VOLUNTEER, [0.0, 100.0, 200.0])
    np.testing.assert_allclose(found["neutrophils"], 1.55, rtol=1e-9)
    np.testing.assert_allclose(found["concentration"], VOLUNTEER["BAS"], rtol=1e-9)


def test_one_dose():
    times = np.arange(1, 97) / 2  # the reference has samples every half hour
    found = solve(MODEL, VOLUNTEER, [repeated(350.0, 24.0, 1), *times.tolist()])
    assert found["concentration"].max() == pytest.approx(40.097524, rel=1e-4)
    assert times[found["concentration"].argmax()] == pytest.approx(3.0, abs=1e-9)
    assert found["neutrophils"].max() == pytest.approx(21.187, rel=1e-4)
    assert times[found["neutrophils"].argmax()] == pytest.approx(14.5, abs=1e-9)


def test_a_week_of_doses():
    late = 144 + np.arange(1, 24) / 2
    rows = [repeated(350.0, 24.0, 7), 24.0, 72.0, 120.0, *late.tolist(), 168.0, 240.0]
    found = solve(MODEL, VOLUNTEER, rows)
    counts = found["neutrophils"][[0, 1, 2, -2, -1]]
    np.testing.assert_allclose(counts, [16.540684, 20.484996, 20.896100, 20.916473, 1.786064], rtol=1e-4)
    assert found["concentration"].max() == pytest.approx(40.992917, rel=1e-4)
