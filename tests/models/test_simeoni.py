"""Tumour growth inhibition (Simeoni 2004) against an independent solver and the limits of its formula."""

import numpy as np
import pytest
from vtrial.models.simeoni import TumourGrowthInhibition

from tests.models.cards import solve, subject
from vtrial.dosing import Dose

MODEL = TumourGrowthInhibition()
MOUSE = subject("paclitaxel_xenograft", MODEL)


def held(concentration, start, end):
    """A mouse and the doses that hold a concentration (mg/L): nothing is eliminated, the end takes all out again."""
    amount = concentration * MOUSE["VC"]
    return MOUSE | {"CL": 0.0}, [Dose(start, amount, 1), Dose(end, -amount, 1)]


def test_untreated():
    found = solve(MODEL, MOUSE, [0.0, 5.0, 10.0, 12.0, 20.0, 40.0])["weight"][1:]
    np.testing.assert_allclose(found, [0.391572, 1.533289, 2.646372, 9.125914, 25.405914], rtol=1e-4)
    assert found[0] == pytest.approx(0.1 * np.exp(5 * 0.273), rel=1e-4)  # exponential
    assert (found[4] - found[3]) / 20 == pytest.approx(0.814, rel=1e-6)  # linear


def test_growth_turns_where_both_laws_meet():
    switch = MOUSE["LAMBDA1"] / MOUSE["LAMBDA0"]
    assert switch == pytest.approx(2.9817, rel=1e-4)
    y = dict.fromkeys(MODEL.states, 0.0) | {"cycling": switch}
    assert float(MODEL.rates(0.0, y, MOUSE)["cycling"]) == pytest.approx(0.814 * 2 ** (-1 / 20), rel=1e-9)


def test_treated():
    p, doses = held(1.0, 8.0, 12.0)
    found = solve(MODEL, p, [0.0, *doses, 8.0, 12.0, 20.0, 40.0])["weight"][1:]
    np.testing.assert_allclose(found, [0.888176, 0.902009, 1.903565, 17.903663], rtol=1e-4)


@pytest.mark.parametrize(("relative", "sign"), [(0.999, 1), (1.001, -1)])
def test_growth_stops_at_the_threshold(relative, sign):
    threshold = MOUSE["LAMBDA0"] / MOUSE["K2"]
    assert threshold == pytest.approx(0.43402, rel=1e-4)
    y = dict.fromkeys(MODEL.states, 0.0) | {"cycling": 0.01, "central": relative * threshold * MOUSE["VC"]}
    assert np.sign(float(MODEL.rates(0.0, y, MOUSE)["cycling"])) == sign
