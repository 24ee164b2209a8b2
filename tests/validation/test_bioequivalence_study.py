"""The bioequivalence study, patients, samples and NCA included, has the exact power of the two one-sided tests."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from tests.helpers import run_cli
from vtrial.statistics.equivalence import LAYOUTS, cv_from_sd, tost_power

TRIALS = 1000


def study(directory, *changed):
    """Trials on one population, so that there is one CV and one ratio; outcomes, and the share of trials that pass."""
    settings = ["+cohort.levels={_target_: vtrial.cohort.Levels, parameters: false}", f"cohort.replicates={TRIALS}"]
    code, _, err = run_cli("-cn", "bioequivalence", *settings, *changed, f"directory={directory}")
    assert code == 0, err
    tree = xr.open_datatree(directory / "result.zarr")
    return tree["outcomes"], float(tree["operating_characteristics"]["power"].sel(arm="test"))


def within(outcomes, name):
    """CV within subjects and ratio of geometric means, from what every patient would have in both periods."""
    logs = np.log(outcomes[name].to_numpy())
    sd = math.sqrt(np.var(logs[..., 0] - logs[..., 1], axis=(0, 1)).mean() / 2)
    return cv_from_sd(sd), math.exp(logs[:, :, 0].mean() - logs[:, :, 1].mean())


@pytest.mark.slow
@pytest.mark.parametrize("primary", ["cmax", "area"])
def test_power_is_that_of_the_simulated_cv_and_ratio(tmp_path, primary):
    outcomes, power = study(tmp_path / "run", f"primary={primary}", "analysis.also=[]", "design.per_sequence=5")
    cv, ratio = within(outcomes, primary)
    assert 0.08 < cv < 0.25
    exact = tost_power(cv, ratio, 10, LAYOUTS["2x2"])
    assert 0.05 < exact < 0.999
    assert abs(power - exact) < 4 * math.sqrt(exact * (1 - exact) / TRIALS)


@pytest.mark.slow
def test_both_endpoints_pass_as_often_as_their_joint_distribution_says(tmp_path):
    """The patients of no trial, ten at a time, analysed by the textbook's formulas of the 2x2 crossover."""
    outcomes, power = study(tmp_path / "run", "design.per_sequence=5")
    logs = np.log(np.stack([outcomes[name].to_numpy() for name in ("cmax", "area")], -1))[:, 10:110]
    logs = logs.reshape(-1, 10, *logs.shape[2:])  # trial patient arm period endpoint
    first = logs[:, :5, 0, 0] - logs[:, :5, 1, 1], logs[:, 5:, 0, 1] - logs[:, 5:, 1, 0]
    effect = (first[0].mean(1) + first[1].mean(1)) / 2
    variance = (first[0].var(1, ddof=1) + first[1].var(1, ddof=1)) / 2
    reach = stats.t.ppf(0.95, 8) * np.sqrt(variance / 4 * (2 / 5))
    passed = np.abs(effect) + reach < math.log(1.25)
    exact, alone = passed.all(1).mean(), passed.mean(0)
    assert alone.prod() < exact < alone.min()
    assert abs(power - exact) < 4 * math.sqrt(exact * (1 - exact) * (1 / TRIALS + 1 / len(passed)))


@pytest.mark.slow
def test_at_the_limit_it_passes_in_five_percent(tmp_path):
    outcomes, power = study(tmp_path / "run", "analysis.also=[]", "design.arms.test.factors={F_depot: 1.25, KA: 1.0}")
    _, ratio = within(outcomes, "cmax")
    assert ratio == pytest.approx(1.25, abs=0.005)
    assert abs(power - 0.05) < 4 * math.sqrt(0.05 * 0.95 / TRIALS)
