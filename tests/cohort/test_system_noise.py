"""Virtual patients whose model has system noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt_ou import OneCompartmentOralFluctuating

from tests.cohort.test_outcomes import HIGH, LOW, posterior
from vtrial.cohort import Cohort, outcomes, simulate
from vtrial.endpoint import Maximum, Measured, Window
from vtrial.errors import UserError
from vtrial.likelihood import StatisticalModel
from vtrial.solve import Auto

ENDPOINTS = {
    "clearance": Measured(Window("clearance", "24 h")),
    "peak": Maximum(Window("concentration", "36 h", "48 h", 4)),
}
TYPICAL = {"CL": 2.8, "VC": 32.0, "KA": 1.5, "SDCL": 0.3, "TAU": 12.0}


@pytest.fixture(scope="module")
def random(statistical):
    model, noise = OneCompartmentOralFluctuating(), statistical.noise
    both = {"concentration": noise["concentration"], "clearance": noise["concentration"]}
    return StatisticalModel(model, statistical.population, Auto(step=0.5), both)


def test_a_patient_has_one_path_in_all_arms_whatever_the_block(random, monkeypatch):
    patients = Cohort(jnp.arange(2), {n: jnp.full((2, 40), v) for n, v in TYPICAL.items()}, {})
    draws = posterior() | {n.replace("concentration", "clearance"): v for n, v in posterior().items()}
    found = simulate(jax.random.key(5), patients, (LOW, HIGH), ENDPOINTS, draws, random)
    assert not found.code.any()
    clearance, peak = found.values["clearance"], found.values["peak"]
    np.testing.assert_allclose(clearance[..., 0], clearance[..., 1], rtol=1e-12)
    np.testing.assert_allclose(peak[..., 1], 2 * peak[..., 0], rtol=1e-12)
    # The log clearance after 24 h: SD 0.3 sqrt(1 - e^-4); of 80 patients, alike in everything else.
    spread = np.log(clearance[..., 0] / 2.8).std()
    assert abs(spread - 0.3 * np.sqrt(1 - np.exp(-4))) < 4 * 0.3 / np.sqrt(2 * 80)
    monkeypatch.setattr(outcomes, "_PROFILES", 40)  # blocks of one replicate
    other = simulate(jax.random.key(5), patients, (HIGH,), ENDPOINTS, draws, random)
    np.testing.assert_allclose(peak[..., 1:], other.values["peak"], rtol=1e-12)


def test_a_path_is_no_prediction(random, data):
    with pytest.raises(UserError, match="there is no likelihood here"):
        random.predict({n: jnp.full(len(data.subjects), v) for n, v in TYPICAL.items()}, data)
