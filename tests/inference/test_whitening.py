"""The coordinates that chains walk in: what a Laplace fit makes of the joint density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import theophylline
from vtrial.inference.centring import centred
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.start import fitted_starts
from vtrial.inference.whitening import Root, Whitened, whitened


@pytest.fixture(scope="module")
def case(data):
    """Theophylline with correlated etas, those of VC not centred far."""
    statistical, fit = centred(theophylline(), data, "auto")
    density = UnconstrainedDensity(statistical.joint(data))
    return statistical, density, whitened(density, statistical, data, fit)


def test_subjects_have_unit_curvature_and_move_with_the_population(case):
    """At the fit's centre, by differences: of each alone nearly 1 (expected information stands for observed).

    Of the population level the fit knows the marginal width, which the joint density's curvature does not show.
    """
    _, density, target = case
    assert isinstance(target, Whitened)
    at, n = target.vector(target.near(jax.random.key(0), 0.0)), density.dense
    slope = jax.jit(jax.grad(lambda w: target.potential(target.point(w))))
    sides = 1e-4 * jnp.eye(density.size)
    curvature = np.asarray(jnp.stack([(slope(at + s) - slope(at - s)) / 2e-4 for s in sides]))
    values = np.linalg.eigvalsh(curvature[n:, n:])
    assert 0.5 < values.min() < values.max() < 2.0
    assert np.abs(curvature[n:, :n]).max() < 0.2


def test_chains_start_in_the_fit(case):
    """Draws of the fit's normal lie about as high as a normal's do: half a unit of potential a coordinate."""
    _, density, target = case
    found = fitted_starts(jax.random.key(1), jax.vmap(density.potential), target, chains=50)
    top = float(density.potential(target.near(jax.random.key(0), 0.0)))
    rise = np.asarray(jax.vmap(density.potential)(found)) - top
    assert 0.35 < rise.mean() / density.size < 0.8


def test_a_root_and_its_inverse():
    """Two subjects of two coordinates each, which lie apart in the vector."""
    random = np.random.default_rng(0)
    own = jnp.asarray(np.tril(random.normal(size=(2, 2, 2))) + 2 * np.eye(2))
    block, along = (
        jnp.asarray(np.tril(random.normal(size=(3, 3))) + 3 * np.eye(3)),
        jnp.asarray(random.normal(size=(4, 3))),
    )
    root = Root(block, along, own, np.array([[0, 2], [1, 3]]))
    matrix = np.stack([np.asarray(root.spread(row)) for row in jnp.eye(7)], 1)
    np.testing.assert_allclose(matrix[3:, 3:][np.ix_([0, 2], [0, 2])], own[0])
    np.testing.assert_allclose(matrix[3:, :3], along)
    x = jnp.asarray(random.normal(size=7))
    np.testing.assert_allclose(root.whiten(x), np.linalg.solve(matrix, x), rtol=1e-10)
