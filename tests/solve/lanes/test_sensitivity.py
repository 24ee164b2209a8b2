from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.solve.lanes.cases import binding, saturable, tables
from tests.solve.lanes.test_driver import DEPOT, TIGHT, P, amounts, solved
from vtrial.solve.base import ResultCode
from vtrial.solve.lanes.call import compile
from vtrial.solve.lanes.driver import program
from vtrial.solve.lanes.problem import Equations, Settings, Table
from vtrial.solve.lanes.program import Program
from vtrial.solve.lanes.sensitivity import sensitivity


@cache
def kernel(equations, settings, directions, **more):
    return compile(differentiable(equations, settings, directions, **more))


def differentiable(equations, settings, directions, **more):
    moves = Table.TIME in more.get("table_tangents", ())
    plain = program(equations, settings, differentiable=True, moves=moves)
    return sensitivity(plain, equations, directions, **more)


def differentiated(equations, settings, directions, fixed, of, **more):
    """Outputs [sample, output] and derivatives [direction, sample, output]."""
    samples = len(of[5])
    found, finals = kernel(equations, settings, directions, **more)(jnp.asarray(fixed, float), *of, samples=samples)
    assert finals[0] == ResultCode.SOLVED
    each = np.asarray(found).reshape(samples, 1 + len(directions), equations.outputs)
    return each[:, 0], np.moveaxis(each[:, 1:], 1, 0)


def slope(function, x, step=1e-5):
    """Central difference."""
    return (function(x + step) - function(x - step)) / (2 * step)


@pytest.mark.parametrize("stiff", [False, True])
def test_derivatives_by_parameters_and_initial_states_equal_the_textbook(stiff):
    sample = np.array([0.0, 0.5, 3.0, 3.0, 8.0, 30.0])
    of = tables([0.0, 3.0, 5.0], sample, amount=[10.0, 20.0, 0.0], after=[0, 0, 0, 1, 2, 2])
    fixed = (*P, 2.0, 1.0)

    def exact(x):
        late = amounts(sample, doses=[(0.0, 10.0)], start=x[2:], p=x[:2])
        return late + amounts(sample, doses=[(3.0, 20.0)], p=x[:2]) * (np.arange(6) >= 3)[:, None]

    values, slopes = differentiated(DEPOT, TIGHT._replace(stiff=stiff), (0, 1, 2, 3), fixed, of)
    np.testing.assert_allclose(values, exact(np.array(fixed)), rtol=1e-6, atol=1e-7)
    for k in range(4):
        expected = slope(lambda x, k=k: exact(np.array([*fixed[:k], x, *fixed[k + 1 :]])), fixed[k])
        np.testing.assert_allclose(slopes[k], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("stiff", [False, True])
def test_derivatives_by_times_amounts_and_rates_of_entries_equal_the_textbook(stiff):
    """A lag moves one of two doses given at the same time; the duration moves the end of an infusion and its rate."""
    sample, lag, duration, amount = np.array([1.5, 4.0, 9.0, 20.0]), 1.0, 2.5, 8.0

    def exact(lag, duration, amount):
        given = [(0.0, amount), (lag, 3.0 * amount), (1.0, 5.0)]
        return amounts(sample, doses=given, infusions=[(3.0, 3.0 + duration, 10.0 / duration)])

    rate = 10.0 / duration
    of = tables(
        [0.0, 1.0, 1.0, 3.0, 3.0 + duration],
        sample,
        amount=[amount, 3.0 * amount, 5.0, 0.0, 0.0],
        rate=[0.0, 0.0, 0.0, rate, -rate],
        state=[0, 0, 0, 1, 1],
    )
    by_rate = -rate / duration
    times = np.array([[0, 1.0, 0, 0, 0], [0, 0, 0, 0, 1.0], np.zeros(5)])
    added = np.array([np.zeros(5), np.zeros(5), [1.0, 3.0, 0, 0, 0]])
    rates = np.array([np.zeros(5), [0, 0, 0, by_rate, -by_rate], np.zeros(5)])
    further = [jnp.asarray(one.ravel()) for one in (times, added, rates)]
    _, slopes = differentiated(
        DEPOT,
        TIGHT._replace(stiff=stiff, infused=(1,)),
        (None, None, None),
        (*P, 0.0, 0.0),
        (*of, *further),
        table_tangents=(Table.TIME, Table.AMOUNT, Table.RATE),
    )
    at = [lag, duration, amount]
    for k in range(3):
        expected = slope(lambda x, k=k: exact(*at[:k], x, *at[k + 1 :]), at[k])
        np.testing.assert_allclose(slopes[k], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("stiff", [False, True])
def test_a_sample_right_after_a_moving_entry_moves_against_it(stiff):
    """Several samples at the time of the entry, which are taken where no time passes."""
    of = tables([0.0, 2.0], [2.0, 2.0, 2.0], amount=[10.0, 5.0], after=[0, 1, 1])
    moves = jnp.asarray([0.0, 1.0])
    _, slopes = differentiated(
        DEPOT, TIGHT._replace(stiff=stiff), (None,), (*P, 0.0, 0.0), (*of, moves), table_tangents=(Table.TIME,)
    )
    expected = [0.0, 5.0 * P[0], 5.0 * P[0]]
    np.testing.assert_allclose(slopes[0, :, 1], expected, rtol=1e-6, atol=1e-6)


def test_a_reset_takes_the_derivatives_of_the_initial_states():
    sample = np.array([1.0, 6.0, 9.0])
    of = tables([0.0, 5.0], sample, amount=[7.0, 0.0], reset=[0, 1])
    tangents = [0.3, 0.0, 0.0, 2.0]  # of both initial states, in each direction
    pairs, fixed = ((0, 0), (0, 1), (1, 0), (1, 1)), (*P, 3.0, 4.0, *tangents)
    _, slopes = differentiated(DEPOT, TIGHT._replace(resets=True), (None, 1), fixed, of, initial_tangents=pairs)

    def exact(k, start):
        first = amounts(sample, doses=[(0.0, 7.0)], start=start, p=(P[0], k))
        return np.where(sample[:, None] < 5, first, amounts(sample - 5, start=start, p=(P[0], k)))

    by_start = slope(lambda x: exact(P[1], (3.0 + 0.3 * x, 4.0)), 0.0, 1e-3)
    by_both = slope(lambda x: exact(P[1] + x, (3.0, 4.0 + 2.0 * x)), 0.0)
    np.testing.assert_allclose(slopes, [by_start, by_both], rtol=1e-6, atol=1e-7)


def test_derivatives_through_varying_parameters():
    decay = Equations(lambda t, y, p: (-p[0] * y[0],), lambda t, y, p: (y[0],), 1, 1, 1)
    sample = np.array([1.0, 4.0, 9.0])
    spans = [[0, 0], [0, 0, 1], [0.0, 4.0], [4.0, 10.0], [0.1, 0.5], [0.9, 0.5]]
    spans = [jnp.asarray(np.array(one, np.int32 if k < 2 else float)) for k, one in enumerate(spans)]
    of = (*tables([0.0, 4.0], sample, after=[0, 0, 1]), *spans, jnp.asarray([1.0, 0.0]), jnp.asarray([0.0, 1.0]))
    more = {"table_tangents": (11, 12)}
    values, slopes = differentiated(decay, TIGHT._replace(varying=(0,)), (None,), (9.0, 2.0), of, **more)
    # The left value of the first span and the right one of the second move by 1.
    age, late = np.minimum(sample, 4.0), np.maximum(sample - 4.0, 0.0)
    area = age - age**2 / 8 + late**2 / 12
    np.testing.assert_allclose(slopes[0], -area[:, None] * values, rtol=1e-6)


@pytest.mark.parametrize(
    ("rates", "p", "start", "stiff"),
    [
        (saturable, (15.0, 2.0, 30.0, 6.0, 60.0, 0.8), (0.0, 0.0, 0.0), False),
        (binding, (0.02, 0.004, 0.01, 0.01, 3.0, 0.36, 0.36, 0.5, 0.05, 0.02), (0.0, 0.0, 0.0, 10.0, 0.0), True),
    ],
)
def test_derivatives_of_nonlinear_models_equal_differences(rates, p, start, stiff):
    equations = Equations(rates, lambda t, y, p: (y[1],), len(start), len(p), 1)
    of = tables(np.arange(3) * 24.0, np.linspace(0.5, 100.0, 21), amount=100.0)
    fixed, settings = np.array([*p, *start]), Settings(stiff=stiff, rtol=1e-8, atol=1e-10)
    directions = (0, 1, len(p) - 1)
    values, slopes = differentiated(equations, settings, directions, fixed, of)
    plain, _ = solved(equations, settings, fixed, of)
    np.testing.assert_allclose(values, plain, rtol=1e-9)
    tight = settings._replace(rtol=1e-11, atol=1e-13)
    for k, i in enumerate(directions):

        def moved(x, i=i):
            return solved(equations, tight, np.where(np.arange(len(fixed)) == i, x, fixed), of)[0]

        expected = slope(moved, fixed[i], 1e-4 * fixed[i])
        np.testing.assert_allclose(slopes[k], expected, atol=2e-6 * np.max(np.abs(expected)), rtol=0)


def equation_count(jaxpr):
    inner = [e.params.get("jaxpr", e.params.get("call_jaxpr")) for e in jaxpr.eqns]
    return sum(1 if one is None else equation_count(getattr(one, "jaxpr", one)) for one in inner)


def test_a_direction_costs_less_than_a_solve():
    """Derivatives that are structurally zero, and the values, are not computed again for each direction."""
    equations = Equations(saturable, lambda t, y, p: (y[1],), 3, 6, 1)

    def count(made: Program) -> int:
        number = jax.ShapeDtypeStruct((), float)
        fixed = (number,) * made.fixed
        carry = jax.eval_shape(made.init, fixed)
        return equation_count(jax.make_jaxpr(made.step)(fixed, carry).jaxpr)

    none, some = (count(differentiable(equations, Settings(), directions)) for directions in ((), (0, 1, 2, 3, 4, 5)))
    assert (some - none) / 6 < 0.7 * none
