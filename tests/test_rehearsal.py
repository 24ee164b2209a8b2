"""Rehearsals from end to end: resumed, made longer, refused; and the proof that a right model is found calibrated."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

from tests.diagnose import small
from tests.helpers import run_cli
from vtrial import diagnose, schema
from vtrial.diagnose import Calibration, Recovery
from vtrial.inference import Nuts, Repeated
from vtrial.rehearsal import refitted

STUDY = ("-cn", "theophylline_quick", "inference=cross_chain")
TINY = ("inference.chains=4", "inference.warmup=30", "inference.draws=25")
LOOSE = ("limits.r_hat=100", "limits.divergences=1", "limits.failed=1")


def arguments(command: str, place: Path, *more: str) -> list[str]:
    own = [f"{command}.{one}" for one in ("subjects=2", *LOOSE)]
    return [command, *STUDY, *TINY, *own, f"directory={place}", *more]


def fits(place: Path, group: str) -> xr.Dataset:
    return xr.open_datatree(place, engine="zarr", consolidated=False)[group].to_dataset().load()


@pytest.mark.slow
def test_a_calibration_is_resumed_and_made_longer(tmp_path):
    code, out, err = run_cli(*arguments("sbc", tmp_path, "sbc.ranks=9", "sbc.replicates=20"))
    assert code == 0, err
    assert "Quantity" in out
    assert {"CL", "log_likelihood"} <= set(fits(tmp_path / "sbc.zarr", "calibration")[schema.PARAMETER].to_numpy())
    page = (tmp_path / "sbc.html").read_text()
    assert page.count("<svg") == 1
    assert not re.search(r'(?:src|href)="http', page)
    before = fits(tmp_path / "sbc.zarr", "fits")
    kept = sorted((tmp_path / ".sbc").glob("*.npz"))
    assert len(kept) == 20
    kept[3].unlink()
    old = {f: f.stat().st_mtime_ns for f in kept if f.exists()}
    code, _, err = run_cli(*arguments("sbc", tmp_path, "sbc.ranks=9", "sbc.replicates=22"))
    assert code == 0, err
    assert all(f.stat().st_mtime_ns == at for f, at in old.items()), "finished fits are not done again"
    after = fits(tmp_path / "sbc.zarr", "fits")
    assert after.sizes[schema.REPLICATE] == 22
    xr.testing.assert_identical(after.isel({schema.REPLICATE: slice(20)}), before)
    code, _, err = run_cli(*arguments("sbc", tmp_path, "sbc.ranks=9", "seed=7"))
    assert (code, "holds fits of another study" in err) == (2, True)


@pytest.mark.slow
def test_stated_numbers_are_recovered(tmp_path, quick):
    code, out, err = run_cli(*arguments("recover", tmp_path, "recover.replicates=3", "recover.at={CL: 3.5}"))
    assert code == 0, err
    assert "CL" in out
    found = fits(tmp_path / "recover.zarr", "recovery")
    truth = found["truth"].to_series()
    assert (truth["CL"], truth["VC"], truth["corr_CL_VC"]) == (3.5, pytest.approx(32.0), 0.0)
    assert (tmp_path / "recover.html").read_text().count("<svg") == 1
    at = f"recover.at={quick}"
    code, _, err = run_cli(*arguments("recover", tmp_path / "run", "recover.replicates=2", at))
    assert code == 0, err
    truth = fits(tmp_path / "run" / "recover.zarr", "recovery")["truth"].to_series()
    posterior = xr.open_datatree(quick / "result.zarr")[schema.POSTERIOR]
    assert truth["KA"] == pytest.approx(float(posterior["KA"].median()))
    assert truth["corr_VC_KA"] == pytest.approx(float(posterior["iiv_correlation"].mean(("chain", "draw"))[1, 2]))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("sbc", *STUDY, "inference=prior"), "inference=prior fits nothing"),
        (("sbc", *STUDY, "sbc.replicate=3"), "Did you mean 'sbc.replicates'?"),
        (("sbc", *STUDY, "sbc.replicates=3"), "sbc needs replicates >= 20"),
        (("sbc", *STUDY, "sbc.replicates=many"), "sbc.replicates must be an integer"),
        (("sbc", *STUDY, "sbc.subjects=13"), "There are 12 subjects, not 13"),
        (("sbc", "theophylline"), "run it with: vtrial sbc -cn theophylline"),
        (("recover", *STUDY, "recover.at={CLX: 3}"), "recover.at has 'CLX', which is not estimated."),
        (("recover", *STUDY, "recover.at={corr_CL_VC: 1.5}"), "recover.at: these correlations cannot be"),
        (("recover", *STUDY, "recover.at=nowhere"), "'nowhere' is no run"),
    ],
)
def test_a_mistake_is_one_sentence(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli(*given)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert len([line for line in err.strip().splitlines() if not line.startswith("[")]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("inference", [small.INFERENCE, Nuts(warmup=200, draws=250)], ids=["cross_chain", "nuts"])
def test_a_right_model_is_calibrated(inference, tmp_path):
    """Every rank may be uniform, and intervals hold the truth as often as they say: in the coordinates of a study."""
    repeated = Repeated(inference, small.statistical(), small.dataset(tmp_path))
    settings = Calibration(replicates=300)
    found = refitted(jax.random.key(1), repeated, settings, tmp_path / "fits")
    judged = diagnose.calibration(found, settings)
    print(found["reason"].to_series().value_counts(), judged.drop_dims("point").to_dataframe().to_string())
    assert judged.attrs["used"] >= 0.95 * settings.replicates
    assert (judged["p"] > 0.01).all()
    assert judged.attrs["calibrated"]
    nominal = judged["level"]
    error = np.sqrt(nominal * (1 - nominal) / judged.attrs["used"])
    assert (abs(judged["coverage"] - nominal) < 4 * error).all()


@pytest.mark.slow
def test_known_numbers_are_recovered_without_bias(tmp_path):
    repeated = Repeated(small.INFERENCE, small.statistical(), small.dataset(tmp_path))
    settings = Recovery(replicates=40)
    found = diagnose.recovery(refitted(jax.random.key(2), repeated, settings, tmp_path / "fits", {"CL": 3.0}))
    print(found.to_dataframe().to_string())
    assert (abs(found["bias"]) < 4 * found["bias_mcse"]).all()
    assert (abs(found["coverage"] - 0.9) < 4 * np.sqrt(0.09 / 40)).all()
