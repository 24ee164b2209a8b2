"""`Lanes` as a solver: batches, transformations, edges of tables, failures, and what it leaves to `General`."""

import logging
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import special
from jax.scipy.special import betainc
from jaxtyping import Array

from tests.solve.strategies import CASES, GLOBAL, MODEL, RTOL, TYPICAL, Plain, assert_close
from vtrial.dosing import After, Dose, Reset, event_table, stack
from vtrial.dosing.batch import batch
from vtrial.model import AbstractModel
from vtrial.solve import General, Lanes, Linear, ResultCode

LANES = Lanes(rtol=RTOL, atol=1e-10)
STIFF = Lanes(stiff=True, rtol=RTOL, atol=1e-10)
SOLVERS = {"lanes": LANES, "lanes stiff": STIFF, "general": General()}


def persons(count):
    """Parameters and tables of different length, some without doses, some without samples."""
    random = np.random.default_rng(0)
    tables = []
    for i in range(count):
        rows = [Dose(float(t), 50.0 + i, i % 3) for t in random.uniform(0, 20, i % 5)]
        rows += [Dose(3.0, 40.0, 1, rate=8.0)] * (i % 2) + [Reset(15.0)] * (i % 3 == 0)
        tables.append(event_table([*rows, *random.uniform(0, 40, i % 4).tolist()] or [0.0]))
    return {name: value * random.uniform(0.5, 2.0, count) for name, value in TYPICAL.items()}, tables


def concentration(p, events):
    return LANES(MODEL, p, events).outputs["concentration"]


def test_batches_equal_loops_bit_for_bit():
    """Whoever a person shares a register with, and however much padding there is."""
    p, tables = persons(11)
    found = jax.vmap(concentration)(p, stack(tables))
    for i, table in enumerate(tables):
        alone = concentration({name: value[i] for name, value in p.items()}, table)
        np.testing.assert_array_equal(found[i, : len(alone)], alone)


def test_buckets_and_orders_change_nothing():
    p, tables = persons(13)
    order = np.random.default_rng(1).permutation(13)
    found = jax.vmap(concentration)(p, stack(tables))
    other = jax.vmap(concentration)({n: v[order] for n, v in p.items()}, stack([tables[i] for i in order]))
    np.testing.assert_array_equal(other, found[order])
    made = batch(tables)
    for table, members in zip(made.tables, made.members, strict=True):
        one = jax.vmap(concentration)({n: v[members] for n, v in p.items()}, table)
        np.testing.assert_array_equal(one, found[members][:, : one.shape[1]])


def test_every_transformation_gives_the_same():
    events = event_table([Dose(0.0, 100.0, 0, 2, 9.0), 1.0, 12.0, 30.0])
    many = {name: value * jnp.linspace(0.5, 2.0, 6) for name, value in TYPICAL.items()}
    one = lambda p: concentration(p, events)  # noqa: E731
    expected = jnp.stack([one({n: v[i] for n, v in many.items()}) for i in range(6)])
    square = {n: v.reshape(2, 3) for n, v in many.items()}
    found = {
        "vmap": jax.vmap(one)(many),
        "jit of vmap": jax.jit(jax.vmap(one))(many),
        "nested vmap": jax.vmap(jax.vmap(one))(square).reshape(6, -1),
        "crossed vmap": jnp.swapaxes(jax.vmap(jax.vmap(one), 1)(square), 0, 1).reshape(6, -1),
        "map": jax.lax.map(one, many),
        "map of batches": jax.lax.map(one, many, batch_size=4),
        "scan": jax.lax.scan(lambda c, p: (c, one(p)), 0, many)[1],
        "cond": jax.jit(jax.vmap(lambda p: jax.lax.cond(p["CL"] > 0, one, lambda p: jnp.zeros(3), p)))(many),
        "checkpoint": jax.vmap(jax.checkpoint(one))(many),
    }
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected, err_msg=name)


def test_derivatives_pass_through_scan_map_and_checkpoint():
    events = event_table([Dose(0.0, 100.0, 0, 2, 9.0), 1.0, 12.0])
    many = TYPICAL["CL"] * jnp.linspace(0.5, 2.0, 3)
    one = lambda cl: concentration(TYPICAL | {"CL": cl}, events).sum()  # noqa: E731
    expected = jax.vmap(jax.grad(one))(many)
    found = {
        "scan": jax.grad(lambda m: jax.lax.scan(lambda c, cl: (c + one(cl), None), 0.0, m)[0])(many),
        "map": jax.grad(lambda m: jax.lax.map(one, m).sum())(many),
        "checkpoint": jax.grad(lambda m: jax.vmap(jax.checkpoint(one))(m).sum())(many),
        "cond": jax.vmap(jax.grad(lambda cl: jax.lax.cond(cl > 0, one, lambda cl: 0.0 * cl, cl)))(many),
    }
    for name, values in found.items():
        np.testing.assert_allclose(values, expected, rtol=1e-13, err_msg=name)


EDGES = {
    "no samples": [Dose(0.0, 100.0, 0)],
    "one sample": [Dose(0.0, 100.0, 0), 3.0],
    "no doses": [0.0, 5.0],
    "before the first dose": [0.0, 1.0, Dose(2.0, 100.0, 0), 3.0],
    "at doses": [Dose(0.0, 100.0, 0, 2, 4.0), 0.0, After(0.0), 4.0, After(4.0), 8.0, After(8.0)],
    "at ends of infusions": [Dose(0.0, 100.0, 1, 1, 2.0, rate=50.0), 0.0, After(0.0), 2.0, After(2.0), 4.0, After(4.0)],
    "twice at one time": [Dose(0.0, 100.0, 0), Dose(0.0, 50.0, 1), 1.0, 1.0, 1.0, 2.0, 2.0, After(2.0)],
    "at a reset": [Dose(0.0, 100.0, 0), 3.0, Reset(3.0), After(3.0), Dose(3.0, 10.0, 1), After(3.0), 4.0],
    "dose after the last sample": [Dose(0.0, 100.0, 0), 3.0, Dose(10.0, 100.0, 0)],
    "rows in no order": [9.0, Dose(5.0, 50.0, 0), 2.0, Dose(0.0, 100.0, 1), 7.0],
    "two doses at one time into two states": [
        Dose(1.0, 10.0, 1),
        Dose(1.0, 20.0, 2),
        Dose(1.0, 10.0, 1, rate=5.0),
        2.0,
    ],
}


@pytest.mark.parametrize(
    "entry", [{}, {"ALAG_depot": 2.0}, {"ALAG_depot": 100.0, "ALAG_central": 100.0}, {"F_central": 0.0}]
)
@pytest.mark.parametrize("name", EDGES)
def test_edges_of_tables(name, entry):
    """Lags also onto the times of other rows, and beyond the last sample; with an infusion that never enters."""
    events, p = event_table(EDGES[name]), TYPICAL | entry
    exact = Linear()(MODEL, p, events)
    for solver in (LANES, STIFF):
        found = solver(MODEL, p, events)
        assert found.code == exact.code == 0
        assert_close(found.outputs, exact.outputs, GLOBAL)


class Threatened(AbstractModel):
    """Grows without bound, falls through zero, or decays, as its parameters say."""

    time, states, outputs, linear = "h", {"x": "mg"}, {"x": "mg"}, False
    parameters = {"GROWTH": "1/mg/h", "LOSS": "mg/h", "DECAY": "1/h"}

    def initial(self, p):
        return {"x": 1.0}

    def rates(self, t, y, p):
        return {"x": p["GROWTH"] * y["x"] ** 2 - p["LOSS"] - p["DECAY"] * y["x"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


FATES = {
    ResultCode.SOLVED: (0.0, 0.0, 1.0),
    ResultCode.NOT_FINITE: (1.0, 0.0, 0.0),
    ResultCode.NEGATIVE: (0.0, 1.0, 0.0),
}


@pytest.mark.parametrize("tier", SOLVERS)
def test_failures_have_their_codes_and_trouble_nobody_else(tier):
    events, model, solver = event_table([0.5, 3.0]), Threatened(), SOLVERS[tier]
    p = dict(zip(model.parameters, np.array(list(FATES.values())).T, strict=True))
    found = jax.jit(jax.vmap(lambda p: solver(model, p, events)))(p)
    ends = {ResultCode.NOT_FINITE, ResultCode.STEP_LIMIT}  # which of the two ends an explosion is the method's affair
    for code, wanted in zip(found.code.tolist(), FATES, strict=True):
        assert code in ends if wanted in ends else code == wanted
    alone = solver(model, {"GROWTH": 0.0, "LOSS": 0.0, "DECAY": 1.0}, events).outputs["x"]
    np.testing.assert_allclose(found.outputs["x"][0], alone, rtol=1e-13)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["GROWTH", "LOSS", "DECAY"])
def test_parameters_that_are_no_numbers(solver, value, name):
    p = {"GROWTH": 0.0, "LOSS": 0.0, "DECAY": 1.0} | {name: value}
    assert solver(Threatened(), p, event_table([0.5, 3.0])).code == ResultCode.NOT_FINITE


@pytest.mark.parametrize("field", ["time", "amount", "sample_time"])
@pytest.mark.parametrize("solver", [LANES, STIFF])
def test_a_table_that_is_no_number_is_a_failure(solver, field):
    events = event_table([Dose(0.0, 1.0, 0), Dose(1.0, 1.0, 0), 2.0, 3.0])
    broken = eqx.tree_at(lambda t: getattr(t, field), events, np.full_like(getattr(events, field), np.nan))
    assert solver(Plain(), {"K": 0.2}, broken).code == ResultCode.NOT_FINITE


def test_the_step_limit_has_its_code():
    found = Lanes(max_steps=3)(MODEL, TYPICAL, event_table([Dose(0.0, 100.0, 0), 1.0, 500.0]))
    assert found.code == ResultCode.STEP_LIMIT


@pytest.mark.parametrize("solver", [LANES, STIFF])
def test_a_steady_state_that_does_not_exist_has_its_code(solver):
    """At most VMAX = 15 mg/h are eliminated."""
    case = CASES["saturable"]
    for dose in (Dose(0.0, 500.0, 0, interval=12.0, steady=1), Dose(0.0, 0.0, 1, rate=20.0, steady=1)):
        events = event_table([dose, 0.0, 5.0], states=3)
        assert solver(case.model, case.p, events).code == ResultCode.NO_STEADY_STATE


class Betainc(AbstractModel):
    """Uses a function that no kernel knows."""

    time, states, outputs, linear = Plain.time, Plain.states, Plain.outputs, False
    parameters = Plain.parameters

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": -p["K"] * betainc(1.0, 1.0, jnp.clip(y["x"] / 20.0, 0.0, 1.0)) * 20.0}

    def observe(self, t, y, p):
        return {"x": y["x"]}


def test_a_model_that_cannot_be_compiled_is_integrated_with_diffrax(caplog):
    """Betainc(1, 1, x) is x: the state decays."""
    with caplog.at_level(logging.WARNING, "vtrial.solve.lanes.solver"):
        found = LANES(Betainc(), {"K": 0.3}, event_table([Dose(0.0, 10.0, 0), 1.0, 4.0]))
    assert "regularized_incomplete_beta" in caplog.text
    np.testing.assert_allclose(found.outputs["x"], 10.0 * np.exp(-0.3 * np.array([1.0, 4.0])), rtol=GLOBAL)
    assert "cannot be compiled" in LANES.check(Betainc(), {"K": 0.3})


class Weighted(AbstractModel):
    """Has an array as a field."""

    time, states, outputs, linear = Plain.time, Plain.states, Plain.outputs, False
    parameters = Plain.parameters
    weight: Array

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": -p["K"] * self.weight[0] * y["x"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


def test_a_model_with_array_fields_is_integrated_with_diffrax(caplog):
    model = Weighted(jnp.array([2.0]))
    with caplog.at_level(logging.WARNING, "vtrial.solve.lanes.solver"):
        found = LANES(model, {"K": 0.3}, event_table([Dose(0.0, 10.0, 0), 4.0]))
    assert "without arrays as fields" in caplog.text
    np.testing.assert_allclose(found.outputs["x"], 10.0 * np.exp(-2.4), rtol=GLOBAL)


class Summed(AbstractModel):
    """Computes its rate with arrays."""

    time, states, outputs, linear = Plain.time, Plain.states, Plain.outputs, False
    parameters = Plain.parameters

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": -p["K"] * jnp.sum(jnp.array([0.25, 0.75]) * y["x"])}

    def observe(self, t, y, p):
        return {"x": y["x"]}


@pytest.mark.parametrize("solver", [LANES, STIFF])
def test_derivatives_of_equations_with_arrays(solver):
    found = jax.grad(lambda k: solver(Summed(), {"K": k}, event_table([Dose(0.0, 10.0, 0), 4.0])).outputs["x"].sum())(
        0.3
    )
    np.testing.assert_allclose(found, -40.0 * np.exp(-1.2), rtol=GLOBAL)


def test_derivatives_in_sample_times():
    events = event_table([Dose(0.0, 10.0, 0), 4.0])
    moved = lambda t: eqx.tree_at(lambda e: e.sample_time, events, t)  # noqa: E731
    slope = jax.grad(lambda t: LANES(Plain(), {"K": 0.3}, moved(t)).outputs["x"].sum())(jnp.asarray([4.0]))
    np.testing.assert_allclose(slope, -3.0 * np.exp(-1.2), rtol=GLOBAL)


def test_a_steady_state_is_found_where_a_state_is_emptied_between_doses():
    case = CASES["saturable"]
    p = {"VMAX": 4.169, "KM": 1.95, "VC": 40.428, "Q": 9.709, "VP": 20.482, "KA": 3.219}
    events = event_table([Dose(0.0, 10.0, 0, interval=12.0, steady=1), 1.0, 12.0], states=3)
    assert Lanes(stiff=True)(case.model, p, events).code == ResultCode.SOLVED


class Parameterless(AbstractModel):
    """Decays at a rate that is no parameter."""

    time, states, outputs, linear = Plain.time, Plain.states, Plain.outputs, False
    parameters = {}

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": -0.1 * y["x"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


def test_a_steady_state_without_parameters():
    found = LANES(Parameterless(), {}, event_table([Dose(0.0, 1.0, 0, interval=12.0, steady=1), 0.0], states=1))
    np.testing.assert_allclose(found.outputs["x"], 1 / (1 - np.exp(-1.2)), rtol=GLOBAL)


class Unequal(AbstractModel):
    """A small state falls through zero beside a large one."""

    time, states, outputs, linear = "h", {"x": "mg", "z": "mg"}, {"x": "mg"}, False
    parameters = {"K": "mg/h"}

    def initial(self, p):
        return {"x": 1.0, "z": 1e6}

    def rates(self, t, y, p):
        return {"x": -p["K"], "z": -0.01 * y["z"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


@pytest.mark.parametrize("solver", [LANES, General()])
def test_a_small_amount_below_zero_is_seen_beside_a_large_one(solver):
    assert solver(Unequal(), {"K": 1.0}, event_table([0.0, 1.3])).code == ResultCode.NEGATIVE


def test_a_mistake_in_the_equations_is_not_taken_for_an_array_field(caplog):
    with pytest.raises(TypeError, match="integer"):
        LANES(Mistaken(), {"K": 0.3}, event_table([Dose(0.0, 1.0, 0), 1.0]))
    assert "arrays as fields" not in caplog.text


class Mistaken(AbstractModel):
    """Multiplies with a word."""

    time, states, outputs, linear = Plain.time, Plain.states, Plain.outputs, False
    parameters = Plain.parameters

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": y["x"] * "word"}

    def observe(self, t, y, p):
        return {"x": y["x"]}


class Cumulative(AbstractModel):
    """Equations with the error function, its inverse and logarithms to base 2."""

    time: ClassVar = "h"
    states: ClassVar = {"x": "mg"}
    parameters: ClassVar = {"K": "1/h"}
    outputs: ClassVar = {"x": "mg", "score": ""}
    linear: ClassVar = False

    def initial(self, p):
        return {"x": 1.0}

    def rates(self, t, y, p):
        return {"x": -p["K"] * special.erf(y["x"]) * jnp.exp2(-t) * jnp.cbrt(1.0 + y["x"])}

    def observe(self, t, y, p):
        return {"x": y["x"], "score": special.erfinv(0.5 * y["x"]) + jnp.log2(y["x"]) + special.ndtr(y["x"])}


@pytest.mark.parametrize("stiff", [False, True])
def test_error_functions_are_compiled_with_their_derivatives(stiff):
    model, events = Cumulative(), event_table([0.5, 2.0, 5.0])
    solver = Lanes(stiff, 1e-10, 1e-10)
    assert solver.check(model, {"K": 0.4}).startswith("lane solver")

    def score(k, solver):
        return solver(model, {"K": k}, events).outputs["score"]

    exact = General(rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(score(0.4, solver), score(0.4, exact), rtol=1e-8)
    slope = [jax.jit(jax.jacrev(lambda k, s=s: score(k, s)))(0.4) for s in (solver, exact)]
    np.testing.assert_allclose(*slope, rtol=1e-6)


@pytest.mark.parametrize("stiff", [False, True])
def test_derivatives_in_single_precision(stiff):
    """As in double precision; literals of the program are numbers of the type of their place."""

    def slopes(rtol):
        table = event_table([Dose(0.0, 100.0, 0), 2.0, 9.0])
        p = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in TYPICAL.items()}
        solver = Lanes(stiff=stiff, rtol=rtol, atol=rtol)
        return jax.jacfwd(lambda p: solver(MODEL, p, table).outputs["concentration"])(p)

    with jax.enable_x64(False):
        single = slopes(1e-4)
    for name, double in slopes(1e-8).items():
        assert single[name].dtype == jnp.float32
        np.testing.assert_allclose(single[name], double, rtol=0.01, atol=0.01 * float(abs(double).max()))
