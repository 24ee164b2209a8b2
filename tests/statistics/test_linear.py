import jax
import jax.numpy as jnp
import numpy as np

from vtrial.statistics.linear import invert


def test_an_inverse_leaves_out_combinations():
    columns = np.random.default_rng(0).normal(size=(2, 9, 4))
    columns[1, :, 2] = 2 * columns[1, :, 0] - columns[1, :, 1]
    square = np.einsum("rni,rnj->rij", columns, columns)
    inverse, logarithm, kept = jax.vmap(invert)(jnp.asarray(square))
    np.testing.assert_allclose(inverse[0], np.linalg.inv(square[0]), rtol=1e-12)
    np.testing.assert_allclose(logarithm[0], np.linalg.slogdet(square[0])[1], rtol=1e-12)
    assert kept.tolist() == [[True] * 4, [True, True, False, True]]
    np.testing.assert_allclose(square[1] @ inverse[1] @ square[1], square[1], atol=1e-12)
