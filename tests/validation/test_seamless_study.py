"""The seamless study of LDL cholesterol, patients included: its level over both stages, whichever dose goes on."""

import math

import numpy as np
import pytest
import xarray as xr

from tests.helpers import run_cli

TRIALS = 600
SETTINGS = (f"cohort.replicates={TRIALS}", "cohort.subjects=220", "solver.rtol=1e-3")


@pytest.mark.slow
def test_the_level_holds_over_both_stages_whichever_dose_goes_on(tmp_path):
    """The lowest LDL goes on, so that every trial without effect tests a dose; the closed test spends 2.5 % at most."""
    least = ("objective=least", "~objective.effect", "~objective.greater")
    code, _, err = run_cli("-cn", "ldl_seamless", *SETTINGS, *least, f"directory={tmp_path / 'run'}")
    assert code == 0, err
    found = xr.open_datatree(tmp_path / "run" / "result.zarr")["operating_characteristics"]
    error = float(found["type_one_error_any"])
    assert 0 < error < 0.025 + 4 * math.sqrt(0.025 * 0.975 / TRIALS)
    # Doses are alike under the null: none is claimed more often than another.
    each = found["type_one_error"].to_numpy()[1:]
    np.testing.assert_allclose(each, error / 3, atol=4 * math.sqrt(0.025 / 3 / TRIALS))
    assert float(found["power_any"]) > 0.95
