from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.solve.lanes.cases import model, reference, saturable, tables, worst
from tests.solve.lanes.reference import run
from vtrial.solve.base import ResultCode
from vtrial.solve.lanes.call import compile
from vtrial.solve.lanes.driver import program
from vtrial.solve.lanes.problem import Equations, Settings
from vtrial.solve.lanes.rodas import Rodas5P
from vtrial.solve.lanes.tsit5 import Tsit5

METHODS = {"explicit": Tsit5(), "stiff": Rodas5P()}


def depot(t, y, p):
    ka, k = p
    return -ka * y[0], ka * y[0] - k * y[1]


DEPOT = Equations(depot, lambda t, y, p: (y[1], y[0]), 2, 2, 2)
P = (1.3, 0.2)


@cache
def kernel(equations, settings):
    return compile(program(equations, settings))


def solved(equations, settings, fixed, of):
    samples, finals = kernel(equations, settings)(jnp.asarray(fixed, float), *of, samples=len(of[5]))
    return np.asarray(samples), np.asarray(finals)


def amounts(time, *, doses=(), infusions=(), start=(0.0, 0.0), since=0.0, p=P):
    """Amounts in central and depot from the textbook, of doses (time, amount) and infusions (from, to, rate)."""
    ka, k = p

    def one(age, amount):
        left = np.exp(-ka * age)
        return np.where(age >= 0, amount * np.array([ka / (ka - k) * (np.exp(-k * age) - left), left]), 0.0)

    def direct(age, amount):
        return np.where(age >= 0, amount * np.exp(-k * np.maximum(age, 0.0)), 0.0)

    total = one(time - since, start[0])
    total[0] += direct(time - since, start[1])
    for at, amount in doses:
        total = total + one(np.maximum(time - at, 0.0), np.where(time >= at, amount, 0.0))
    for begin, end, rate in infusions:
        total[0] += rate / k * (1 - direct(np.clip(time - begin, 0, end - begin), 1.0)) * direct(time - end, 1.0)
        total[0] += np.where((time >= begin) & (time < end), rate / k * (1 - direct(time - begin, 1.0)), 0.0)
    return total.T


def forced(t, y):
    """Its solution is (sin t + 2, exp(-t/2) cos t) where `drift` is on."""
    return (jnp.cos(t) - 3.0 * (y[0] - jnp.sin(t) - 2.0) * y[1], -0.5 * y[1] - jnp.exp(-0.5 * t) * jnp.sin(t))


def still(t, y):
    """Lotka and Volterra's rates, without time in them."""
    return (y[0] * (1.0 - y[1]), y[1] * (y[0] - 1.0))


def path(method, rates, steps, end, theta=None):
    """State after equal steps, or inside the last of them."""
    h = end / steps

    def step(_, carry):
        t, y, known, _ = carry
        found = method.attempt(rates, t, y, h, known)
        inside = method.between(0.6 if theta is None else theta, h, y, found)
        return t + h, found.end, found.known, inside

    y = (jnp.asarray(2.0), jnp.asarray(1.0))
    known = rates(jnp.asarray(0.0), y) if method.reuses else ()
    _, y, _, inside = jax.jit(lambda c: jax.lax.fori_loop(0, steps, step, c))((jnp.asarray(0.0), y, known, y))
    return np.stack(y if theta is None else inside)


@pytest.mark.parametrize("rates", [forced, still])
@pytest.mark.parametrize("name", METHODS)
def test_convergence_is_at_least_of_order_5(name, rates):
    exact = path(METHODS[name], rates, 512, 2.0)
    errors = [np.max(np.abs(path(METHODS[name], rates, steps, 2.0) - exact)) for steps in (16, 32)]
    assert 4.7 < np.log2(errors[0] / errors[1]) < 6.1  # Tsit5's error term of order 5 is so small that the next shows


@pytest.mark.parametrize("name", METHODS)
def test_dense_output_is_of_order_4(name):
    """The last step of two solves of different step, sampled at the same time."""
    errors = []
    for steps in (16, 32):
        h = 2.0 / steps
        found = path(METHODS[name], forced, steps, 2.0, theta=0.6)
        exact = path(METHODS[name], forced, 640, 2.0 - 0.4 * h)
        errors.append(np.max(np.abs(found - exact)))
    assert np.log2(errors[0] / errors[1]) > 4.3  # local error: one order more, less what the steps before leave


TIGHT = Settings(rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stiff", [False, True])
def test_doses_and_infusions_equal_the_textbook(stiff):
    """Two doses at one time, overlapping infusions that begin with doses, samples on entries and on each other."""
    entries = [(0.0, 100.0, 0.0, 0), (2.0, 0.0, 7.0, 1), (4.0, 0.0, 5.0, 1), (4.0, 30.0, 0.0, 0), (4.0, 20.0, 0.0, 0)]
    entries += [(6.0, 0.0, -7.0, 1), (9.5, 0.0, -5.0, 1), (12.0, 0.0, 0.0, 0)]
    time, amount, rate, state = np.array(entries).T
    sample = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 3.9, 4.0, 4.0, 6.0, 8.0, 9.5, 9.6, 15.0, 40.0, 40.0])
    settings = TIGHT._replace(stiff=stiff, dosed=(0,), infused=(1,))
    found, finals = solved(DEPOT, settings, (*P, 0, 0), tables(time, sample, amount=amount, rate=rate, state=state))
    doses, infusions = [(0.0, 100.0), (4.0, 50.0)], [(2.0, 6.0, 7.0), (4.0, 9.5, 5.0)]
    expected = amounts(sample, doses=doses, infusions=infusions)
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=2e-7)
    assert finals[0] == ResultCode.SOLVED


@pytest.mark.parametrize("stiff", [False, True])
def test_samples_at_an_entry_see_the_state_before_or_after_it(stiff):
    of = tables([0.0, 5.0], [5.0, 5.0, 5.0, 5.0, 6.0], amount=[0.0, 10.0], after=[0, 0, 1, 1, 1])
    found, _ = solved(DEPOT, TIGHT._replace(stiff=stiff), (*P, 2.0, 0.0), of)
    left = 2.0 * np.exp(-5.0 * P[0])
    np.testing.assert_allclose(found[:, 1], [left, left, 10 + left, 10 + left, (10 + left) * np.exp(-P[0])], rtol=1e-5)


def test_a_reset_begins_again_and_ends_infusions():
    time, sample = [0.0, 1.0, 7.0], np.array([0.5, 6.9, 7.0, 9.0, 20.0])
    of = tables(time, sample, amount=[50.0, 0, 80.0], rate=[0, 6.0, 0], state=[0, 1, 0], reset=[0, 0, 1])
    settings = TIGHT._replace(infused=(1,), resets=True)
    found, _ = solved(DEPOT, settings, (*P, 3.0, 4.0), of)
    first = amounts(sample, doses=[(0.0, 50.0)], infusions=[(1.0, 1e9, 6.0)], start=(3.0, 4.0))
    again = amounts(sample, doses=[(7.0, 80.0)], start=(3.0, 4.0), since=7.0)
    np.testing.assert_allclose(found, np.where(sample[:, None] < 7.0, first, again), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("stiff", [False, True])
def test_parameters_vary_linearly_within_spans_and_jump_between_them(stiff):
    decay = Equations(lambda t, y, p: (-p[1] * y[0],), lambda t, y, p: (y[0], p[1]), 1, 2, 2)
    sample = np.array([1.0, 4.0, 5.0, 9.0])
    spans = [[0, 0], [0, 0, 1, 1], [0.0, 4.0], [4.0, 10.0], [0.1, 0.5], [0.9, 0.5]]
    spans = [jnp.asarray(np.array(one, np.int32 if k < 2 else float)) for k, one in enumerate(spans)]
    settings = TIGHT._replace(stiff=stiff, varying=(1,))
    of = (*tables([0.0, 4.0], sample, after=[0, 0, 1, 1]), *spans)
    found, _ = solved(decay, settings, (9.0, 9.0, 2.0), of)
    area = np.where(sample <= 4, 0.1 * sample + 0.1 * sample**2, 2.0 + 0.5 * (sample - 4))
    np.testing.assert_allclose(found[:, 0], 2.0 * np.exp(-area), rtol=2e-7)
    np.testing.assert_allclose(found[:, 1], [0.3, 0.9, 0.5, 0.5], rtol=1e-14)


def test_units_of_time_and_amount_change_nothing():
    time, sample = np.arange(5) * 24.0, np.linspace(0.7, 130.0, 40)
    first, finals = solved(DEPOT, Settings(atol=1e-6), (*P, 0, 0), tables(time, sample, amount=100.0))
    for unit, scale in ((24.0, 1e-9), (1 / 3600.0, 1e9)):
        rescaled = tables(time / unit, sample / unit, amount=100.0 * scale)
        p = tuple(one * unit for one in P)
        found, steps = solved(DEPOT, Settings(atol=1e-6 * scale), (*p, 0, 0), rescaled)
        np.testing.assert_allclose(found, first * scale, rtol=1e-9, atol=1e-9 * scale)
        assert steps[1] == pytest.approx(finals[1], abs=2)


@pytest.mark.parametrize("stiff", [False, True])
def test_each_failure_has_its_code_and_leaves_later_samples_unknown(stiff):
    def failing(rate):
        return Equations(lambda t, y, p: (rate(t, y[0]),), lambda t, y, p: (y[0],), 1, 0, 1)

    settings = Settings(stiff=stiff, max_steps=2000)
    of = tables([0.0], [0.5, 3.0])
    for rate, code in (
        (lambda t, y: y * y, ResultCode.NOT_FINITE),  # infinite at time 1
        (lambda t, y: -1.0 + 0.0 * y, ResultCode.NEGATIVE),
        (lambda t, y: jnp.cos(1e5 * t) * 1e5 * y, ResultCode.STEP_LIMIT),
    ):
        found, finals = solved(failing(rate), settings, (1.0,), of)
        assert finals[0] == code
        assert np.isnan(found[1, 0])
    assert finals[1] == 2000


@pytest.mark.parametrize("place", [0, 1])
def test_a_time_that_is_no_number_ends_the_solve(place):
    time = np.array([0.0, 4.0])
    time[place] = np.nan
    found, finals = solved(DEPOT, Settings(), (*P, 1.0, 0), tables(time, [1.0, 5.0], amount=1.0, after=[0, 1]))
    assert finals[0] == ResultCode.NOT_FINITE
    assert np.isnan(found[1, 0])


def test_compiled_lanes_equal_the_program_run_by_jax():
    equations = Equations(saturable, lambda t, y, p: (y[1] / p[2],), 3, 6, 1)
    fixed = jnp.asarray((15.0, 2.0, 30.0, 6.0, 60.0, 0.8, 0.0, 0.0, 0.0))
    of = tables(np.arange(4) * 24.0, np.linspace(1.0, 100.0, 23), amount=100.0)
    found, finals = solved(equations, Settings(), fixed, of)
    samples, codes = jax.jit(lambda x: run(program(equations, Settings()), x, of, 23))(fixed)
    np.testing.assert_allclose(found, samples, rtol=1e-9)
    assert finals.tolist() == codes.tolist()


@pytest.mark.external
@pytest.mark.parametrize(
    ("name", "stiff", "rtol"),
    [
        *(("mm2", False, rtol) for rtol in (1e-4, 1e-6, 1e-8)),
        *(("friberg", False, rtol) for rtol in (1e-4, 1e-6, 1e-8)),
        *(("tmdd", True, rtol) for rtol in (1e-4, 1e-6, 1e-8)),
        ("mm2", True, 1e-6),
        ("pbpk15", True, 1e-6),
    ],
)
def test_trajectories_equal_the_reference(name, stiff, rtol):
    fixed, of, expected = reference(name)
    compiled = kernel(model(name)[0], Settings(stiff=stiff, rtol=rtol, atol=1e-2 * rtol))
    found, finals = jax.vmap(lambda one: compiled(one, *of, samples=len(of[5])))(jnp.asarray(fixed))
    assert np.all(finals[:, 0] == ResultCode.SOLVED)
    assert worst(np.asarray(found[:, :, 0]), expected) < 10 * rtol
