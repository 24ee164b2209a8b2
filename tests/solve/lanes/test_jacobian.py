import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.solve.lanes.cases import binding, neutrophils, saturable
from vtrial.solve.lanes.forward import Dual, forward
from vtrial.solve.lanes.jacobian import elimination, factorise, linearise, marked, substitute


def forced(t, y, p):
    """Uses time, branches, a custom derivative and powers."""
    switch = jnp.where(y[0] > 1.0, y[0] ** 2, jnp.log1p(y[1]))
    return (
        -p[0] * y[0] + jnp.sin(p[1] * t) * y[2],
        jax.nn.softplus(y[0] - y[1]) * switch,
        jnp.maximum(y[1], 0.3) / (1.0 + y[2]) ** p[1],
        jnp.exp(-p[0]),
    )


CASES = {
    "saturable": (saturable, 3, 6),
    "binding": (binding, 5, 10),
    "neutrophils": (neutrophils, 8, 9),
    "forced": (forced, 4, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_sparse_jacobian_equals_the_dense_one(name):
    rates, states, parameters = CASES[name]
    draw = np.random.default_rng(1)
    y, p = jnp.asarray(draw.uniform(0.5, 2.0, states)), tuple(draw.uniform(0.5, 2.0, parameters))
    found = linearise(lambda t, y: rates(t, y, p), jnp.asarray(0.7), tuple(y))

    def dense(t, y):
        return jnp.stack([jnp.asarray(one, float) for one in rates(t, tuple(y), p)])

    by_time, by_state = jax.jacfwd(dense, (0, 1))(jnp.asarray(0.7), y)
    matrix = np.zeros((states, states))
    for place, entry in found.jacobian.items():
        matrix[place] = entry
    np.testing.assert_allclose(matrix, by_state, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose([found.time.get(i, 0.0) for i in range(states)], by_time, rtol=1e-13)
    np.testing.assert_allclose(jnp.stack(found.rates), dense(jnp.asarray(0.7), y), rtol=1e-14)


def test_structural_zeros_are_left_out():
    found = linearise(lambda t, y: saturable(t, y, (15.0, 2.0, 30.0, 6.0, 60.0, 0.8)), 0.0, (1.0, 2.0, 3.0))
    assert set(found.jacobian) == {(0, 0), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)}
    assert not found.time


def system(size=12):
    """A sparse matrix with a strong diagonal, and a right side."""
    draw = np.random.default_rng(2)
    pattern = {(i, i) for i in range(size)} | {tuple(draw.integers(0, size, 2).tolist()) for _ in range(2 * size)}
    matrix = {place: draw.uniform(-1, 1) + 4.0 * (place[0] == place[1]) for place in sorted(pattern)}
    dense = np.zeros((size, size))
    for place, entry in matrix.items():
        dense[place] = entry
    return matrix, dense, draw.uniform(-1, 1, size).tolist()


def test_sparse_elimination_equals_numpy():
    matrix, dense, right = system()
    plan = elimination(matrix, len(right))
    found = substitute(factorise(matrix, plan), plan, right)
    np.testing.assert_allclose(found, np.linalg.solve(dense, right), rtol=1e-12)


def test_order_of_elimination_avoids_fill():
    arrow = {(0, i) for i in range(9)} | {(i, 0) for i in range(9)} | {(i, i) for i in range(9)}
    assert sum(len(one.rows) * len(one.columns) for one in elimination(arrow, 9)) == 8


def test_derivative_of_a_marked_solve_equals_that_of_numpy():
    matrix, dense, right = system()
    plan, places = elimination(matrix, len(right)), list(matrix)

    def solved(x):
        entries = {place: matrix[place] + x * (k % 3) for k, place in enumerate(places)}
        return marked(factorise(entries, plan), entries, plan, [one + 2.0 * x for one in right])

    found = forward(jax.make_jaxpr(solved)(0.0), [Dual(0.0, {"x": 1.0})])
    change = np.zeros_like(dense)
    for k, place in enumerate(places):
        change[place] = k % 3
    x = np.linalg.solve(dense, right)
    np.testing.assert_allclose([one.value for one in found], x, rtol=1e-12)
    expected = np.linalg.solve(dense, 2.0 - change @ x)
    np.testing.assert_allclose([one.tangents["x"] for one in found], expected, rtol=1e-11)
