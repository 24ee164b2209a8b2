"""The automatic choice, and what it says about itself."""

import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_1cpt_mm import OneCompartmentOralMichaelisMenten
from vtrial.models.tmdd import TargetMediatedDisposition

from tests.helpers import MODEL_PARAMETERS
from vtrial.dosing import Dose, Mark, event_table
from vtrial.solve import Auto, General, Lanes, Linear


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (OneCompartmentOral(), ["linear solver", "exactly"]),
        (
            OneCompartmentOralMichaelisMenten(),
            ["declared not linear", "lane solver", "Tsit5", "rtol 1e-06", "compiled"],
        ),
        (TargetMediatedDisposition(), ["stiff", "lane solver", "Rodas5P"]),
    ],
)
def test_auto_says_what_it_chose_and_why(model, words):
    said = Auto().check(model, MODEL_PARAMETERS[type(model).__name__])
    assert all(word in said for word in words)


@pytest.mark.parametrize(
    ("model", "chosen"),
    [
        (OneCompartmentOral(), Linear()),
        (OneCompartmentOralMichaelisMenten(), Lanes()),
        (TargetMediatedDisposition(), Lanes(stiff=True)),
    ],
)
def test_auto_is_the_solver_it_chose(model, chosen):
    p, events = MODEL_PARAMETERS[type(model).__name__], event_table([Dose(0.0, 10.0, 0), 1.0, 8.0])
    mine, its = Auto()(model, p, events), chosen(model, p, events)
    for name in model.outputs:
        assert mine.outputs[name].tolist() == its.outputs[name].tolist()


def test_a_linear_model_with_parameters_that_run_linearly_is_integrated():
    """Its rates are no constant matrix between the rows."""
    model, rows = OneCompartmentOral(), [Dose(0.0, 100.0, 0), 2.0, 6.0, Mark(8.0), 12.0]
    p = {"CL": jnp.asarray([1.0, 2.0, 4.0, 3.0, 1.0]), "VC": 20.0, "KA": 1.2}
    events = event_table(rows, carried="linear")
    found = Auto(1e-9, 1e-12)(model, p, events).outputs["concentration"]
    expected = General(rtol=1e-10, atol=1e-12)(model, p, events).outputs["concentration"]
    np.testing.assert_allclose(found, expected, rtol=1e-7)
