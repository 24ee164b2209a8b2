"""Derivatives of every solver: those of its values, whichever way they are asked for.

A five-point difference of step h in the logarithm misses the derivative by about h^4 / 30 of the fifth derivative; what
the solver's error adds is `GLOBAL` / h at most. With h = 0.02 both are below `DIFFERENCE` of the largest derivative.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax.flatten_util import ravel_pytree

from tests.solve.strategies import CASES, GLOBAL, MODEL, TIERS, TYPICAL, entering, examples, near, typical
from vtrial.dosing import Dose, event_table
from vtrial.errors import UserError
from vtrial.solve import General, Lanes, Linear

STEP = 0.02
DIFFERENCE = 2e-5

ROWS = [Dose(0.0, 100.0, 0, 2, 9.0), Dose(3.0, 60.0, 1, rate=-2), Dose(30.0, 40.0, 2, rate=-1)]
SAMPLES = [1.0, 5.0, 11.0, 26.0, 33.0, 50.0]
P = TYPICAL | {"F_depot": 0.8, "ALAG_depot": 0.4, "ALAG_central": 0.7, "D_central": 4.4, "R_peripheral": 9.5}


def relative(function, p):
    """Return a function of the logarithms of all numbers of `p`, and where they are all as in `p`."""
    flat, unravel = ravel_pytree(jax.tree.map(lambda x: jnp.asarray(x, float), p))
    return lambda x: function(unravel(flat * jnp.exp(x))), jnp.zeros(len(flat))


def differences(function, x):
    """Return the derivatives [..., x] of a function of a vector by five points each."""
    points = np.asarray(x) + STEP * np.array([-2.0, -1.0, 1.0, 2.0])[:, None, None] * np.eye(len(x))
    values = jax.vmap(jax.vmap(function))(points)
    return np.moveaxis(np.einsum("s,sx...->x...", np.array([1.0, -8.0, 8.0, -1.0]) / (12 * STEP), values), 0, -1)


def assert_same(found, expected, part):
    np.testing.assert_allclose(found, expected, rtol=0, atol=part * float(np.max(np.abs(expected))))


def outputs(solver, model, events):
    """Return the outputs as one matrix."""
    return lambda p: jnp.stack(list(solver(model, p, events).outputs.values()))


@pytest.mark.parametrize("tier", ["linear", "lanes", "lanes stiff"])
def test_derivatives_equal_differences(tier):
    """Also through bioavailability, lag times, modelled durations and rates."""
    function, x = relative(outputs(TIERS[tier], MODEL, event_table([*ROWS, *SAMPLES])), P)
    assert_same(jax.jit(jax.jacfwd(function))(x), differences(function, x), DIFFERENCE)


@examples
@given(near(TYPICAL), entering)
def test_derivatives_of_both_ways_to_solve_are_the_same(p, entry):
    events = event_table([*ROWS, *SAMPLES])
    p = P | p | entry
    found, exact = (SLOPES[tier](p, events) for tier in ("lanes", "linear"))
    largest = max(float(jnp.max(jnp.abs(value))) for value in exact.values())
    for name, value in exact.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=10 * GLOBAL * largest, err_msg=name)


SLOPES = {
    tier: jax.jit(jax.jacrev(lambda p, events, s=solver: s(MODEL, p, events).outputs["concentration"]))
    for tier, solver in TIERS.items()
}


STEADY_SLOWLY = [pytest.param(n, marks=pytest.mark.slow) if n == "steady" else n for n in CASES]


@pytest.mark.parametrize("name", STEADY_SLOWLY)
def test_nonlinear_values_equal_those_of_diffrax(name):
    case = CASES[name]
    solvers = [case.solver, General(case.model.stiff, case.solver.rtol, case.solver.atol)]
    lanes, general = (jax.jit(lambda p, s=s: s(case.model, p, case.events)) for s in solvers)

    @examples
    @given(near(typical(case.model), 1.2))
    def check(p):
        found, expected = (solve(case.near(p)) for solve in (lanes, general))
        assert found.code == expected.code == 0
        for output, values in expected.outputs.items():
            assert_same(found.outputs[output], values, GLOBAL)

    check()


@pytest.mark.parametrize("name", STEADY_SLOWLY)
def test_nonlinear_derivatives_equal_differences(name):
    """In every parameter, in initial states that depend on them, and in every value of one that varies."""
    case = CASES[name]
    function, x = relative(outputs(case.solver, case.model, case.events), case.p)
    found, expected = np.asarray(jax.jit(jax.jacfwd(function))(x)), differences(function, x)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, DIFFERENCE)


@pytest.mark.parametrize(
    "name", ["saturable", "minmod", *(pytest.param(n, marks=pytest.mark.slow) for n in ("friberg", "steady"))]
)
def test_every_way_to_ask_for_a_derivative_gives_the_same(name):
    case = CASES[name]
    function, x = relative(outputs(case.solver, case.model, case.events), case.p)
    forward = jax.jacfwd(function)(x)
    total = jax.grad(lambda x: function(x).sum())
    many = jnp.asarray(np.linspace(-0.1, 0.1, 3)[:, None] + np.asarray(x))
    # The same numbers added up in another order.
    assert_same(jax.jacrev(function)(x), forward, 1e-12)
    assert_same(total(x), forward.sum((0, 1)), 1e-12)
    assert_same(jax.jit(total)(x), total(x), 1e-12)
    assert_same(jax.vmap(total)(many), jnp.stack([total(one) for one in many]), 1e-12)
    assert_same(jax.grad(lambda m: jax.vmap(function)(m).sum())(many), jax.vmap(total)(many), 1e-12)
    assert_same(jax.linearize(function, x)[1](jnp.ones_like(x)), forward.sum(-1), 1e-12)


@pytest.mark.parametrize("entry", [False, True])
@pytest.mark.parametrize("field", ["amount", "given_amount", "rate", "given_rate", "given_duration", "time", "start"])
def test_derivatives_in_the_numbers_of_the_event_table(field, entry):
    rows = [Dose(0.0, 100.0, 0, 1, 9.0), Dose(3.0, 60.0, 1, rate=10.0), Dose(30.0, 40.0, 2, duration=5.0), *SAMPLES]
    events, p = event_table(rows), TYPICAL | ({"F_depot": 0.8, "ALAG_central": 0.7} if entry else {})

    def slope(solver):
        def concentration(value):
            return solver(MODEL, p, eqx.tree_at(lambda t: getattr(t, field), events, value)).outputs["concentration"]

        return jax.jacrev(concentration)(jnp.asarray(getattr(events, field)))

    exact = slope(Linear())
    np.testing.assert_allclose(slope(TIERS["lanes"]), exact, rtol=0, atol=10 * GLOBAL * float(jnp.max(jnp.abs(exact))))


@pytest.mark.slow
def test_derivatives_through_a_steady_state_in_its_record():
    dose = Dose(0.0, 100.0, 1, 1, 12.0, rate=30.0, steady=1)
    events = event_table([dose, 1.0, 6.0, 20.0], states=3)
    numbers = ("steady_amount", "steady_rate", "steady_interval")

    def slopes(solver):
        def concentration(values):
            table = eqx.tree_at(lambda t: [getattr(t, n) for n in numbers], events, values)
            return solver(MODEL, TYPICAL, table).outputs["concentration"]

        return jax.jacrev(concentration)([jnp.asarray(getattr(events, n)) for n in numbers])

    for found, exact in zip(slopes(TIERS["lanes"]), slopes(Linear()), strict=True):
        assert_same(found, exact, 10 * GLOBAL)


def test_second_derivatives_are_refused():
    total = lambda cl: Lanes()(MODEL, TYPICAL | {"CL": cl}, event_table([Dose(0.0, 9.0, 0), 3.0])).outputs  # noqa: E731
    for twice in (jax.hessian, lambda f: jax.grad(jax.grad(f))):
        with pytest.raises(UserError, match="first derivatives only"):
            twice(lambda cl: total(cl)["concentration"].sum())(4.5)
