"""Linear models in leaps against SciPy's exponential: stiff, defective, oscillating and growing matrices, and PBPK."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm_frechet
from vtrial.models.pbpk15 import WholeBody

from tests.helpers import MODEL_PARAMETERS
from vtrial.dosing import Dose, event_table
from vtrial.model import AbstractModel
from vtrial.solve import Linear, ResultCode
from vtrial.solve.exact.rational import CONSTANT, GAUGE, POLES, REACH, RESIDUES

TIMES = [0.0, 1e-6, 0.013, 0.5, 3.3, 23.9, 24.0, 240.0]


def partial_fractions(constant, residues, x):
    pairs = zip(POLES, residues, strict=True)
    return constant + sum(r / (x - p) + r.conjugate() / (x - p.conjugate()) for p, r in pairs)


def test_the_approximation_is_as_good_as_it_says():
    """On the axis to rounding, of terms up to 233; within 80 degrees of it wherever the gauge allows."""
    x = -np.geomspace(1e-6, 1e6, 2000)
    np.testing.assert_allclose(partial_fractions(CONSTANT, RESIDUES, x), np.exp(x), rtol=0, atol=2e-14)
    assert np.abs(partial_fractions(1.0, GAUGE, x)).max() < 1 + 1e-6
    z = np.exp(1j * np.radians(np.linspace(0, 80, 81)))[:, None] * x
    error = np.abs(partial_fractions(CONSTANT, RESIDUES, z) - np.exp(z))
    assert error[np.abs(partial_fractions(1.0, GAUGE, z)) < REACH].max() < 1e-13


def modelled(matrix):
    """A model whose rates are K and a bit of X times a matrix, and which shows all states."""
    size, entries = len(matrix), [(i, j, float(matrix[i, j])) for i, j in np.argwhere(matrix)]
    names = [f"y{i}" for i in range(size)]

    class Matrix(AbstractModel):
        time: ClassVar = "h"
        states: ClassVar = dict.fromkeys(names, "mg")
        parameters: ClassVar = {"K": "", "X": ""}
        outputs: ClassVar = dict.fromkeys(names, "mg")
        linear: ClassVar = True

        def initial(self, p):
            return {name: jnp.asarray(1.0 + i) for i, name in enumerate(names)}

        def rates(self, t, y, p):
            found = dict.fromkeys(names, jnp.zeros(()))
            for i, j, entry in entries:
                found[names[i]] = found[names[i]] + (p["K"] + p["X"] * np.cos(i + 2.0 * j)) * entry * y[names[j]]
            return found

        def observe(self, t, y, p):
            return y

    return Matrix()


def exchange(seed, size):
    """Exchange in all directions over four decades, and elimination."""
    random = np.random.default_rng(seed)
    rate = 10 ** random.uniform(-2, 2, (size, size)) * (random.random((size, size)) < 0.5)
    np.fill_diagonal(rate, 0.0)
    return rate - np.diag(rate.sum(axis=0) + 10 ** random.uniform(-2, 1, size))


def circle(size):
    return np.roll(np.eye(size), 1, axis=0) - np.eye(size)


MATRICES = {
    "exchange": exchange(0, 5),
    "another exchange": exchange(3, 6),
    "chain of equal rates": np.diag(np.full(12, -2.0)) + np.diag(np.full(11, 2.0), -1),
    "oscillator": np.array([[0, -1.3, 0, 1e-5], [1.3, 0, 0, 0], [0.5, 0, -0.1, 0], [0, 0, 0, -40.0]]),
    "circle": 3.0 * circle(9),
    "nothing happens": np.diag([0.0, 0.0, 0.0, 0.0]) + np.diag([1e-300, 0.0, 0.0], -1),
    "growth": np.array([[0.02, 0.1, 0, 0], [0.0, 0.02, 1, 0], [0.0, 0, -3, 2], [0, 0, 1, -9.0]]),
}


@pytest.mark.parametrize("name", MATRICES)
def test_leaps_equal_the_matrix_exponential(name):
    """Of the largest state so far: a leap errs by 1e-12, or 5e-11 where what oscillates has decayed."""
    rate, model = MATRICES[name], modelled(MATRICES[name])
    start, events = 1.0 + np.arange(len(rate)), event_table(TIMES, states=len(rate))
    found = jax.jit(lambda p: Linear()(model, p, events))({"K": 1.0, "X": 0.0})
    got = np.stack([found.outputs[f"y{i}"] for i in range(len(rate))], axis=-1)
    exact = np.stack([expm_frechet(rate * t, rate * t)[0] @ start for t in TIMES])
    assert found.code == (ResultCode.NEGATIVE if "oscillator" in name else ResultCode.SOLVED)
    error = np.abs(got - exact) / np.maximum.accumulate(np.abs(exact).max(axis=1))[:, None]
    assert error.max() < (1e-10 if name in ("oscillator", "circle") else 1e-12)


@pytest.mark.parametrize("name", ["exchange", "oscillator"])
def test_derivatives_equal_scipy(name):
    """In a direction of the matrix, at leaps that are whole and at halved ones."""
    rate, model = MATRICES[name], modelled(MATRICES[name])
    start, events = 1.0 + np.arange(len(rate)), event_table(TIMES[:-1], states=len(rate))
    slopes = jax.jit(jax.jacfwd(lambda x: Linear()(model, {"K": 1.0, "X": x}, events).outputs))(0.0)
    turn = rate * np.cos(np.arange(len(rate))[:, None] + 2.0 * np.arange(len(rate)))
    for k, t in enumerate(TIMES[:-1]):
        wanted = expm_frechet(rate * t, turn * t)[1] @ start
        got = np.array([slopes[f"y{i}"][k] for i in range(len(rate))])
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-10 * (1 + np.abs(wanted).max()))


def test_any_speed_of_exchange():
    """Far beyond the ladder's reach, blood and tissues are in equilibrium: one compartment, which the liver clears."""
    model, p = WholeBody(), MODEL_PARAMETERS["WholeBody"] | {"QS": 1e5, "CLR": 0.0, "KA": 1e4}
    found = jax.jit(lambda p: Linear()(model, p, event_table([Dose(0.0, 100.0, 0), 0.01, 24.0])))(p)
    assert found.code == ResultCode.SOLVED
    first, last = found.outputs["concentration"]
    rate = np.log(first / last) / 23.99
    # Equilibrium is reached to the inverse of the flows, 3.5e7 L/h, times the clearance; absorption takes 1e-4 h.
    assert first == pytest.approx(100.0 / (p["CLINT"] / rate) * np.exp(-0.0099 * rate), rel=1e-4)


def test_what_is_not_a_number_stops():
    model, p = WholeBody(), MODEL_PARAMETERS["WholeBody"]
    found = jax.jit(lambda p: Linear()(model, p, event_table([Dose(0.0, 100.0, 0), 24.0])))(p | {"KA": jnp.nan})
    assert found.code == ResultCode.NOT_FINITE
