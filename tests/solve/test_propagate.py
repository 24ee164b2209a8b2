"""Linear models by the public way: textbook formulas, batches of every kind, inputs, steady states, varying rates."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from vtrial.models.iv_2cpt import TwoCompartmentIntravenous
from vtrial.models.iv_3cpt import ThreeCompartmentIntravenous
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_2cpt import TwoCompartmentOral
from vtrial.models.oral_transit_1cpt import OneCompartmentOralTransit
from vtrial.models.pbpk15 import WholeBody

from tests.helpers import MODEL_PARAMETERS
from vtrial.dosing import Dose, Mark, event_table
from vtrial.dosing.table import stack
from vtrial.model import AbstractModel
from vtrial.solve import Linear, ResultCode, propagate
from vtrial.solve.exact.blocks import in_blocks
from vtrial.solve.propagate import form

TIMES = [0.25, 1.0, 4.0, 11.0, 30.0]
TWO = {"CL": 4.5, "VC": 58.4, "Q": 6.5, "VP": 38.4}


@pytest.fixture(autouse=True, params=["compiled", "xla"])
def both_ways_to_run(request, monkeypatch):
    """Closed forms run in compiled kernels on a CPU, and by XLA elsewhere: here both."""
    if request.param == "xla":
        monkeypatch.setattr(Linear, "_compiles", lambda *_: False)


def concentration(model, p, events):
    found = jax.jit(lambda p: Linear()(model, p, events))(p)
    assert found.code == ResultCode.SOLVED
    return found.outputs["concentration"]


def slopes_of_two():
    """The two exponents of the textbook, fast and slow, and the rate back from the peripheral compartment."""
    k10, k12, k21 = TWO["CL"] / TWO["VC"], TWO["Q"] / TWO["VC"], TWO["Q"] / TWO["VP"]
    total = k10 + k12 + k21
    root = np.sqrt(total**2 - 4 * k10 * k21)
    return 0.5 * (total + root), 0.5 * (total - root), k21


def test_one_compartment_infusion_is_the_textbook_formula():
    p, events = {"CL": 2.8, "VC": 32.0, "KA": 1.5}, event_table([Dose(0.0, 100.0, 1, duration=3.0), *TIMES])
    t, k = np.array(TIMES), 2.8 / 32.0
    expected = 100.0 / 3 / 2.8 * (1 - np.exp(-k * np.minimum(t, 3.0))) * np.exp(-k * np.maximum(t - 3.0, 0.0))
    np.testing.assert_allclose(concentration(OneCompartmentOral(), p, events), expected, rtol=1e-13)


def test_two_compartment_bolus_is_the_textbook_formula():
    fast, slow, back = slopes_of_two()
    t = np.array(TIMES)
    a, b = (fast - back) / (fast - slow), (back - slow) / (fast - slow)
    expected = 100.0 / TWO["VC"] * (a * np.exp(-fast * t) + b * np.exp(-slow * t))
    events = event_table([Dose(0.0, 100.0, 0), *TIMES])
    np.testing.assert_allclose(concentration(TwoCompartmentIntravenous(), TWO, events), expected, rtol=1e-13)


def test_two_compartments_by_mouth_are_the_textbook_formula():
    fast, slow, back = slopes_of_two()
    t, ka = np.array(TIMES), 0.7
    terms = (
        (back - x) / ((y - x) * (z - x)) * np.exp(-x * t)
        for x, y, z in ((ka, fast, slow), (fast, slow, ka), (slow, ka, fast))
    )
    events = event_table([Dose(0.0, 100.0, 0), *TIMES])
    found = concentration(TwoCompartmentOral(), TWO | {"KA": ka}, events)
    np.testing.assert_allclose(found, 100.0 * ka / TWO["VC"] * sum(terms), rtol=1e-12)


def test_a_transit_chain_is_the_convolution_of_a_gamma_density():
    """KA and CL/VC equal to the transit rate: seven equal rates, a gamma density of shape seven."""
    rate, t = 2.0, np.array([0.1, 1.0, 4.0, 11.0])
    p = {"CL": 20.0, "VC": 10.0, "KA": rate, "MTT": 5.0 / rate}
    found = concentration(OneCompartmentOralTransit(), p, event_table([Dose(0.0, 100.0, 0), *t.tolist()]))
    expected = 100.0 / 10.0 * (rate * t) ** 6 / 720 * np.exp(-rate * t)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * 100.0)


BATCHED = [
    (TwoCompartmentOral(), 0, 0.0),
    (ThreeCompartmentIntravenous(), 0, 2.0),
    (OneCompartmentOralTransit(), 0, 0.0),
    (WholeBody(), 14, 2.0),
]


@pytest.mark.parametrize(("model", "state", "duration"), BATCHED)
def test_batches_of_every_kind_equal_a_loop(model, state, duration):
    """Parameters alone, parameters and tables, and batches of batches; more persons than one block of the ladder."""
    p = MODEL_PARAMETERS[type(model).__name__]
    random = np.random.default_rng(3)
    many = {n: jnp.asarray(v * np.exp(0.3 * random.standard_normal((5, 7)))) for n, v in p.items()}
    tables = [
        event_table([Dose(0.0, 100.0 + i, state, i % 3, 12.0, duration=duration), 1.0 + i, 30.0]) for i in range(7)
    ]
    stacked = stack(tables)
    solve = lambda p, events: Linear()(model, p, events).outputs["concentration"]  # noqa: E731
    own = jax.jit(jax.vmap(jax.vmap(solve), in_axes=(0, None)))(many, stacked)
    shared = jax.jit(jax.vmap(jax.vmap(lambda p: solve(p, tables[2]))))(many)
    alone = jax.jit(solve)
    for i, j in ((0, 0), (2, 3), (4, 6)):
        one = {n: v[i, j] for n, v in many.items()}
        np.testing.assert_allclose(shared[i, j], alone(one, tables[2]), rtol=1e-11)
        np.testing.assert_allclose(own[i, j], alone(one, jax.tree.map(lambda x, j=j: x[j], stacked)), rtol=1e-11)


def test_blocks_change_nothing():
    """Sizes that divide the batch, that do not, and batches of batches; values and both derivatives."""

    def function(p, k):
        return {"sum": p["a"] * k.sum() + p["b"] ** 2, "count": jnp.asarray(3)}

    p = {"a": jnp.arange(7.0), "b": jnp.asarray(2.0)}
    axes, k = ({"a": 0, "b": None}, None), jnp.arange(3.0)
    expected = jax.vmap(function, in_axes=axes)(p, k)["sum"]
    for size in (1, 3, 7, 100):
        blocked = in_blocks(function, function, size)
        np.testing.assert_array_equal(jax.vmap(blocked, in_axes=axes)(p, k)["sum"], expected)
        twice = jax.vmap(jax.vmap(blocked, in_axes=axes), in_axes=({"a": None, "b": 0}, 0))
        found = twice({"a": p["a"], "b": jnp.arange(4.0)}, jnp.arange(12.0).reshape(4, 3))
        np.testing.assert_array_equal(found["sum"][2], p["a"] * 21.0 + 4.0)
        slope = jax.vmap(jax.grad(lambda p, k, f=blocked: f(p, k)["sum"]), in_axes=axes)(p, k)
        np.testing.assert_array_equal(slope["a"], np.full(7, 3.0))


class Oscillator(AbstractModel):
    """Two states that turn around each other, slowly dying out."""

    time: ClassVar = "h"
    states: ClassVar = {"first": "mg", "second": "mg"}
    parameters: ClassVar = {"W": "1/h", "K": "1/h"}
    outputs: ClassVar = {"concentration": "mg"}
    linear: ClassVar = True

    def initial(self, p):
        return {"first": 10.0, "second": 0.0}

    def rates(self, t, y, p):
        return {"first": -p["W"] * y["second"] - p["K"] * y["first"], "second": p["W"] * y["first"]}

    def observe(self, t, y, p):
        return {"concentration": y["first"]}


@pytest.mark.parametrize("infused", [False, True])
def test_oscillating_models(infused):
    """With complex rates: the closed form of two states, and with an input the matrix exponential."""
    p, times = {"W": 1.3, "K": 0.1}, [0.5, 2.0, 9.0]
    events = event_table([Dose(0.0, 6.0, 1, duration=2.0) if infused else Mark(0.0), *times])
    found = jax.jit(lambda p: Linear()(Oscillator(), p, events).outputs["concentration"])(p)
    rate = np.array([[-0.1, -1.3, 0], [1.3, 0, 3.0 * infused], [0, 0, 0]])
    for t, one in zip(times, found, strict=True):
        on = expm(rate * min(t, 2.0)) @ [10.0, 0.0, 1.0]
        assert one == pytest.approx((expm(rate[:2, :2] * max(t - 2.0, 0.0)) @ on[:2])[0], abs=1e-11)


@pytest.mark.parametrize("model", [TwoCompartmentOral(), OneCompartmentOralTransit()])
def test_steady_state_equals_many_doses(model):
    """Forty doses in: the slowest rate leaves e^-80 of the first."""
    p = MODEL_PARAMETERS[type(model).__name__]
    times = [1.0, 13.0, 23.0]
    steady = event_table([Dose(0.0, 100.0, 0, 0, 24.0, steady=1), *times], states=len(model.states))
    long = event_table([Dose(0.0, 100.0, 0, 80, 24.0), *(80 * 24.0 + t for t in times)])
    np.testing.assert_allclose(concentration(model, p, steady), concentration(model, p, long), rtol=1e-10)


@pytest.mark.parametrize("model", [TwoCompartmentOral(), OneCompartmentOralTransit()])
def test_rates_that_change_from_row_to_row(model):
    """Clearance that jumps at a row: the state at the row goes on with the new rates."""
    p = MODEL_PARAMETERS[type(model).__name__]
    varying = {n: jnp.asarray(v) for n, v in p.items()} | {"CL": p["CL"] * jnp.asarray([1.0, 1.0, 3.0])}
    events = event_table([Dose(0.0, 100.0, 0), 5.0, 7.0], carried="nocb")
    found = concentration(model, varying, events)
    rates = [
        np.asarray(jax.jacfwd(_rates(model, p | {"CL": c}))(jnp.zeros(len(model.states)))) for c in varying["CL"][1:]
    ]
    at = list(model.states).index("central")
    y = expm(rates[0] * 5.0)[:, 0] * 100.0
    later = expm(rates[1] * 2.0) @ y
    np.testing.assert_allclose(found, np.array([y[at], later[at]]) / p["VC"], rtol=1e-11)


def _rates(model, p):
    return lambda y: jnp.stack(list(model.rates(0.0, dict(zip(model.states, y, strict=True)), p).values()))


def test_the_form_is_said_in_words():
    said = {
        TwoCompartmentOral(): "closed form",
        Oscillator(): "two states",
        WholeBody(): "rational",
        OneCompartmentOralTransit(): "rational",
    }
    for model, words in said.items():
        p = {name: jnp.asarray(0.5) for name in model.parameters}
        assert words in Linear().check(model, p)
        assert words in form(model, p, ()).sentence
    assert form(Oscillator(), {"W": 1.0, "K": 1.0}, (1,)).ladder


def test_a_structure_is_worked_out_once_and_inside_a_trace():
    model, p = OneCompartmentOral(), {"CL": 3.0, "VC": 30.0, "KA": 1.0}
    propagate._form.cache_clear()
    found = jax.jit(lambda p: (form(model, p, ()), jnp.zeros(()))[1])
    found(p)
    assert propagate._form.cache_info().misses == 1
    assert form(OneCompartmentOral(), p, ()) is form(model, p, ())  # an equal model
    assert form(model, p, (1,)) != form(model, p, ())
    assert propagate._form.cache_info().misses == 2


def test_a_model_with_an_array_has_its_structure_too():
    class Weighted(AbstractModel):
        """A rate out of a table."""

        table: jax.Array
        time: ClassVar = "h"
        states: ClassVar = {"x": "mg"}
        parameters: ClassVar = {"K": "1/h"}
        outputs: ClassVar = {"x": "mg"}
        linear: ClassVar = True

        def initial(self, p):
            return {"x": 1.0}

        def rates(self, t, y, p):
            return {"x": -p["K"] * self.table[1] * y["x"]}

        def observe(self, t, y, p):
            return {"x": y["x"]}

    found = Linear()(Weighted(jnp.asarray([1.0, 2.0])), {"K": 0.3}, event_table([0.0, 5.0]))
    np.testing.assert_allclose(found.outputs["x"], [1.0, np.exp(-3.0)], rtol=1e-12)
