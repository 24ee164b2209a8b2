"""The posterior of the theophylline data against Stan's, same model and priors, through the code path of every study.

Reference: rstan 2.21, model text of our own; `data/theophylline_stan.json` states priors, likelihood and tolerance.
"""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.helpers import theophylline
from vtrial import schema
from vtrial.diagnose import Gate, fit_health
from vtrial.inference import CrossChain, Laplace, Nuts, groups

REFERENCE = json.loads((Path(__file__).parent / "data" / "theophylline_stan.json").read_text())
NAMES = {
    "CL": "CL",
    "VC": "V",
    "KA": "KA",
    "CL_iiv": "omega[1]",
    "VC_iiv": "omega[2]",
    "KA_iiv": "omega[3]",
    "concentration_sigma_add": "s_add",
    "concentration_sigma_prop": "s_prop",
}


# So many draws that the Monte-Carlo error of a quantile is a quarter of its tolerance.
SAMPLERS = {
    "nuts": Nuts(chains=4, warmup=1000, draws=6000),
    "cross_chain": CrossChain(chains=16, warmup=800, draws=1500, target_accept=0.9),
    "laplace": Laplace(draws=6000),
}


@pytest.fixture(scope="module", params=["nuts", "cross_chain", pytest.param("laplace", marks=pytest.mark.slow)])
def fit(data, request):
    statistical = theophylline(weight=False, correlation=None)
    found = SAMPLERS[request.param](jax.random.key(20261122), statistical, data)
    prior = groups.prior(jax.random.key(1), statistical)
    health = fit_health(found[schema.POSTERIOR], found[schema.SAMPLE_STATS], prior, statistical)
    return found[schema.POSTERIOR], health, request.param


def test_the_fit_is_sound(fit):
    """The trajectories of cross-chain sampling, all of one length, diverge about once in 50,000 draws here."""
    few = 2e-4 if fit[2] == "cross_chain" else 0
    assert Gate(divergences=few).judge(fit[1]).attrs["gate_passed"]


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_stan(fit, name):
    """Means within 0.1 posterior SD and four combined MCSE, SDs within 10 %, quantiles within 0.15 SD."""
    mine, stan = fit[0][name].to_numpy().ravel(), REFERENCE["summary"][NAMES[name]]
    ess = float(fit[1]["ess_bulk"].sel(parameter=name))
    error = np.hypot(mine.std() / np.sqrt(ess), stan["mcse_mean"])
    assert mine.mean() == pytest.approx(stan["mean"], abs=0.1 * stan["sd"] + 4 * error)
    assert mine.std() == pytest.approx(stan["sd"], rel=0.1)
    assert np.quantile(mine, 0.05) == pytest.approx(stan["5%"], abs=0.15 * stan["sd"])
    assert np.quantile(mine, 0.95) == pytest.approx(stan["95%"], abs=0.15 * stan["sd"])
