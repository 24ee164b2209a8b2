"""Occasions, studies and missing covariates from a file to predictions, against parameters set by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import half
from vtrial import keys
from vtrial.data import NonmemTable
from vtrial.errors import UserError
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.marginal import Marginal
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Additive
from vtrial.population import Fixed, LogNormalPrior, NormalPrior, Parameter, Population, PowerEffect, effects
from vtrial.population.centring import Centred, Told
from vtrial.solve import Linear

ROWS = """ID,TIME,AMT,DV,EVID,WT,OCC,STUDY
1,0,100,.,1,70,1,1
1,2,.,3.1,0,70,1,1
1,24,100,.,1,70,2,1
1,26,.,3.9,0,70,2,1
2,0,100,.,1,.,1,2
2,2,.,2.5,0,.,1,2
2,5,.,2.0,0,.,1,2
"""
MODEL = OneCompartmentOral()
SUBJECTS = ("CL_phi", "eta_raw", "kappa_raw")
"""Sites of the subjects where CL is centred."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("levels") / "levels.csv"
    path.write_text(ROWS)
    return path


def read(table, **change):
    units = {"TIME": "h", "AMT": "mg", "DV": "mg/L", "WT": "kg", "OCC": "", "STUDY": ""}
    settings = {"covariates": ["WT", "OCC", "STUDY"], "missing": ["WT"]} | change
    return NonmemTable(str(table), units, {"concentration": 1}, {1: "depot"}, **settings).read(MODEL)


def statistical(**change):
    weight = {"WT": PowerEffect("WT", "kg", 70.0, NormalPrior(0.75, 0.1))}
    parameters = {
        "CL": Parameter("L/h", LogNormalPrior(3.0, 0.3), half(0.5), weight, iov=half(0.3)),
        "VC": Parameter("L", LogNormalPrior(30.0, 0.3), half(0.5), study=half(0.3)),
        "KA": Parameter("1/h", Fixed(1.5)),
    }
    population = Population(parameters, missing={"WT": LogNormalPrior(75.0, 0.2)})
    noise = {"concentration": Additive(half(1.0))}
    return StatisticalModel(MODEL, population.for_model(MODEL), Linear(compiled=False), noise, **change)


DRAW = {
    "CL": 2.5,
    "CL_WT_exponent": 0.8,
    "CL_iiv": 0.4,
    "CL_iov": 0.2,
    "VC": 28.0,
    "VC_iiv": 0.3,
    "VC_study": 0.25,
    "KA": 1.5,
    "WT_missing": [90.0],
    "CL_eta": [0.1, -0.2],
    "CL_kappa": [[0.15, -0.1], [0.05, 0.3]],
    "VC_eta": [0.05, 0.0],
    "VC_study_eta": [0.2, -0.3],
    "concentration_sigma_add": 0.4,
}


def oral(t, cl, vc, ka=1.5, dose=100.0):
    """The Bateman function."""
    k = cl / vc
    return dose * ka / (vc * (ka - k)) * (np.exp(-k * t) - np.exp(-ka * t))


def test_predictions_by_hand(table):
    """Clearance is of the occasion the time lies in; the second occasion begins with the row at 24 h."""
    data, model = read(table), statistical()
    draw = {n: jnp.asarray(v) for n, v in DRAW.items()}
    predicted, code = model.predict(model.same_subjects(draw, data), data)
    assert (np.asarray(code) == 0).all()
    first, second = 2.5 * np.exp(0.1 + 0.15), 2.5 * np.exp(0.1 - 0.1)
    vc = 28.0 * np.exp(0.05 + 0.2)
    other, vc2 = 2.5 * (90 / 70) ** 0.8 * np.exp(-0.2 + 0.05), 28.0 * np.exp(-0.3)
    # Parameters between two rows are those of the later one (NONMEM), so that from 2 to 24 h the second occasion holds.
    found = np.asarray(predicted["concentration"])
    np.testing.assert_allclose(found[2:], oral(np.array([2.0, 5.0]), other, vc2), rtol=1e-10)
    assert found[0] == pytest.approx(oral(2.0, first, vc), rel=1e-10)
    assert second < first
    assert found[1] > oral(2.0, second, vc)  # what is left of the first dose


def test_every_level_is_in_the_posterior_and_moves_the_density(table):
    data, model = read(table), statistical()
    density = UnconstrainedDensity(model.joint(data))
    assert {"WT_missing", "VC_study_raw", "kappa_raw", "eta_raw", "CL_iov", "CL_WT_exponent"} <= set(density.sites)
    assert "KA" not in density.sites
    point = density.centre(model.starts())
    found = density.constrain(point)
    assert found["KA"] == 1.5
    assert found["CL_kappa"].shape == (2, 2)
    assert found["VC_study_eta"].shape == (2,)
    np.testing.assert_allclose(found["WT_missing"], 75.0)
    slope = jax.grad(density.potential)(point)
    for name, value in slope.items():
        assert np.isfinite(np.asarray(value)).all(), name
        assert np.abs(np.asarray(value)).max() > 0, name


def test_centred_joint_is_the_same_posterior(table):
    """At the same etas the log densities differ by the Jacobian, 2 log omega for two subjects."""
    data = read(table)
    values = {n: jnp.asarray(v) for n, v in DRAW.items() if not n.endswith(("_eta", "_kappa"))}
    values |= {"kappa_raw": jnp.zeros((2, 2, 1)), "VC_study_raw": jnp.zeros(2)}
    eta = np.array([[0.1, 0.05], [-0.2, 0.0]])
    plain, _ = log_density(statistical().joint(data), (), {}, values | {"eta_raw": jnp.asarray(eta / [0.4, 0.3])})
    phi = {"CL_phi": np.log(2.5) + eta[:, :1], "eta_raw": (eta[:, 1:] / 0.3)}
    centred, _ = log_density(
        statistical(centring=(Centred(("CL",)),)).joint(data),
        (),
        {},
        values | {n: jnp.asarray(v) for n, v in phi.items()},
    )
    assert float(centred) == pytest.approx(float(plain) - 2 * np.log(0.4), rel=1e-10)


def test_columns_are_what_is_sampled(table):
    """From a vector to etas and kappas, standardised by hand, and back to where they are in the vector."""
    how, data = (Told(("CL",), np.array([[[1.7]], [[0.7]]]), np.array([0.8]), np.array([[0.1], [-0.2]])),), read(table)
    model = statistical(centring=how)
    density = UnconstrainedDensity(model.joint(data))
    x = density.vector(density.near(jax.random.key(0), model.starts(), 0.3))
    draw, levels = density.constrain(density.point(x)), model.levels(data)
    latent = jnp.concatenate(
        [(draw[f"{n}_eta"] / draw[f"{n}_iiv"])[:, None] for n in ("CL", "VC")] + [draw["CL_kappa"] / draw["CL_iov"]], 1
    )
    found = effects.sampled_columns(model.population, draw, model.population.factor(draw), how, latent)
    sites = {n: np.asarray(x) for n, x in density.point(jnp.arange(float(density.size))).items() if n in SUBJECTS}
    where = effects.as_columns(model.population, sites, how, levels)
    np.testing.assert_allclose(found, x[where.astype(int)], rtol=1e-10)


def test_new_subjects_are_seen_on_the_same_occasions(table):
    data, model = read(table), statistical()
    draw = {n: jnp.asarray(v) for n, v in DRAW.items()}
    p = jax.vmap(lambda k: model.new_subjects(k, draw, data))(keys.numbered(jax.random.key(0), 20_000))
    change = np.log(p["CL"][:, 0, -1] / p["CL"][:, 0, 0])
    assert abs(change.std() - 0.2 * np.sqrt(2)) < 4 * 0.2 * np.sqrt(2) / np.sqrt(2 * 20_000)
    np.testing.assert_allclose(p["CL"][:, 1], p["CL"][:, 1, :1].repeat(p["CL"].shape[2], 1))
    spread = np.log(p["VC"][:, 0]).std()
    assert abs(spread - np.hypot(0.3, 0.25)) < 4 * spread / np.sqrt(2 * 20_000)


def test_laplace_integrates_every_occasion(table):
    """Against a sum over a grid of the three latent variables of the second subject."""
    data, model = read(table), statistical()
    marginal = Marginal(model, data, "laplace")
    draw = {n: jnp.asarray(v) for n, v in DRAW.items() if not n.endswith(("_eta", "_kappa"))}
    draw |= {"VC_study_eta": jnp.asarray([0.2, -0.3])}
    mine = marginal.objective(draw)[1]
    axis = np.linspace(-5, 5, 41)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    cl = 2.5 * (90 / 70) ** 0.8 * np.exp(0.4 * grid[:, 0] + 0.2 * grid[:, 2])
    vc = 28.0 * np.exp(0.3 * grid[:, 1] - 0.3)
    total = np.zeros(len(grid))
    for t, dv in ((2.0, 2.5), (5.0, 2.0)):
        total += -0.5 * ((dv - oral(t, cl, vc)) / 0.4) ** 2 - np.log(0.4)
    total += -0.5 * (grid**2).sum(1) - 1.5 * np.log(2 * np.pi)
    exact = -2 * (np.log(np.exp(total).sum()) + 3 * np.log(axis[1] - axis[0]))
    # Laplace's own error here is a few hundredths; leaving a level out would change the objective by tenths.
    assert mine == pytest.approx(exact, abs=0.05)


def test_a_covariate_may_be_missing_only_if_the_study_says_so(table):
    with pytest.raises(UserError, match=r"WT.*missing in every row.*data\.missing"):
        read(table, missing=[])
