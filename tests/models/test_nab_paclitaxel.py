"""Nab-paclitaxel and neutrophils (Chen 2014) against SciPy, in the units of the paper: ug, ug/L."""

import numpy as np
from scipy.integrate import solve_ivp
from vtrial.models.nab_paclitaxel import NabPaclitaxel

from tests.models.cards import STIFF, solve, subject
from vtrial.dosing import Dose

MODEL = NabPaclitaxel()
PATIENT = subject("nab_paclitaxel", MODEL)
HOURS = np.array([0.5, 1.0, 4.0, 24.0, 120.0, 240.0, 336.0, 504.0])
DOSE = 260 * 1.9
"""mg, over half an hour."""


def by_scipy(infused):
    def rates(t, y):
        drug, tissue, other, *cells = y
        c, c1, c2 = drug / 15.8, tissue / 1650, other / 75.4
        out, back = 325000 * c / (4260 + c), 325000 * c1 / (4260 + c1)
        exchange = 41.6 * (c - c2)
        k, (first, *rest) = 4 / 117, cells
        growth = k * first * ((1 - 0.00253 * c) * (4.28 / cells[-1]) ** 0.187 - 1)
        chain = [k * (a - b) for a, b in zip(cells[:-1], rest, strict=True)]
        return [infused(t) - 8070 * c / (40.2 + c) - out + back - exchange, out - back, exchange, growth, *chain]

    state, begin, found = [0.0, 0.0, 0.0, *[4.28] * 5], 0.0, []
    for until in HOURS:
        state = solve_ivp(rates, (begin, until), state, "LSODA", rtol=1e-10, atol=1e-9).y[:, -1]
        begin = until
        found.append((state[0] / 15.8 / 1000, state[-1]))
    return np.array(found).T


def test_course():
    found = solve(MODEL, PATIENT, [Dose(0.0, DOSE, 0, rate=2 * DOSE), *HOURS.tolist()], STIFF)
    concentration, neutrophils = by_scipy(lambda t: 2000 * DOSE if t < 0.5 else 0.0)
    np.testing.assert_allclose(found["concentration"], concentration, rtol=1e-4)
    np.testing.assert_allclose(found["neutrophils"], neutrophils, rtol=1e-5)
    assert HOURS[neutrophils.argmin()] == 240.0  # a nadir in the second week


def test_without_drug_counts_stay():
    np.testing.assert_allclose(solve(MODEL, PATIENT, [0.0, 500.0], STIFF)["neutrophils"], 4.28, rtol=1e-9)
