"""The scale on which numbers that may be 0 are sampled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from vtrial.inference.scale import FromZero, Polar, transform_of
from vtrial.population import GammaPrior, HalfNormalPrior, HalfStudentTPrior

X = jnp.linspace(-12.0, 12.0, 49)


@pytest.mark.parametrize("scale", [0.3, 40.0])
def test_back_and_forth(scale):
    found = FromZero(scale)
    np.testing.assert_allclose(found.inv(found(X)), X, rtol=1e-9, atol=1e-9)
    slope = jax.vmap(jax.grad(found))(X)
    np.testing.assert_allclose(found.log_abs_det_jacobian(X, found(X)), jnp.log(slope), rtol=1e-12, atol=1e-12)


def test_far_below_it_is_square_and_far_above_exponential():
    np.testing.assert_allclose(jnp.log(FromZero(1.0)(jnp.array([-30.0, 40.0]))), [-480.0, 40.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("prior", "scale"), [(HalfNormalPrior(0.3), 0.3), (HalfStudentTPrior(2.0), 2.0), (GammaPrior(1.0, 0.5), None)]
)
def test_only_priors_that_allow_zero_take_it(prior, scale):
    found = transform_of(prior.distribution())
    assert (found.scale if isinstance(found, FromZero) else None) == scale


def test_two_parts_of_one_error():
    """The size is that of both together, whatever the angle; area by the determinant of the derivatives."""
    found, x = Polar(jnp.asarray(5.0)), jnp.asarray([-0.4, 0.9])
    a, b = found(*x)
    assert float(a**2 + (5.0 * b) ** 2) == pytest.approx(np.exp(-0.8))
    np.testing.assert_allclose(jnp.stack(found.inv(a, b)), x, rtol=1e-12)
    area = jnp.linalg.det(jax.jacobian(lambda x: jnp.stack(found(*x)))(x))
    assert float(found.log_abs_det_jacobian(*x)) == pytest.approx(float(jnp.log(jnp.abs(area))))


@pytest.mark.parametrize("y", [-6.0, 6.0])
def test_neither_part_is_lost_beside_the_other(y):
    found = Polar(jnp.asarray(5.0))
    small = min(float(part) * at for part, at in zip(found(jnp.asarray(0.0), jnp.asarray(y)), (1.0, 5.0), strict=True))
    assert small == pytest.approx(np.pi / 2 * norm.cdf(-6.0), rel=1e-6)
