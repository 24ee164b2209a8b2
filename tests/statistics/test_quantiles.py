"""Quantiles of columns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.statistics.quantiles import quantiles

Q = np.array([0.0, 0.05, 0.5, 0.95, 1.0])


@pytest.mark.parametrize("numbers", [1, 7, 400])
def test_as_numpy_has_them(numbers):
    """Of either sign, infinite, missing here and there, and one column without any."""
    value = np.random.default_rng(numbers).normal(size=(numbers, 12))
    value[np.random.default_rng(1).uniform(size=value.shape) < 0.2] = np.nan
    value[:, 3], value[0, 4], value[:, 5] = np.nan, np.inf, -0.0
    with jax.numpy_rank_promotion("allow"):
        found, wanted = (
            jax.jit(f)(jnp.asarray(value))
            for f in (lambda x: quantiles(x, jnp.asarray(Q)), lambda x: jnp.nanquantile(x, Q, axis=0))
        )
    np.testing.assert_array_equal(found, wanted)
    plain = value[:, 6:]
    plain[:, np.isnan(plain).all(0)] = 0.0
    np.testing.assert_allclose(
        quantiles(jnp.asarray(plain), jnp.asarray(Q)), np.nanquantile(plain, Q, axis=0), rtol=1e-13
    )
