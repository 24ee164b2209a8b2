"""The Laplace-marginal density: against quadrature, differences, and a linear model whose integral is known."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

from tests.helpers import theophylline
from vtrial.errors import UserError
from vtrial.inference.centring import centred, check_centring
from vtrial.inference.marginal import Marginal, first_look
from vtrial.population.centring import Centred
from vtrial.solve import Lanes

REFERENCE = json.loads((Path(__file__).parents[1] / "validation" / "data" / "theophylline_objective.json").read_text())
P = REFERENCE["parameters"]
DRAW = {
    "CL": P["CL"],
    "VC": P["V"],
    "KA": P["KA"],
    "CL_iiv": np.sqrt(P["omega_var"][0]),
    "VC_iiv": np.sqrt(P["omega_var"][1]),
    "KA_iiv": np.sqrt(P["omega_var"][2]),
    "concentration_sigma_add": P["sd_add"],
    "concentration_sigma_prop": P["sd_prop"],
}


@pytest.fixture(scope="module")
def model():
    return theophylline(weight=False, correlation=None)


@pytest.fixture(scope="module")
def interaction(model, data):
    return Marginal(model, data, "interaction")


def test_objective_of_focei(interaction):
    found = interaction.objective(DRAW)
    assert found.sum() == pytest.approx(REFERENCE["focei"], abs=0.01)


@pytest.mark.slow
def test_objective_of_laplace(model, data):
    assert Marginal(model, data, "laplace").objective(DRAW).sum() == pytest.approx(REFERENCE["laplace"], abs=0.01)


def test_gradient_is_that_of_the_value(interaction, data):
    """Against central differences of the value itself; the step of the determinant's is squared in the error."""
    density = interaction.density
    vector = density.vector(density.centre(interaction.statistical.starts()))
    start = jnp.zeros((len(data.subjects), 3))
    _, slope, moved = interaction.slope(vector, start)
    for i in range(len(vector)):
        side = 1e-3 * jnp.eye(len(vector))[i]
        above, below = (float(interaction.value(vector + s, moved.latent)[0]) for s in (side, -side))
        assert float(slope[i]) == pytest.approx((above - below) / 2e-3, rel=1e-3, abs=2e-3)


def test_importance_sampling_gives_the_exact_likelihood(interaction, data):
    """Each subject within four standard errors of the quadrature's value, Laplace's own error taken away."""
    density = interaction.density
    named = {n: jnp.asarray(v) for n, v in DRAW.items()}
    point = density.unconstrain(named)
    start = jnp.asarray([np.array(s["eta"]) / np.sqrt(P["omega_var"]) for s in REFERENCE["per_subject"]])
    weights, _ = jax.jit(lambda k: interaction.importance(k, density.vector(point), start, 4000))(jax.random.key(1))
    found = np.asarray(logsumexp(weights, axis=1)) - np.log(4000)
    relative = np.exp(np.asarray(weights) - found[:, None]).std(1) / np.sqrt(4000)
    count = np.bincount(data.observations["concentration"].subject) * np.log(2 * np.pi)
    exact = -0.5 * (np.array([s["exact"] for s in REFERENCE["per_subject"]]) + count)
    assert (relative < 0.05).all()
    np.testing.assert_array_less(np.abs(found - exact), 4 * relative)


@pytest.fixture(scope="module")
def chosen(model, data):
    return centred(model, data, "auto")


def test_centring_follows_the_information(chosen, model, data):
    """KA of subjects sampled eleven times is well known; VC, which hardly varies between them, is less so."""
    statistical, fit = chosen
    draw = Marginal(statistical, data, "interaction").draw(jnp.asarray(fit.vector))
    assert [told.effects for told in statistical.centring] == [("CL",), ("VC",), ("KA",)]
    factor = np.asarray(statistical.population.factor(draw))
    for i, told in enumerate(statistical.centring):
        known = np.array(told.root)[:, 0, 0] ** 2 * factor[i, i] ** 2
        np.testing.assert_allclose(1.0 / (1.0 + known), fit.spread[:, i], rtol=0.01)
    share = dict(zip(statistical.population.effects, 1.0 - fit.spread.mean(0), strict=True))
    assert 0.3 < share["VC"] < 0.8 < share["KA"] < 1.0
    assert centred(model, data, "all")[0].centring == (Centred(("CL", "VC", "KA")),)
    assert centred(model, data, "none") == (model, None)


def test_the_maximum_has_no_slope(interaction):
    fit = first_look(interaction)
    _, slope, _ = interaction.slope(jnp.asarray(fit.vector), jnp.asarray(fit.latent))
    assert np.abs(np.asarray(slope)).max() < 0.02
    assert (np.linalg.eigvalsh(fit.covariance) > 0).all()
    assert ((fit.spread > 0) & (fit.spread < 1)).all()


def test_mistakes(model, data):
    other = type(model)(model.model, model.population, Lanes(False), model.noise)
    with pytest.raises(UserError, match="second derivatives"):
        Marginal(other, data, "laplace")
    with pytest.raises(UserError, match="centring is 'som'"):
        check_centring("som")
