"""Influenza in a boarding school 1978 against Stan: SIR model, negative binomial counts, the same priors.

Reference: rstan 2.21, model text of our own after the tutorial of Grinsztajn et al. 2021, doi:10.1002/sim.9164. Stan
cuts the normal priors off at 0, which is more than ten posterior SDs away.
"""

import csv
import json

import jax
import numpy as np
import pytest

from tests.helpers import SHARED
from tests.validation.fitting import problem, study
from vtrial import schema
from vtrial.diagnose import Gate, fit_health
from vtrial.inference import Nuts, groups

pytestmark = pytest.mark.external
NAMES = {"BETA": "beta", "GAMMA": "gamma", "infected_overdispersion": "phi_inv"}


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """The epidemic starts at time 0, a day before the first count: a row without an observation."""
    with (SHARED / "data" / "influenza_1978" / "influenza_1978.csv").open() as file:
        counts = [(row["TIME"], row["DV"]) for row in csv.DictReader(file)]
    path = tmp_path_factory.mktemp("influenza") / "influenza.csv"
    lines = ["ID,TIME,DV,AMT,EVID,MDV", "1,0,,0,2,1", *(f"1,{time},{value},0,0,0" for time, value in counts)]
    path.write_text("\n".join(lines) + "\n")
    statistical, data = problem(study("influenza", f"data.path={path}"))
    found = Nuts(chains=4, warmup=1000, draws=2500)(jax.random.key(20261122), statistical, data)
    prior = groups.prior(jax.random.key(1), statistical)
    health = fit_health(found[schema.POSTERIOR], found[schema.SAMPLE_STATS], prior, statistical)
    return found[schema.POSTERIOR], health


def test_the_fit_is_sound(fit):
    assert Gate().judge(fit[1]).attrs["gate_passed"]


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_stan(fit, name):
    """Means within 0.1 posterior SD and four combined MCSE, SDs within 10 %, quantiles within 0.15 SD."""
    reference = json.loads((SHARED / "data" / "influenza_1978" / "ref_stan_influenza_sir.json").read_text())
    mine, stan = fit[0][name].to_numpy().ravel(), reference["summary"][NAMES[name]]
    ess = float(fit[1]["ess_bulk"].sel(parameter=name))
    error = np.hypot(mine.std() / np.sqrt(ess), stan["mcse_mean"])
    assert mine.mean() == pytest.approx(stan["mean"], abs=0.1 * stan["sd"] + 4 * error)
    assert mine.std() == pytest.approx(stan["sd"], rel=0.1)
    assert np.quantile(mine, 0.05) == pytest.approx(stan["5%"], abs=0.15 * stan["sd"])
    assert np.quantile(mine, 0.95) == pytest.approx(stan["95%"], abs=0.15 * stan["sd"])
