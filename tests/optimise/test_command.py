"""`vtrial optimise` on the command line."""

import json

import pytest
import xarray as xr

from tests.helpers import run_cli

STUDY = ("optimise", "-cn", "theophylline")
DOSE = ("optimise=dose", "optimise.arm=middle")
UTILITY = (
    "optimise.utility.window=${endpoints.inside.window}",
    "optimise.utility.lower=5 mg/L",
    "optimise.utility.upper=15 mg/L",
)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), "optimise=dose or optimise=sampling"),
        ((*DOSE, *UTILITY), "inference=saved"),
        ((*DOSE, *UTILITY, "optimise.uper=2", "inference=prior"), "upper"),
    ],
)
def test_refusals(settings, said, tmp_path):
    code, _, err = run_cli(*STUDY, *settings, f"directory={tmp_path}/run")
    assert code == 2
    assert said in err


@pytest.mark.slow
def test_a_dose_of_the_prior(tmp_path):
    code, out, err = run_cli(
        *STUDY,
        *DOSE,
        *UTILITY,
        "inference=prior",
        "optimise.replicates=20",
        "optimise.subjects=20",
        f"directory={tmp_path}",
    )
    assert code == 0, err
    assert "times the arm's" in out
    found = xr.open_dataset(tmp_path / "optimum.zarr", engine="zarr", consolidated=False)
    assert 0.1 < found["factor"].item() < 10
    assert json.loads((tmp_path / "optimum.json").read_text())["factor"] == found["factor"].to_numpy().tolist()
