from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_1cpt_mm import OneCompartmentOralMichaelisMenten

from tests.helpers import bateman
from vtrial.dosing import Dose, Regimen, event_table
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve import Linear

MODEL = OneCompartmentOral()
P = {"CL": 2.8, "VC": 32.0, "KA": 1.5}
solve = jax.jit(lambda p, events: Linear()(MODEL, p, events))


def test_equals_the_textbook_formula_superposed():
    time = np.linspace(0, 120, 97)
    found = solve(P, Regimen("300 mg", "12 h", 8, "depot").records(MODEL, time.tolist()))
    expected = sum(bateman(time - 12.0 * k, 300.0, 1.5, 2.8, 32.0) for k in range(8))
    assert found.code == 0
    np.testing.assert_allclose(found.outputs["concentration"], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_value_and_gradient_where_the_rates_coincide(offset):
    """Where KA = CL/VC the textbook formula is 0/0; the limit is dose KA t exp(-KA t) / VC."""
    events = event_table([Dose(0.0, 100.0, 0), 5.0])
    ke = 2.8 / 32.0

    def concentration(ka):
        return Linear()(MODEL, {"CL": 2.8, "VC": 32.0, "KA": ka}, events).outputs["concentration"][0]

    limit = 100.0 * ke * 5.0 * np.exp(-ke * 5.0) / 32.0
    assert concentration(ke * (1 + offset)) == pytest.approx(limit, rel=1e-12 + offset)
    # d/dKA at KA = ke, by hand: dose t exp(-ke t) (1 - ke t / 2) / VC.
    slope = 100.0 * 5.0 * np.exp(-ke * 5.0) * (1 - ke * 5.0 / 2) / 32.0
    assert jax.grad(concentration)(ke * (1 + offset)) == pytest.approx(slope, rel=1e-10 + offset)


@pytest.mark.parametrize("name", ["CL", "VC", "KA"])
def test_gradient_equals_finite_difference(name):
    events = Regimen("300 mg", "12 h", 4, "depot").records(MODEL, [1.0, 13.0, 40.0])

    def total(value):
        return solve(P | {name: value}, events).outputs["concentration"].sum()

    step = 1e-5 * P[name]
    difference = (total(P[name] + step) - total(P[name] - step)) / (2 * step)
    # Central difference: relative error about step^2 for truncation, eps / step for rounding.
    assert jax.grad(total)(P[name]) == pytest.approx(float(difference), rel=1e-8)


def test_batching_equals_looping():
    events = Regimen("300 mg", "12 h", 4, "depot").records(MODEL, [1.0, 13.0, 40.0])
    many = {name: value * jnp.linspace(0.5, 2.0, 5) for name, value in P.items()}
    batched = jax.vmap(lambda p: Linear()(MODEL, p, events))(many).outputs["concentration"]
    for i in range(5):
        one = solve({n: v[i] for n, v in many.items()}, events).outputs["concentration"]
        np.testing.assert_allclose(batched[i], one, rtol=1e-13)


@pytest.mark.parametrize("rows", [[24.0], [48.0], [300.0, 400.0]])
def test_rounding_long_after_the_dose_is_no_negative_amount(rows):
    """The depot is then the difference of two nearly equal numbers: rounding noise of either sign, and no failure."""
    many = {"CL": jnp.full(400, 2.8), "VC": jnp.full(400, 32.0), "KA": jnp.geomspace(0.2, 30.0, 400)}
    events = event_table([Dose(0.0, 320.0, 0), *rows])
    assert (jax.vmap(lambda p: Linear()(MODEL, p, events).code)(many) == 0).all()


def test_long_intervals_and_fast_rates_do_not_overflow():
    found = solve({"CL": 2.8, "VC": 32.0, "KA": 1e4}, event_table([Dose(0.0, 100.0, 0), 1.0, 5000.0]))
    assert found.code == 0
    np.testing.assert_allclose(
        found.outputs["concentration"], bateman(np.array([1.0, 5000.0]), 100.0, 1e4, 2.8, 32.0), rtol=1e-9
    )


def test_a_wrong_claim_of_linearity_is_refused():
    with pytest.raises(UserError, match="declared linear, but"):
        Linear().check(OneCompartmentOralMichaelisMenten(), {"VMAX": 30.0, "KM": 8.0, "VC": 32.0, "KA": 1.5})


class ThreeStates(AbstractModel):
    """A chain of three states, to reach the matrix exponential."""

    time: ClassVar = "h"
    states: ClassVar = {"first": "mg", "second": "mg", "third": "mg"}
    parameters: ClassVar = {"K": "1/h"}
    outputs: ClassVar = {"amount": "mg"}
    linear: ClassVar = True

    def initial(self, p):
        return {"first": 0.0, "second": 0.0, "third": 0.0}

    def rates(self, t, y, p):
        a, b, c = (p["K"] * y[s] for s in self.states)
        return {"first": -a, "second": a - b, "third": b - c}

    def observe(self, t, y, p):
        return {"amount": y["third"]}


def test_more_states_take_the_matrix_exponential():
    """Equal rates K in a chain: the third state is dose (Kt)^2 / 2 exp(-Kt), a gamma density."""
    time = np.array([0.5, 2.0, 7.0])
    found = Linear()(ThreeStates(), {"K": 0.8}, event_table([Dose(0.0, 10.0, 0), *time.tolist()]))
    np.testing.assert_allclose(found.outputs["amount"], 10.0 * (0.8 * time) ** 2 / 2 * np.exp(-0.8 * time), rtol=1e-12)
