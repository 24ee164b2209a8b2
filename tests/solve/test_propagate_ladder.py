"""The ladder of matrix exponentials against SciPy, and what it must survive: stiff, defective, oscillating matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet
from vtrial.models.pbpk15 import WholeBody

from tests.helpers import MODEL_PARAMETERS
from vtrial.dosing import Dose, event_table
from vtrial.solve import Linear, ResultCode
from vtrial.solve.exact.ladder import climb, ladder, matrices, smallest_step
from vtrial.solve.propagate import rate_matrix

LENGTHS = np.array([0.0, 1e-6, 0.013, 0.5, 3.3, 23.9, 24.0])


def over(rate, h, y):
    """The states after each interval, from the same states."""
    steps = ladder(jnp.asarray(rate), smallest_step(jnp.max(jnp.asarray(h))))
    return climb(steps, jnp.asarray(h), jnp.tile(jnp.asarray(y)[:, None], (1, len(h)))).T


def random_compartments(seed, size=6):
    """Exchange in all directions over four decades, and elimination."""
    random = np.random.default_rng(seed)
    rate = 10 ** random.uniform(-2, 2, (size, size)) * (random.random((size, size)) < 0.5)
    np.fill_diagonal(rate, 0.0)
    return rate - np.diag(rate.sum(axis=0) + 10 ** random.uniform(-2, 1, size))


MATRICES = {
    **{f"random {seed}": random_compartments(seed) for seed in range(8)},
    "chain of equal rates": np.diag(np.full(7, -2.0)) + np.diag(np.full(6, 2.0), -1),
    "chain of nearly equal rates": np.diag(-2.0 * (1 + 1e-9 * np.arange(7))) + np.diag(np.full(6, 2.0), -1),
    "oscillator": np.array([[0.0, -1.3, 0.0], [1.3, 0.0, 0.0], [0.5, 0.0, -0.1]]),
    "circle": np.array([[-1.0, 0, 1], [1, -1, 0], [0, 1, -1]]),
    "zero": np.zeros((3, 3)),
    "growth": np.array([[0.2, 0.1], [0.0, 0.2]]),
}


@pytest.mark.parametrize("name", MATRICES)
def test_values_equal_the_matrix_exponential(name):
    """Rounding grows with rates times interval; SciPy's Frechet derivative brings a reference for defective ones."""
    rate = MATRICES[name]
    y = np.linspace(1.0, 3.0, len(rate))
    found = jax.jit(over)(rate, LENGTHS, y)
    each = jax.jit(
        lambda: matrices(ladder(jnp.asarray(rate), smallest_step(jnp.asarray(24.0))), jnp.asarray(LENGTHS))
    )()
    for h, one, matrix in zip(LENGTHS, found, each, strict=True):
        exact = expm_frechet(rate * h, rate * h)[0]
        tolerance = 1e-15 * (30 + np.abs(rate).sum(axis=0).max() * h) * (1 + np.abs(exact).max())
        np.testing.assert_allclose(one, exact @ y, rtol=0, atol=3 * len(rate) * tolerance)
        np.testing.assert_allclose(matrix, exact, rtol=0, atol=tolerance)


@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
@pytest.mark.parametrize("name", ["random 0", "random 3", "chain of equal rates", "oscillator", "growth"])
def test_derivatives_equal_scipy(name, mode):
    """In a direction of the matrix, and in the interval, where it is rates times states; states are about 1."""
    rate = MATRICES[name]
    y, turn = np.linspace(1.0, 3.0, len(rate)), np.where(rate != 0, np.cos(np.arange(rate.size)).reshape(rate.shape), 0)

    def moved(x, h):
        return over(jnp.asarray(rate) + x * jnp.asarray(turn), h, y)

    by_rate, by_length = jax.jit(lambda h: (mode(moved)(0.0, h), mode(moved, argnums=1)(0.0, h)))(LENGTHS)
    for i, h in enumerate(LENGTHS):
        exact, slope = expm_frechet(rate * h, turn * h)
        for found, wanted in ((by_rate[i], slope @ y), (by_length[i, :, i], rate @ exact @ y)):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 + 1e-10 * np.abs(wanted).max())


def test_whole_body_equals_the_matrix_exponential():
    """The fastest rate is 316/h: after a month of doses, with an infusion into the venous blood beside them."""
    model, p = WholeBody(), MODEL_PARAMETERS["WholeBody"]
    venous = tuple(model.states).index("venous")
    times = [0.01, 3.7, 23.99, 24.5, 100.0, 671.0]
    events = event_table([Dose(0.0, 100.0, 0, 27, 24.0), Dose(2.0, 40.0, venous, duration=5.0), *times])
    found = jax.jit(lambda p: Linear()(model, p, events))(p)
    rate = np.asarray(rate_matrix(model, p))
    infused = np.zeros((16, 16))
    infused[:15, :15], infused[venous, 15] = rate, 8.0
    assert found.code == ResultCode.SOLVED
    for t, one in zip(times, found.outputs["concentration"], strict=True):
        state = sum(expm(rate * (t - 24.0 * k))[:, 0] * 100.0 for k in range(28) if t >= 24.0 * k)
        on = max(min(t, 7.0) - 2.0, 0.0)
        state = state + expm(rate * max(t - 7.0, 0.0)) @ expm(infused * on)[:15, 15]
        assert one == pytest.approx(state[venous] / 3.9, rel=1e-11)


def test_whole_body_gradient_equals_finite_differences():
    model, p = WholeBody(), MODEL_PARAMETERS["WholeBody"] | {"ALAG_lumen": 0.2, "F_lumen": 0.7}
    events = event_table([Dose(0.0, 100.0, 0, 2, 12.0), 0.5, 13.0, 30.0])
    total = jax.jit(lambda p: Linear()(model, p, events).outputs["concentration"].sum())
    slopes = jax.jit(jax.grad(lambda p: Linear()(model, p, events).outputs["concentration"].sum()))(p)
    for name, value in p.items():
        step = 1e-5 * value
        difference = (total(p | {name: value + step}) - total(p | {name: value - step})) / (2 * step)
        # Central difference: step^2 for truncation, 1e-13 / 1e-5 for rounding.
        assert slopes[name] == pytest.approx(float(difference), rel=1e-6, abs=1e-8)


def test_rates_beyond_the_ladder_are_a_failure_not_a_number():
    """1e9 / h over a day would need ten more rungs."""
    model, p = WholeBody(), MODEL_PARAMETERS["WholeBody"]
    events = event_table([Dose(0.0, 100.0, 0), 24.0])
    found = jax.jit(lambda p: Linear(compiled=False)(model, p, events))(p | {"QS": 3e6})
    assert found.code == ResultCode.NOT_FINITE
