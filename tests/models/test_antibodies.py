"""A typical antibody (Davda 2014), dupilumab (Kovalenko 2020) and evolocumab (Gibbs 2017), subcutaneous."""

import numpy as np
import pytest
from vtrial.models.oral_2cpt import TwoCompartmentOral
from vtrial.models.sc_2cpt_transit_mm import TwoCompartmentTransitParallelElimination
from vtrial.models.tmdd_pcsk9_ldl import PCSK9Inhibition

from tests.models.cards import STIFF, repeated, solve, subject
from vtrial.dosing import Dose

DAY = 24.0
NMOL = 1 / 0.1418
"""nmol of evolocumab in 1 mg."""


def test_typical_antibody():
    model = TwoCompartmentOral()
    p = subject("antibody", model, {"WT": 70.0})
    days = np.array([7.0, 14.0, 28.0, 56.0, 600.0, 623.2188])
    found = solve(model, p, [Dose(0.0, 300.0, 0), *(DAY * days).tolist()])["concentration"]
    np.testing.assert_allclose(found[:4], [27.924012, 23.239688, 15.283062, 6.624602], rtol=1e-4)
    assert found[4] / found[5] == pytest.approx(2.0, rel=1e-4)  # terminal half-life 23.2188 d
    # The area by Simpson's rule to day 600, and the tail of that half-life.
    grid = np.linspace(0.0, 600.0 * DAY, 6001)
    y = solve(model, p, [Dose(0.0, 300.0, 0), *grid.tolist()])["concentration"]
    area = (y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum()) * (grid[1] / 3) / DAY
    assert area + y[-1] * 23.2188 / np.log(2) == pytest.approx(1116.0, rel=1e-4)


def test_dupilumab():
    model = TwoCompartmentTransitParallelElimination()
    p = subject("dupilumab", model, {"WT": 75.0})
    # The reference takes its troughs 0.001 d before the dose.
    rows = [Dose(0.0, 600.0, 0), 7.0, 13.999, Dose(14.0, 300.0, 0, 25, 14.0), 111.999, 363.999]
    expected = [66.058009, 54.309397, 69.399819, 70.187527]
    np.testing.assert_allclose(solve(model, p, rows)["concentration"], expected, rtol=1e-4)


def evolocumab(dose, every, times):
    model = PCSK9Inhibition()
    p = subject("evolocumab", model)
    doses = [repeated(dose * NMOL, every, int(90 // every) + 1)] if dose else []
    return solve(model, p, [*doses, *times], STIFF)


def test_evolocumab_baseline_holds():
    found = evolocumab(0.0, 14.0, [0.0, 100.0])
    np.testing.assert_allclose(found["pcsk9"], 5.27, rtol=1e-9)
    np.testing.assert_allclose(found["ldl"], 116.0, rtol=1e-9)


def test_evolocumab_unbound_drug():
    found = evolocumab(140.0, 14.0, [4.0, 13.75, 70.0, 83.75])["concentration"] / NMOL
    np.testing.assert_allclose(found, [13.448808, 3.226673, 5.359673, 5.742469], rtol=1e-4)


@pytest.mark.parametrize(
    ("dose", "every", "mean", "published", "most"),
    [(140.0, 14.0, 70.2805, 68.9, 72.978), (280.0, 28.0, 65.5569, 63.5, 74.685), (420.0, 28.0, 70.9526, 68.9, 75.853)],
)
def test_evolocumab_lowers_ldl(dose, every, mean, published, most):
    times = np.linspace(0.0, 84.0, 3361)[1:]
    lowered = 100 * (1 - evolocumab(dose, every, times.tolist())["ldl"] / 116.0)
    late = times >= 56.0
    average = np.trapezoid(lowered[late], times[late]) / 28.0
    assert average == pytest.approx(mean, rel=1e-4)
    assert average == pytest.approx(published, abs=3.0)
    assert lowered.max() == pytest.approx(most, rel=1e-4)
    assert lowered.max() < 100 * 5.27 / (5.27 + 1.46)


def test_evolocumab_ceiling():
    """Without any unbound PCSK9 the reduction is base / (base + IC50)."""
    found = evolocumab(1e6, 14.0, [80.0])["ldl"][0]
    assert 100 * (1 - found / 116.0) == pytest.approx(78.306, rel=1e-4)
