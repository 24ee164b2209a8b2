"""Floors that follow the data: what a noise says does not depend on the unit of the output."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import half
from vtrial.data.dataset import Observations
from vtrial.errors import UserError
from vtrial.noise import LogNormal, Positive, Power, Proportional, TransformBothSides, with_floor

VALUES = np.array([0.0, 2.0, 5.0, 40.0])
NOISE = {
    "proportional": (Proportional(half(0.3)), {"sigma_prop": 0.2}),
    "power": (Power(half(0.3), 1.0), {"sigma_pow": 0.2}),
    "positive": (Positive(Proportional(half(0.3))), {"sigma_prop": 0.2}),
}


def seen(values):
    nothing, at = np.full(len(values), np.nan), np.arange(len(values))
    return Observations(values, nothing, nothing, at.astype(float), np.zeros(len(values), int), at, at - 1)


def total(noise, factor, values):
    measured = seen(VALUES[1:] * factor)
    made = with_floor(noise, measured)
    predicted = jnp.asarray([0.0, 4.0, 50.0]) * factor
    return np.asarray(made.log_likelihood(predicted, {}, {n: jnp.asarray(v) for n, v in values.items()}, measured))


@pytest.mark.parametrize("name", NOISE)
def test_a_density_changes_with_the_unit_as_densities_do(name):
    """From mg/L to ng/mL each density is a millionth, a prediction of 0 with its floor too."""
    noise, values = NOISE[name]
    np.testing.assert_allclose(total(noise, 1.0, values) - np.log(1e6), total(noise, 1e6, values), rtol=1e-12)


@pytest.mark.parametrize("make", [LogNormal, lambda p: TransformBothSides(Proportional(p), 0.5)])
def test_the_floor_is_a_thousandth_of_the_least_value_above_nothing(make):
    made = with_floor(make(half(0.3)), seen(VALUES * 1e-6))
    assert made.least == pytest.approx(2e-9)
    assert with_floor(made, seen(VALUES)).least == made.least


def test_a_stated_floor_must_be_one():
    with pytest.raises(UserError, match="must be positive, not 0"):
        Proportional(half(0.3), least=0.0)
