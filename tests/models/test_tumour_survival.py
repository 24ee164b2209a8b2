"""Tumour size and survival (Zecchin 2016) against closed forms."""

import numpy as np
import pytest
from scipy.integrate import quad
from vtrial.models.tumour_survival import TumourSurvival

from tests.models.cards import solve, subject
from vtrial.dosing import Dose

MODEL = TumourSurvival()
PATIENT = subject("tumour_survival", MODEL)
DAYS = [42.0, 84.0, 300.0, 500.0, 1000.0]
EXPOSURE = 105.0


def course(exposure=0.0, state=0, **change):
    """Return the outputs at DAYS under a constant exposure for six cycles."""
    doses = [Dose(0.0, 21 * exposure, state, 5, 21.0, rate=exposure)] if exposure else []
    found = solve(MODEL, PATIENT | change, [0.0, *doses, *DAYS])
    return {name: values[1:] for name, values in found.items()}


def test_untreated_tumours_grow_exponentially_and_weibulls_hazard_follows():
    found = course(BCHANGE=0.0, BNEW=0.0)
    np.testing.assert_allclose(found["size"], 71.3 * np.exp(6.11e-4 * np.array(DAYS)), rtol=1e-5)
    weibull = (1.1843e-3 * np.array(DAYS)) ** 2.0044 * np.exp(0.2084 * 71.3 / 70)
    np.testing.assert_allclose(found["hazard"], weibull, rtol=1e-4)


@pytest.mark.parametrize(("state", "kill"), [(0, 4.97e-5), (1, 1.64e-4)])
def test_what_six_cycles_kill_is_that_of_the_constant_exposure(state, kill):
    """Once all has left: log size = log base + growth - kill x exposure x days."""
    size = course(EXPOSURE / 4, state)["size"][2:]
    expected = np.log(71.3) + 6.11e-4 * np.array(DAYS[2:]) - kill * EXPOSURE / 4 * 126
    np.testing.assert_allclose(np.log(size), expected, rtol=1e-5)


def test_change_of_size_is_frozen_at_84_days_and_new_lesions_add():
    found = course(EXPOSURE, TNEW=400.0)
    late = np.exp(0.2084 * 71.3 / 70 + 0.9036 * found["change"][1] / 100)

    def hazard(t):
        new = np.exp(1.2303) if t > 400 else 1.0
        return 1.1843e-3 * 2.0044 * (1.1843e-3 * t) ** 1.0044 * late * new

    more = quad(hazard, 300, 500, points=[400])[0]
    assert found["hazard"][3] - found["hazard"][2] == pytest.approx(more, rel=1e-4)
