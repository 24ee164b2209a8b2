"""Sorting by networks in the lanes: NumPy's order, for any length and however rows are batched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.solve.lanes.sorting import in_order, network


@pytest.mark.parametrize("length", range(1, 14))
def test_the_network_sorts_zeros_and_ones(length):
    """Which is enough: Knuth's zero-one principle, theorem Z of 5.2.2."""
    rows = np.arange(2**length)[:, None] >> np.arange(length) & 1
    for p, r, d in network(length):
        for i in range(length - d):
            if i & p == r:
                rows[:, [i, i + d]] = np.sort(rows[:, [i, i + d]], 1)
    assert (np.diff(rows, axis=1) >= 0).all()


@pytest.mark.parametrize("length", [1, 2, 300])
def test_rows_are_in_order(length):
    random = np.random.default_rng(length)
    x = random.integers(-(2**63), 2**63 - 1, (3, 7, length))
    x[0] = random.integers(0, 3, (7, length))
    x[1, 0, 0] = 2**63 - 1  # as a float it would be no number
    found = jax.jit(jax.vmap(jax.vmap(in_order)))(jnp.asarray(x))
    np.testing.assert_array_equal(found, np.sort(x, -1))


def test_a_single_row_and_what_is_left_to_xla():
    x = np.random.default_rng(1).integers(0, 99, 50)
    np.testing.assert_array_equal(jax.jit(in_order)(jnp.asarray(x)), np.sort(x))
    np.testing.assert_array_equal(in_order(jnp.asarray(x, jnp.int32)), np.sort(x))
