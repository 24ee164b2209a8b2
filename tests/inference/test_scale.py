"""The scale on which numbers that may be 0 are sampled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.inference.scale import FromZero, transform_of
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
