import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vtrial.statistics import student

DF = np.array([0.5, 1.0, 2.0, 3.7, 30.0, 1e4])


@pytest.mark.parametrize("alpha", [0.9, 0.05, 1e-6])
def test_quantile(alpha):
    np.testing.assert_allclose(student.quantile(alpha, jnp.asarray(DF)), stats.t.isf(alpha / 2, DF), rtol=1e-9)


def test_deviate_has_the_same_tail():
    t = np.array([-50.0, -2.0, 0.0, 0.3, 5.0, 1e9])
    z = np.asarray(student.deviate(jnp.asarray(t), jnp.asarray(DF)))
    np.testing.assert_allclose(stats.norm.sf(z[:5]), stats.t.sf(t[:5], DF[:5]), rtol=1e-9)
    assert z[5] == pytest.approx(stats.norm.isf(0.5e-300))
