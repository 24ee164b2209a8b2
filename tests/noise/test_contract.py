"""What every noise must do, whichever it is; new classes are found by listing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import finished
from tests.noise.cases import CONTINUOUS, EVENTS, EVERY, VALUES, observations, replicate, visits
from vtrial.noise import AbstractNoise

LIMITED = [
    (name, censored) for name in EVERY for censored in (False, True) if not censored or name in CONTINUOUS | EVENTS
]
"""Each noise without and, where it knows them, with censored observations."""
EACH = pytest.mark.parametrize("name", EVERY)
TIME, SUBJECT = [1.0, 2.0, 4.0, 1.0, 3.0], [0, 0, 0, 1, 1]
F = jnp.asarray([0.8, 1.6, 2.5, 0.3, 0.9])


def seen_of(name, censored=False):
    """Observations that the law allows; censored ones below, above and in an interval, where it allows those."""
    if name in EVENTS:
        lower = [np.nan, np.nan, -np.inf, np.nan, np.nan] if censored else None
        upper = [np.nan, np.nan, 1.0, np.nan, np.nan] if censored else None
        return observations([0, 0, 1, 0, 1], lower=lower, upper=upper, time=TIME, subject=SUBJECT)
    if name not in CONTINUOUS:
        return observations([0, 1, 0, 1, 1], time=TIME, subject=SUBJECT)
    lower = [-np.inf, np.nan, 2.0, 0.1, np.nan] if censored else None
    upper = [0.5, np.nan, np.inf, 0.6, np.nan] if censored else None
    return observations([0.5, 1.4, 2.0, 0.6, 1.1], lower=lower, upper=upper, time=TIME, subject=SUBJECT)


def test_every_class_is_here():
    assert {type(noise) for noise in EVERY.values()} == set(finished(AbstractNoise))


@EACH
def test_words_units_and_priors(name):
    noise = EVERY[name]
    assert set(noise.priors()) == set(noise.units("mg/L", "h")) <= set(VALUES)
    assert noise.describe()
    assert set(noise.units("mg/L", "h").values()) <= {"mg/L", "h", ""}


@pytest.mark.parametrize(("name", "censored"), LIMITED)
def test_likelihood_is_finite_with_gradients_equal_to_differences(name, censored):
    noise = EVERY[name]
    seen = seen_of(name, censored)
    values = {short: VALUES[short] for short in noise.priors()}

    def total(point):
        return jnp.sum(noise.log_likelihood(point[0], {"hazard": point[1]}, point[2], seen))

    point = (F, 0.3 * F, values)
    assert np.isfinite(total(point))
    slope = jax.grad(total)(point)
    flat, back = jax.flatten_util.ravel_pytree(point)
    step = 1e-6
    found = jax.vmap(lambda d: (total(back(flat + step * d)) - total(back(flat - step * d))) / (2 * step))
    np.testing.assert_allclose(jax.flatten_util.ravel_pytree(slope)[0], found(jnp.eye(len(flat))), rtol=1e-6, atol=2e-8)


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e8])
@pytest.mark.parametrize(("name", "censored"), LIMITED)
def test_gradients_are_finite_in_the_tails(name, size, censored):
    """Predictions of 0 and of a hundred million, and tiny parameters: -inf or a number, never NaN in a gradient."""
    noise = EVERY[name]
    seen = seen_of(name, censored)
    for shrunk in (1.0, 1e-5):
        values = {short: shrunk * VALUES[short] for short in noise.priors()}

        def total(f, values, noise=noise, seen=seen):
            each = noise.log_likelihood(f, {"hazard": f}, values, seen)
            return jnp.sum(jnp.where(jnp.isfinite(each), each, 0.0)), each

        f = jnp.full(5, size)
        slope, each = jax.grad(total, argnums=(0, 1), has_aux=True)(f, values)
        assert not np.isnan(each).any()
        assert (np.asarray(each) < np.inf).all()
        for part in jax.tree.leaves(slope):
            assert np.isfinite(part).all(), (shrunk, each, slope)


@EACH
def test_vmap_equals_loop_and_jit(name):
    """Draws of the posterior are an axis outside, and observations may be traced."""
    noise, seen = EVERY[name], seen_of(name)
    scales = jnp.asarray([0.7, 1.0, 1.3])

    def one(scale):
        values = {short: scale * VALUES[short] for short in noise.priors()}
        return noise.log_likelihood(scale * F, {"hazard": F}, values, seen)

    np.testing.assert_allclose(jax.vmap(one)(scales), jnp.stack([one(s) for s in scales]), rtol=1e-9)
    traced = jax.jit(lambda seen: noise.log_likelihood(F, {"hazard": F}, VALUES, seen))(seen)
    np.testing.assert_allclose(traced, noise.log_likelihood(F, {"hazard": F}, VALUES, seen), rtol=1e-9)


@EACH
def test_replicates_are_of_the_same_kind_and_do_not_depend_on_other_subjects(name):
    noise, seen = EVERY[name], seen_of(name)
    when = visits(3, seen)
    found = replicate(noise, F, when)
    assert found.shape == (5,)
    assert np.isfinite(found).all()
    if name not in CONTINUOUS:
        assert (found == np.round(found)).all()
        assert (found >= 0).all()
    mine = when._replace(**{field: getattr(when, field)[:3] for field in when._fields})
    np.testing.assert_allclose(replicate(noise, F[:3], mine), found[:3], rtol=1e-12)


@EACH
def test_deviation_and_residual_are_of_measurements_with_an_error_alone(name):
    noise, seen = EVERY[name], seen_of(name, censored=True)
    deviation, residual = noise.deviation(F, VALUES), noise.residual(F, VALUES, seen)
    if name in CONTINUOUS:
        assert deviation is not None
        assert (np.asarray(deviation) > 0).all()
        np.testing.assert_array_equal(np.isnan(np.asarray(residual)), seen.censored)
    else:
        assert deviation is None
        assert residual is None
