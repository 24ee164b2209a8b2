"""Every model in models/, found by listing, in every solver that may solve it."""

from functools import partial

import jax
import numpy as np
import pytest

from tests.helpers import MODEL_PARAMETERS, finished
from vtrial import units
from vtrial.dosing import Dose, event_table
from vtrial.errors import UserError
from vtrial.model import AbstractModel, AbstractStochasticModel, check_equations
from vtrial.solve import Auto, General, Lanes, Linear

MODELS = [m for m in finished(AbstractModel) if m.__module__.startswith("vtrial.models.")]
RANDOM = [m for m in MODELS if issubclass(m, AbstractStochasticModel)]
SURE = [m for m in MODELS if m not in RANDOM]


def case(model):
    p = MODEL_PARAMETERS[type(model).__name__]
    return p, event_table([Dose(0.0, 100.0, 0, 3, 12.0), 0.5, 3.0, 12.0, 30.0, 48.0])


def test_models_are_found():
    assert len(MODELS) >= 3


@pytest.mark.parametrize("model", MODELS)
def test_declarations_fit_together(model):
    m = model()
    p, _ = case(m)
    assert set(p) == set(m.parameters)
    for unit in (m.time, *m.states.values(), *m.parameters.values(), *m.outputs.values()):
        assert units.factor(unit, unit, where="unit") == 1.0
    y = m.initial(p)
    assert set(y) == set(m.states)
    assert set(m.rates(0.0, y, p)) == set(m.states)
    assert set(m.observe(0.0, y, p)) == set(m.outputs)
    check_equations(m, p)


@pytest.mark.parametrize("model", SURE)
def test_solvers_agree(model):
    m = model()
    p, events = case(m)
    # The exact solver against an integration; where there is none, an explicit against an implicit one.
    solvers = [General(), Linear() if m.linear else General(stiff=True)]
    found = [jax.jit(lambda p, s=s: s(m, p, events))(p) for s in solvers]
    for solver, one in zip(solvers, found, strict=True):
        assert solver.check(m, p)
        assert one.code == 0
        for output, values in one.outputs.items():
            np.testing.assert_allclose(values, found[0].outputs[output], rtol=2e-6, atol=General().atol)


def of_doses_alone(model):
    """Whether a linear model's first output is 0 without doses, as a concentration is; it may be any function."""
    m, output = model(), next(iter(model.outputs))
    return m.linear and float(m.observe(0.0, dict.fromkeys(m.states, 0.0), case(m)[0])[output]) == 0.0


@pytest.mark.parametrize("model", [m for m in MODELS if of_doses_alone(m)])
def test_doubling_a_dose_doubles_a_linear_model(model):
    m = model()
    p, _ = case(m)
    once, twice = (Auto()(m, p, event_table([Dose(0.0, a, 0), 1.0, 8.0])).outputs for a in (100.0, 200.0))
    output = next(iter(m.outputs))
    np.testing.assert_allclose(twice[output], 2.0 * once[output], rtol=1e-9)


@pytest.mark.parametrize("model", SURE)
def test_kernels_agree_with_diffrax(model):
    """Every model can be compiled; a hundred local tolerances apart at most, in parts of the largest value."""
    m = model()
    p, events = case(m)
    lanes = Lanes(m.stiff, 1e-8, 1e-8)
    assert lanes.check(m, p).startswith("lane solver")
    found = lanes(m, p, events)
    expected = jax.jit(lambda p: General(m.stiff)(m, p, events))(p)
    assert found.code == expected.code == 0
    for output, values in expected.outputs.items():
        largest = float(np.max(np.abs(values)))
        np.testing.assert_allclose(found.outputs[output], values, rtol=0, atol=1e-6 * largest, err_msg=output)


@pytest.mark.parametrize("model", RANDOM)
def test_a_model_with_system_noise_has_a_solver_and_the_others_refuse_it(model):
    m = model()
    p, events = case(m)
    key = jax.random.key(3)
    assert "system noise" in Auto().check(m, p)
    found = jax.jit(lambda p, key: Auto()(m, p, events, key=key))(p, key)
    assert found.code == 0
    for solver, name in ((Linear(), "linear"), (Lanes(), "lane")):
        for use in (solver.check, partial(solver, events=events, key=key)):
            with pytest.raises(UserError, match=f"the {name} solver does not solve"):
                use(m, p)
