"""Friberg and Karlsson's model on data simulated with known parameters: maximum likelihood finds them again.

Data: Torsten's example FribergKarlsson, metrumresearchgroup/example-models; they stay outside.
"""

import json

import pytest

from tests.helpers import SHARED
from tests.validation.fitting import maximum, problem, shared, study

pytestmark = [pytest.mark.external, pytest.mark.slow]
FOLDER = SHARED / "data" / "neutrophil_friberg_sim"


@pytest.fixture(scope="module")
def draw():
    """From the prior medians, which are not the truth."""
    return maximum(*problem(study("neutrophils", shared("neutrophil_friberg_sim/neutrophil_friberg_sim.csv")))).draw


NAMES = ("CL", "VC", "Q", "VP", "KA", "MTT", "CIRC0", "GAMMA", "SLOPE")


@pytest.mark.parametrize("name", NAMES)
def test_typical_values(draw, name):
    """Within 0.75 to 1.33 times the truth; the simulation has SLOPE per ng/mL and calls it ALPHA."""
    theta = json.loads((FOLDER / "truth.json").read_text())["theta"]
    true = 1000.0 * theta["ALPHA"] if name == "SLOPE" else theta[name]
    assert 0.75 < draw[name] / true < 1.33


@pytest.mark.parametrize("output", ["concentration", "circulating"])
def test_residual_error(draw, output):
    """The simulation has a variance of 0.01 of the logarithm; some hundred measurements tell it within 20 %."""
    assert draw[f"{output}_sigma_log"] == pytest.approx(0.1, rel=0.2)
