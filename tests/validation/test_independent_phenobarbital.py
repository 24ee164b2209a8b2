"""Phenobarbital in newborn infants: NONMEM's FOCE-I estimates, and Stan's posterior with the same model and priors."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.helpers import half
from tests.validation.fitting import maximum, problem, study, with_parameters
from vtrial import schema
from vtrial.diagnose import Gate, fit_health
from vtrial.inference import Nuts, groups
from vtrial.population import FactorEffect, LogNormalPrior, NormalPrior, Parameter, PowerEffect

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def pheno():
    return problem(study("phenobarbital"))


def test_maximum_likelihood_is_that_of_nonmem(pheno):
    """Estimates within 2 %, variances within 10 %, standard errors within 5 %, the least objective within 0.001."""
    reference = json.loads((DATA / "phenobarbital_objective.json").read_text())
    found = maximum(*pheno)
    theta, omega = reference["theta"], reference["omega_var"]
    assert found.objective == pytest.approx(reference["nonmem_focei"], abs=1e-3)
    assert found.draw["CL"] == pytest.approx(theta["TH1"], rel=0.02)
    assert found.draw["VC"] == pytest.approx(theta["TH2"], rel=0.02)
    assert found.draw["VC_APGAR_ratio"] - 1.0 == pytest.approx(theta["TH3"], rel=0.02)
    assert found.draw["CL_iiv"] ** 2 == pytest.approx(omega["CL"], rel=0.1)
    assert found.draw["VC_iiv"] ** 2 == pytest.approx(omega["V"], rel=0.1)
    assert found.draw["concentration_sigma_prop"] ** 2 == pytest.approx(reference["sigma_var"], rel=0.1)


NAMES = {
    "CL": "CLW",
    "VC": "VW",
    "CL_iiv": "omega[1]",
    "VC_iiv": "omega[2]",
    "concentration_sigma_prop": "s_prop",
    "VC_APGAR_ratio": "TH3",
}


@pytest.fixture(scope="module")
def fit(pheno):
    """Stan's priors: its 1 + TH3 is ours, kept from 0 there and nowhere near it here."""
    statistical, data = pheno
    weight = PowerEffect("WT", "kg", 1.0, 1.0)
    ratio = FactorEffect("LOWAPGAR", "", NormalPrior(1.0, 0.5))
    statistical = with_parameters(
        statistical,
        CL=Parameter("L/h", LogNormalPrior(0.005, 0.5), half(0.5), {"WT": weight}),
        VC=Parameter("L", LogNormalPrior(1.0, 0.5), half(0.5), {"WT": weight, "APGAR": ratio}),
    )
    noise = type(statistical.noise["concentration"])(half(0.5))
    statistical = type(statistical)(
        statistical.model, statistical.population, statistical.solver, {"concentration": noise}
    )
    found = Nuts(chains=4, warmup=1000, draws=2500)(jax.random.key(20261122), statistical, data)
    prior = groups.prior(jax.random.key(1), statistical)
    health = fit_health(found[schema.POSTERIOR], found[schema.SAMPLE_STATS], prior, statistical)
    return found[schema.POSTERIOR], health


@pytest.mark.slow
def test_the_fit_is_sound(fit):
    assert Gate().judge(fit[1]).attrs["gate_passed"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_stan(fit, name):
    """Means within 0.1 posterior SD and four combined MCSE, SDs within 10 %, quantiles within 0.15 SD."""
    reference = json.loads((DATA / "phenobarbital_stan.json").read_text())["summary"]
    mine, stan = fit[0][name].to_numpy().ravel(), reference[NAMES[name]]
    mine = mine - 1.0 if name == "VC_APGAR_ratio" else mine
    ess = float(fit[1]["ess_bulk"].sel(parameter=name))
    error = np.hypot(mine.std() / np.sqrt(ess), stan["mcse_mean"])
    assert mine.mean() == pytest.approx(stan["mean"], abs=0.1 * stan["sd"] + 4 * error)
    assert mine.std() == pytest.approx(stan["sd"], rel=0.1)
    assert np.quantile(mine, 0.05) == pytest.approx(stan["5%"], abs=0.15 * stan["sd"])
    assert np.quantile(mine, 0.95) == pytest.approx(stan["95%"], abs=0.15 * stan["sd"])
