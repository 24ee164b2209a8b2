"""The study's own fit may be used: converged, enough draws, no divergence, on the right side of the flip-flop."""

import jax
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins

from vtrial import cli, keys, schema
from vtrial._resources import directory
from vtrial.diagnose import fit_health
from vtrial.inference import groups


@pytest.fixture(scope="module")
def fit():
    Plugins.instance().register(cli._studies_path())
    with initialize_config_dir(version_base="1.3", config_dir=str(directory("conf"))):
        study = cli.build(compose(config_name="theophylline", overrides=["directory=unused"]))
    data = study.data.read(study.model)
    statistical = study.statistical(data)
    key = keys.named(keys.named(jax.random.key(study.seed), "calibrate"), "sample")  # the very draws of the study
    found = study.inference(key, statistical, data)
    prior = groups.prior(jax.random.key(0), statistical)
    health = fit_health(found[schema.POSTERIOR], found[schema.SAMPLE_STATS], prior, statistical)
    return found[schema.POSTERIOR], health, study.gate


def test_the_fit_passes_the_strict_gate(fit):
    _, health, gate = fit
    assert (gate.r_hat, gate.ess, gate.divergences) == (1.01, 400, 0)
    judged = gate.judge(health)
    assert judged.attrs["gate_passed"], judged[["worst", "culprit", "rule"]].to_dataframe()
    assert health.sizes["parameter"] == 11


def test_no_chain_fell_into_the_mirror_mode(fit):
    posterior, _, _ = fit
    assert float((posterior["KA"] - posterior["CL"] / posterior["VC"]).min()) > 0


def test_the_study_agrees_with_allometric_expectation(fit):
    """Typical values at 70 kg are close to those of the fit without weight, whose subjects weigh 69.6 kg on average.

    Stan's posterior means without weight: CL 2.77 (SD 0.24) L/h, V 31.9 (1.6) L, KA 1.53 (0.29) 1/h.
    """
    posterior, _, _ = fit
    for name, mean, sd in (("CL", 2.77, 0.24), ("VC", 31.9, 1.6), ("KA", 1.53, 0.29)):
        assert float(posterior[name].mean()) == pytest.approx(mean, abs=sd)
