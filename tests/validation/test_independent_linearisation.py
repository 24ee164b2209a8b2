"""The linearised models behind WRES and CWRES against published FO and FOCE objective functions.

Ten subjects, y = 10 exp(-k t) with log-normal k (Wang 2007, doi:10.1007/s10928-007-9060-6). The objective, minus twice
the log density of the linearised model without its constant, is sum of squared residuals plus log determinant, so that
it pins expectation, covariance and residual at once. The numbers are NONMEM's in that paper and those of nlmixr2.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from vtrial.models.iv_1cpt import OneCompartmentBolus

from tests.helpers import half
from vtrial.data import NonmemTable
from vtrial.diagnose import residuals
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Additive, Proportional
from vtrial.population import LogNormalPrior, Parameter, Population
from vtrial.solve import Auto

OMEGA = np.array([[0.04]])


FIRST = (10.68, 10.402, 9.8814, 9.3408, 10.082, 9.8938, 9.8908, 10.234, 9.9882, 9.6736)
SECOND = (3.6837, 6.454, 5.8565, 5.6209, 6.7583, 6.5049, 6.9557, 6.4488, 6.7112, 6.6402)
"""Observations at 0 and 1 h, as the paper prints them."""


@pytest.fixture(scope="module")
def wang(tmp_path_factory):
    lines = ["ID,TIME,DV,AMT"]
    for i, (before, after) in enumerate(zip(FIRST, SECOND, strict=True), 1):
        lines += [f"{i},0,.,10", f"{i},0,{before},.", f"{i},1,{after},."]
    file = tmp_path_factory.mktemp("wang") / "wang2007.csv"
    file.write_text("\n".join(lines) + "\n")
    units = {"TIME": "h", "AMT": "mg", "DV": "mg/L"}
    return NonmemTable(path=str(file), units=units, outputs={"concentration": 1}, compartments={1: "central"}).read(
        OneCompartmentBolus()
    )


def model(noise):
    population = Population(
        {
            "CL": Parameter("L/h", LogNormalPrior(0.5, 0.3), half(0.5)),
            "VC": Parameter("L", LogNormalPrior(1.0, 0.3)),
        }
    )
    structure = OneCompartmentBolus()
    return StatisticalModel(structure, population.for_model(structure), Auto(), {"concentration": noise})


def modes(data, deviation):
    """Each subject's eta of greatest density, by a search of its own."""
    obs = data.observations["concentration"]

    def cost(eta, mine):
        f = 10 * np.exp(-0.5 * np.exp(eta) * obs.time[mine])
        sd = deviation(f)
        return np.sum(((obs.value[mine] - f) / sd) ** 2 + 2 * np.log(sd)) + eta**2 / 0.04

    found = [minimize_scalar(cost, (-0.5, 0.5), args=(obs.subject == s,), tol=1e-12).x for s in range(10)]
    return np.array(found)[:, None]


def objective(data, statistical, draw, eta, name):
    """Sum of squares of the residuals plus log determinants of their covariances."""
    dv = data.observations["concentration"].value
    found = residuals.Point(draw, eta, OMEGA)
    white = residuals.population_residuals(statistical, data, found, dv)[name]
    line = residuals.linearised(statistical, data, draw)(eta if name == "CWRES" else 0 * eta)
    total = np.sum(white**2)
    for s in range(10):
        mine = data.observations["concentration"].subject == s
        covariance = line.slope[mine] @ OMEGA @ line.slope[mine].T + np.diag(line.deviation[mine] ** 2)
        total += np.linalg.slogdet(covariance)[1]
    return total


def test_fo_with_proportional_error(wang):
    draw = {"CL": 0.5, "VC": 1.0, "CL_iiv": 0.2, "concentration_sigma_prop": np.sqrt(0.1)}
    draw = {n: jnp.asarray(v) for n, v in draw.items()}
    eta = modes(wang, lambda f: np.sqrt(0.1) * f)
    found = objective(wang, model(Proportional(half(1.0))), draw, eta, "WRES")
    assert found == pytest.approx(39.213, abs=1e-3)  # Wang 2007: NONMEM's FO


@pytest.mark.parametrize(("name", "published"), [("WRES", 0.026), ("CWRES", -2.059)])
def test_fo_and_foce_with_additive_error(name, published, wang):
    draw = {"CL": 0.5, "VC": 1.0, "CL_iiv": 0.2, "concentration_sigma_add": np.sqrt(0.1)}
    draw = {n: jnp.asarray(v) for n, v in draw.items()}
    eta = modes(wang, lambda f: np.sqrt(0.1) + 0 * f)
    assert objective(wang, model(Additive(half(1.0))), draw, eta, name) == pytest.approx(published, abs=1e-3)
