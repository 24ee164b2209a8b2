"""Trials averaged over two fits of the same data."""

import numpy as np
import pytest
import xarray as xr

from tests.helpers import run_cli
from vtrial import schema


@pytest.mark.slow
def test_the_trials_of_two_models_are_averaged(quick, tmp_path):
    """A second model without the effect of weight: half of the truth is its, if half of the weight is."""
    code, _, err = run_cli(
        *("-cn", "theophylline_quick", f"directory={tmp_path}/other", "gate.force=true"),
        *("population.parameters.CL.covariates={}", "population.parameters.VC.covariates={}"),
    )
    assert code == 0, err
    code, _, err = run_cli("average", str(quick), f"{tmp_path}/other", f"directory={tmp_path}/both")
    assert code == 0, err
    both = xr.open_datatree(tmp_path / "both" / "averaged.zarr", engine="zarr", consolidated=False)
    weight = both["comparison"]["weight"].to_series()
    of = both[schema.OUTCOMES]["model"].to_numpy()
    assert (of == str(quick)).mean() == pytest.approx(weight[str(quick)], abs=0.5 / 20)
    for run in (str(quick), f"{tmp_path}/other"):
        mine = xr.open_datatree(f"{run}/result.zarr")[schema.OUTCOMES]["inside"].to_numpy()
        np.testing.assert_array_equal(both[schema.OUTCOMES]["inside"].to_numpy()[of == run], mine[of == run])
    assert {schema.TRIAL, schema.OPERATING_CHARACTERISTICS} <= set(both.children)
    assert "Trials over all these models" in (tmp_path / "both" / "averaged.html").read_text()
    code, _, err = run_cli("average", str(quick), f"{tmp_path}/other", f"directory={tmp_path}/both")
    assert (code, "holds averaged trials already" in err) == (2, True)
