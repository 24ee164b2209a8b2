from typing import ClassVar

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_1cpt_mm import OneCompartmentOralMichaelisMenten

from vtrial.dosing import Dose, Regimen, event_table, stack
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve import General, Linear, ResultCode

MM, MM_P = OneCompartmentOralMichaelisMenten(), {"VMAX": 30.0, "KM": 8.0, "VC": 32.0, "KA": 1.5}


def by_scipy(time):
    """The same model and doses, integrated by SciPy's LSODA from dose to dose."""

    def rates(_, y):
        c = y[1] / 32.0
        return [-1.5 * y[0], 1.5 * y[0] - 30.0 * c / (8.0 + c)]

    y, found = np.zeros(2), []
    for k in range(3):
        y = y + np.array([300.0, 0.0])
        own = time[(time > 12 * k) & (time <= 12 * (k + 1))]
        at = np.union1d(own, 12 * (k + 1))
        solution = solve_ivp(rates, (12 * k, 12 * (k + 1)), y, "LSODA", at, rtol=1e-11, atol=1e-11)
        found += (solution.y[1, : len(own)] / 32.0).tolist()
        y = solution.y[:, -1]
    return np.array(found)


@pytest.mark.parametrize("stiff", [False, True])
def test_saturable_elimination_equals_lsoda(stiff):
    time = np.array([1.0, 6.0, 12.0, 13.0, 30.0, 36.0])
    found = jax.jit(General(stiff=stiff))(MM, MM_P, Regimen("300 mg", "12 h", 3, "depot").records(MM, time.tolist()))
    assert found.code == ResultCode.SOLVED
    # Local tolerance 1e-8; the global error of a dissipative model stays within a hundred times that.
    np.testing.assert_allclose(found.outputs["concentration"], by_scipy(time), rtol=1e-6)


def test_padding_changes_nothing():
    model, p = OneCompartmentOral(), {"CL": 2.8, "VC": 32.0, "KA": 1.5}
    short, long = event_table([Dose(0.0, 100.0, 0), 3.0]), event_table([Dose(0.0, 100.0, 0, 4, 6.0), 1.0, 2.0, 25.0])
    both = stack([short, long])
    first = jax.tree.map(lambda x: x[0], both)
    for solver in (Linear(), General()):
        alone = solver(model, p, short).outputs["concentration"]
        np.testing.assert_allclose(solver(model, p, first).outputs["concentration"][:1], alone, rtol=1e-12)


def test_gradients_pass_through_empty_intervals():
    events = event_table([Dose(0.0, 100.0, 0), Dose(0.0, 50.0, 1), 0.0, 4.0])
    model = OneCompartmentOral()
    slope = jax.grad(lambda ka, s: s(model, {"CL": 2.8, "VC": 32.0, "KA": ka}, events).outputs["concentration"].sum())
    assert slope(1.5, General()) == pytest.approx(float(slope(1.5, Linear())), rel=1e-6)


class Explosive(AbstractModel):
    """Blows up in finite time."""

    time: ClassVar = "h"
    states: ClassVar = {"x": "mg"}
    parameters: ClassVar = {"K": "1/mg/h"}
    outputs: ClassVar = {"x": "mg"}
    linear: ClassVar = False

    def initial(self, p):
        return {"x": 1.0}

    def rates(self, t, y, p):
        return {"x": p["K"] * y["x"] ** 2}

    def observe(self, t, y, p):
        return {"x": y["x"]}


class Drained(AbstractModel):
    """Loses more than it has."""

    time: ClassVar = "h"
    states: ClassVar = {"x": "mg"}
    parameters: ClassVar = {"K": "mg/h"}
    outputs: ClassVar = {"x": "mg"}
    linear: ClassVar = False

    def initial(self, p):
        return {"x": 1.0}

    def rates(self, t, y, p):
        return {"x": -p["K"] + 0.0 * y["x"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


def test_failures_are_codes():
    assert General()(Explosive(), {"K": 1.0}, event_table([0.0, 2.0])).code in (
        ResultCode.NOT_FINITE,
        ResultCode.STEP_LIMIT,
    )
    assert General()(Drained(), {"K": 1.0}, event_table([0.0, 3.0])).code == ResultCode.NEGATIVE
    assert General()(Drained(), {"K": 0.1}, event_table([0.0, 3.0])).code == ResultCode.SOLVED


def test_mistakes():
    with pytest.raises(UserError, match="positive rtol"):
        General(rtol=0.0)


def test_numbers_that_are_none_are_not_finite_and_too_many_steps_are_a_code():
    events = event_table([Dose(0.0, 300.0, 0), 5.0])
    for stiff in (False, True):
        for name in MM_P:
            found = jax.jit(General(stiff=stiff))(MM, MM_P | {name: float("nan")}, events)
            assert found.code == ResultCode.NOT_FINITE
    assert General(max_steps=3)(MM, MM_P, event_table([Dose(0.0, 300.0, 0), 500.0])).code == ResultCode.STEP_LIMIT
