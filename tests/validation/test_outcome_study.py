"""The study of outcomes by LDL cholesterol, from patients to risk ratios: against the moments of a log-normal."""

import numpy as np
import pytest
import xarray as xr

from tests.helpers import run_cli

TRIALS = 200
SETTINGS = (f"cohort.replicates={TRIALS}", "cohort.subjects=100", "design.per_arm=20", "solver.rtol=1e-3")
SLOPES = {"nonfatal_infarction": (0.008, 0.003), "revascularisation": (0.007, 0.002)}
REST = {"nonfatal_infarction": (-0.057 + 0.242, 0.091, 0.1), "revascularisation": (-0.035 + 0.22, 0.057, 0.067)}
"""Intercept and that of antibodies together, and the standard error of each."""


@pytest.mark.slow
def test_risk_ratios_follow_the_effect_of_each_replicate(tmp_path):
    code, _, err = run_cli("-cn", "ldl_outcome", *SETTINGS, f"directory={tmp_path / 'run'}")
    assert code == 0, err
    tree = xr.open_datatree(tmp_path / "run" / "result.zarr")
    level = tree["outcomes"]["ldl"].mean("subject").to_numpy()
    effect, oc = level - level[:, :1], tree["operating_characteristics"]
    for name, (slope, error) in SLOPES.items():
        found = tree["trial"][f"{name}_log_ratio"].to_numpy()
        # The same coefficients under both regimens: their difference is the slope times that of their effects.
        slopes = (found[:, 2] - found[:, 1]) / (effect[:, 2] - effect[:, 1])
        assert abs(slopes.mean() - slope) < 4 * error / np.sqrt(TRIALS)
        assert abs(slopes.std() - error) < 4 * error / np.sqrt(2 * TRIALS)
        rest, *errors = REST[name]
        for arm in (1, 2):
            mine = effect[:, arm]
            mean = rest + slope * mine.mean()
            spread = np.sqrt(sum(e**2 for e in errors) + (error * mine).var() + (error * mine.mean()) ** 2)
            spread = np.hypot(spread, slope * mine.std())
            expected = np.exp(mean + spread**2 / 2)
            assert abs(oc[f"{name}_ratio"].to_numpy()[arm] - expected) < 4 * float(oc[f"{name}_ratio_mcse"][arm])
    assert "Outcomes" in (tmp_path / "run" / "report.html").read_text()
