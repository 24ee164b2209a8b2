import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.trial import prognostic_score


def test_a_score_is_the_mean_over_people_with_those_covariates():
    # A person is 2 x + 3 η + η x: on average 2 x, off by the mean of the drawn η, the same for all.
    def predict(key, covariates):
        own = jax.random.normal(key)
        return jnp.where(own > 3.0, jnp.nan, 2 * covariates["x"] + 3 * own + own * covariates["x"])

    x = jnp.array([-1.0, 0.0, 2.0])
    score = prognostic_score(jax.random.key(1), predict, {"x": x}, 400)
    eta = jax.vmap(jax.random.normal)(jax.random.split(jax.random.key(1), 400))
    mean = float(eta[eta <= 3.0].mean())
    np.testing.assert_allclose(score, 2 * np.asarray(x) + 3 * mean + mean * np.asarray(x), rtol=1e-12)
    # Patients are given nothing but covariates: alike in them, alike in score.
    again = prognostic_score(jax.random.key(1), predict, {"x": x[::-1]}, 400)
    np.testing.assert_array_equal(again, score[::-1])
    assert mean == pytest.approx(0, abs=4 / 20)
