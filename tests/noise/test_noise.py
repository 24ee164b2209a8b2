import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.helpers import finished, half
from vtrial.noise import AbstractNoise, Additive, Combined, Proportional

VALUES = {"sigma_add": jnp.asarray(0.5), "sigma_prop": jnp.asarray(0.2)}
F = np.array([0.5, 3.0, 10.0])


@pytest.mark.parametrize(
    ("noise", "sd"),
    [
        (Additive(half(1.0)), 0.5 + 0 * F),
        (Proportional(half(1.0)), 0.2 * F),
        (Combined(half(1.0), half(1.0)), np.sqrt(0.25 + (0.2 * F) ** 2)),
    ],
)
def test_density_is_scipys_normal(noise, sd):
    seen = np.array([1.0, 2.0, 12.0])
    np.testing.assert_allclose(
        noise.distribution(jnp.asarray(F), VALUES).log_prob(seen), stats.norm(F, sd).logpdf(seen), rtol=1e-12
    )


@pytest.mark.parametrize("kind", finished(AbstractNoise))
def test_contract(kind):
    noise = kind(**{name: half(1.0) for name in inspect.signature(kind).parameters if name != "least"})
    assert set(noise.priors()) == set(noise.units("mg/L")) <= set(VALUES)
    assert noise.describe()
    law = noise.distribution(jnp.asarray(F), VALUES)
    draws = np.asarray(law.sample(jax.random.key(0), (20_000,)))
    assert np.all(np.abs(draws.mean(0) - F) < 4 * draws.std(0) / np.sqrt(20_000))
    # A prediction of zero has a density.
    assert np.isfinite(noise.distribution(jnp.zeros(1), VALUES).log_prob(jnp.zeros(1))).all()
