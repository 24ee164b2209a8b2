import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.infer.util import potential_energy

from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.scale import FromZero
from vtrial.population import LogitNormalPrior


@pytest.fixture(scope="module")
def density(statistical, data):
    return UnconstrainedDensity(statistical.joint(data))


@pytest.fixture(scope="module")
def medians(statistical):
    return statistical.starts()


def test_starts_are_the_prior_medians(density, medians):
    found = density.constrain(density.near(jax.random.key(0), medians, 0.0))
    for name, value in medians.items():
        assert float(found[name]) == pytest.approx(value)
    assert (np.asarray(found["CL_eta"]) == 0).all()
    np.testing.assert_allclose(found["iiv_correlation"], np.eye(3), atol=1e-12)


def test_every_start_is_on_the_side_of_the_flip_flop_the_priors_mean(density, medians):
    starts = jax.vmap(lambda k: density.near(k, medians, 0.1))(jax.random.split(jax.random.key(0), 200))
    p = jax.vmap(density.constrain)(starts)
    assert (p["KA"] > 3 * p["CL"] / p["VC"]).all()
    assert len(np.unique(p["KA"])) == 200  # and they are dispersed, so that R-hat can see chains that do not meet


def test_potential_is_numpyros(density, medians, statistical, data):
    """NumPyro samples every positive number by its logarithm; ours that may be 0 need another Jacobian."""
    point = density.near(jax.random.key(3), medians, 0.3)
    both = ("concentration_sigma_add", "concentration_sigma_prop")
    assert set(density.together) == {both}
    kinds = {n: t for n, (t, _) in density.sites.items() if isinstance(t, FromZero) and n not in both}
    assert set(kinds) == {"CL_iiv", "VC_iiv", "KA_iiv"}
    polar, x = density.together[both], jnp.stack([point[n] for n in both])
    theirs = point | {n: jnp.log(t(point[n])) for n, t in kinds.items()}
    theirs |= dict(zip(both, jnp.log(jnp.stack(polar(*x))), strict=True))
    slopes = [jnp.log(jax.grad(lambda x, t=t: jnp.log(t(x)))(point[n])) for n, t in kinds.items()]
    slopes.append(jnp.linalg.slogdet(jax.jacobian(lambda x: jnp.log(jnp.stack(polar(*x))))(x))[1])
    expected = potential_energy(statistical.joint(data), (), {}, theirs) - sum(slopes)
    assert float(density.potential(point)) == pytest.approx(float(expected), rel=1e-10)


def test_a_point_is_that_of_its_values(density, medians):
    point = density.near(jax.random.key(4), medians, 0.5)
    found = density.unconstrain(density.constrain(point))
    for name, value in point.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9)


def test_priors_between_limits_leave_no_trace():
    """A support whose limits are computed was once kept as a value of a trace that had ended."""

    def model():
        for name, prior in (("EMAX", LogitNormalPrior(0.9, 1.0)), ("F", LogitNormalPrior(0.5, 1.0, 0.2, 0.8))):
            numpyro.sample(name, prior.distribution())

    density = UnconstrainedDensity(model)
    point = density.centre({"EMAX": 0.9, "F": 0.5})
    found = density.constrain(point)
    assert float(found["EMAX"]) == pytest.approx(0.9)
    assert float(found["F"]) == pytest.approx(0.5)
    assert np.isfinite(density.potential(point))
