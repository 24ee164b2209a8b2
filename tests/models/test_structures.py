"""General structures against those they reduce to."""

import numpy as np
import pytest
from vtrial.models.friberg import Myelosuppression
from vtrial.models.friberg_oral import MyelosuppressionOral
from vtrial.models.iv_1cpt import OneCompartmentBolus
from vtrial.models.iv_2cpt import TwoCompartmentIntravenous
from vtrial.models.iv_3cpt import ThreeCompartmentIntravenous
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_1cpt_linear_mm import OneCompartmentOralParallelElimination
from vtrial.models.oral_1cpt_mm import OneCompartmentOralMichaelisMenten
from vtrial.models.oral_1cpt_qtc import OneCompartmentOralQtc
from vtrial.models.oral_2cpt import TwoCompartmentOral
from vtrial.models.oral_3cpt import ThreeCompartmentOral

from tests.helpers import MODEL_PARAMETERS
from tests.models.cards import repeated, solve

TIMES = [0.5, 3.0, 12.0, 30.0, 48.0]


@pytest.mark.parametrize(
    ("large", "small", "change", "state"),
    [
        (TwoCompartmentIntravenous, OneCompartmentBolus, {"Q": 0.0}, 0),
        (ThreeCompartmentIntravenous, TwoCompartmentIntravenous, {"Q2": 0.0}, 0),
        (ThreeCompartmentOral, TwoCompartmentOral, {"Q2": 0.0}, 0),
        (TwoCompartmentOral, TwoCompartmentIntravenous, {}, 1),
        (ThreeCompartmentOral, ThreeCompartmentIntravenous, {}, 1),
        (MyelosuppressionOral, Myelosuppression, {"SLOPE": 0.01}, 1),
    ],
)
def test_what_a_structure_reduces_to(large, small, change, state):
    p = MODEL_PARAMETERS[large.__name__] | change
    found = solve(large(), p, [repeated(100.0, 12.0, 4, state), *TIMES])
    expected = solve(small(), {n: p[n] for n in small.parameters}, [repeated(100.0, 12.0, 4), *TIMES])
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, rtol=1e-6)


def test_without_linear_clearance_the_saturable_one_remains():
    p = MODEL_PARAMETERS["OneCompartmentOralParallelElimination"] | {"CL": 0.0}
    rows = [repeated(100.0, 12.0, 4), *TIMES]
    found = solve(OneCompartmentOralParallelElimination(), p, rows)["concentration"]
    expected = solve(OneCompartmentOralMichaelisMenten(), p | {"VMAX": p["VMAX"] * p["VC"]}, rows)["concentration"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_qtc_is_its_rhythm_plus_a_line_in_concentration():
    p = MODEL_PARAMETERS["OneCompartmentOralQtc"]
    given = [repeated(400.0, 24.0, 1), *TIMES]
    found = solve(OneCompartmentOralQtc(), p, given)
    kinetics = solve(OneCompartmentOral(), {n: p[n] for n in OneCompartmentOral.parameters}, given)["concentration"]
    np.testing.assert_allclose(found["concentration"], kinetics, rtol=1e-10)
    rhythm = 406.0 * (1 + 0.009 * np.cos(2 * np.pi * (np.array(TIMES) - 1.11) / 24))
    np.testing.assert_allclose(found["qtc"], rhythm + 0.5 * kinetics, rtol=1e-10)
