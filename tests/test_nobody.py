"""A study without data: published numbers and what they leave open go into trials as they are."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from tests.helpers import run_cli

NOBODY = ("-cn", "theophylline_quick", "data=none", "inference=prior", "cohort=adults")
SIZE = ("cohort.replicates=20", "cohort.subjects=100")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("nobody") / "run"
    code, _, err = run_cli(*NOBODY, *SIZE, f"directory={directory}")
    assert code == 0, err
    return directory


def test_draws_are_the_priors(run):
    """CL: log-normal, median 2.8 L/h, log-SD 0.3 (conf/population/theophylline.yaml)."""
    tree = xr.open_datatree(run / "result.zarr")
    draws = np.log(tree["posterior"]["CL"].to_numpy().ravel() / 2.8)
    assert stats.kstest(draws / 0.3, "norm").pvalue > 1e-4
    assert tree["posterior"].sizes["subject"] == 0
    assert np.isfinite(tree["outcomes"]["inside"]).all()


def test_there_is_no_fit_to_check(run):
    tree = xr.open_datatree(run / "result.zarr")
    for group in ("log_likelihood", "posterior_predictive", "loo", "vpc", "goodness_of_fit"):
        assert not tree[group].data_vars


def test_the_report_says_that_nobody_was_observed(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "nobody was observed" in page
    assert "NPDE" not in page
    assert not (run / "sdtab.csv").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("inference=nuts",), "nothing to fit; choose inference=prior"),
        (("cohort=bootstrap",), "gives no WT"),
        (("population.parameters.CL.covariates.WT.unit=g",), "'kg' in the cohort"),
    ],
)
def test_what_needs_data_is_refused_with_a_sentence(tmp_path, changed, said):
    code, _, err = run_cli(*NOBODY, *SIZE, *changed, f"directory={tmp_path}/run")
    assert code == 2
    assert said in err
