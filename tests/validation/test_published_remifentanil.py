"""Remifentanil in 65 adults: maximum likelihood against the estimates of Minto et al. 1997.

doi:10.1097/00000542-199701000-00004. Theirs, at 40 years and a lean body mass of 55 kg, come from NONMEM and the same
infusions, with additive effects of age (a year) and lean body mass (a kg). Typical values and slopes are those that
programs for target-controlled infusion have from the paper (PyTCI, SwiftTCI), spreads those of the Python Anesthesia
Simulator.
"""

import pytest

from tests.validation.fitting import maximum, problem, study

TYPICAL = {"CL": 2.6 * 60, "VC": 5.1, "Q": 2.05 * 60, "VP": 9.82, "Q2": 0.076 * 60}
"""L/h and L."""
SPREAD = {"CL": 0.14, "VC": 0.26, "Q": 0.36, "VP": 0.29, "Q2": 0.41, "VP2": 0.66}
"""Coefficients of variation, which ours, of logarithms, come near."""
SLOPES = {
    "CL_AGE_slope": -0.0162 / 2.6,
    "CL_LBM_slope": 0.0191 / 2.6,
    "Q_AGE_slope": -0.0301 / 2.05,
    "VP_AGE_slope": -0.0811 / 9.82,
    "VP_LBM_slope": 0.108 / 9.82,
}
START = {"VP2": 5.42} | TYPICAL | {f"{name}_iiv": value for name, value in SPREAD.items()} | SLOPES


@pytest.mark.slow
def test_estimates():
    """Typical values and spreads within 10 %, VP2 within 30 % (less than its standard error), slopes within 0.006."""
    found = maximum(*problem(study("remifentanil")), **START).draw
    for name, value in TYPICAL.items():
        assert found[name] == pytest.approx(value, rel=0.1), name
    assert found["VP2"] == pytest.approx(5.42, rel=0.3)
    for name, value in SPREAD.items():
        assert found[f"{name}_iiv"] == pytest.approx(value, rel=0.1), name
    for name, value in SLOPES.items():
        assert found[name] == pytest.approx(value, abs=0.006), name
