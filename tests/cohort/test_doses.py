"""Doses that go by a patient's covariates, from the study file to the outcomes of a trial."""

import jax
import numpy as np
import pytest
import xarray as xr

from tests.cohort.test_outcomes import ENDPOINTS, posterior
from tests.cohort.test_recruit import draws
from tests.helpers import run_cli
from vtrial.cohort import Bootstrap, Recruitment, recruit, simulate
from vtrial.design import Arm
from vtrial.dosing import PerCovariate, Regimen, RoundNearest, Scaled

KEY = jax.random.key(5)
FIXED = Arm(Regimen("100 mg", "12 h", 4, "depot"))
BY_WEIGHT = Arm(
    Regimen(Scaled("4 mg/kg", PerCovariate("WT", "kg"), rounding=RoundNearest("50 mg")), "12 h", 4, "depot")
)


@pytest.fixture(scope="module")
def cohort(statistical, data):
    return recruit(jax.random.key(0), Recruitment(4, 8, Bootstrap()), draws(), statistical, data)


def test_each_patient_gets_a_dose_by_weight_and_keeps_all_else(cohort, statistical):
    """The model is linear and arms share the patients: outcomes without error are in proportion to the doses."""
    found = simulate(KEY, cohort, (FIXED, BY_WEIGHT), ENDPOINTS, posterior(), statistical)
    dose = 50 * np.round(4 * np.asarray(cohort.covariates["WT"]) / 50)
    assert len(np.unique(dose)) > 2
    for name in ENDPOINTS:
        fixed, by_weight = found.values[name][..., 0], found.values[name][..., 1]
        np.testing.assert_allclose(by_weight, fixed * dose / 100, rtol=1e-10)
    measured = simulate(KEY, cohort, (FIXED, BY_WEIGHT), ENDPOINTS, posterior(0.5), statistical)
    error = measured.values["sample"] - found.values["sample"]
    np.testing.assert_allclose(error[..., 0], error[..., 1], rtol=1e-9)


REGIMEN = """
      _target_: vtrial.dosing.Consecutive
      parts:
        - {{_target_: vtrial.dosing.Regimen, dose: 400 mg, every: 12 h, doses: 1, into: depot}}
        - _target_: vtrial.dosing.Regimen
          every: 12 h
          doses: 27
          into: depot
          dose:
            _target_: vtrial.dosing.Scaled
            dose: 4 mg/kg
            by: {{_target_: vtrial.dosing.PerCovariate, covariate: {covariate}, unit: {unit}}}
            rounding: {{_target_: vtrial.dosing.{way}, to: {to}}}
"""


def study(folder, *, covariate="WT", unit="kg", way="RoundNearest", to="50 mg"):
    """Write the quick study with one more arm, which is dosed by weight, and run it from the prior."""
    regimen = REGIMEN.format(covariate=covariate, unit=unit, way=way, to=to)
    (folder / "by_weight.yaml").write_text(
        "defaults: [theophylline_quick, {override /inference: prior}, _self_]\n"
        "question: Does weight matter?\ninference: {draws: 30}\ngate: {force: true}\n"
        f"design:\n  arms:\n    by_weight:\n     _target_: vtrial.design.Arm\n     regimen:{regimen}"
    )
    return run_cli("-cn", "by_weight", "-cd", str(folder), f"directory={folder}/run")


@pytest.mark.slow
def test_a_study_with_an_arm_dosed_by_weight(tmp_path):
    code, _, err = study(tmp_path)
    assert code == 0, err
    tree = xr.open_datatree(tmp_path / "run" / "result.zarr", chunks=None)
    assert tree["outcomes"].sizes["arm"] == 4
    words = "400 mg once into depot; then 4 mg/kg by WT (rounded to the nearest 50 mg) every 12 h, 27 doses into depot"
    assert words in (tmp_path / "run" / "report.html").read_text()
    # In the last interval the loading dose is gone: exposure is that of the dose by weight.
    weight, trough = tree["cohort"]["covariate_WT"].to_numpy(), tree["outcomes"]["trough"].to_numpy()
    solved = np.isfinite(trough).all(-1)
    ratio = (trough[..., 3] / trough[..., 0])[solved]
    np.testing.assert_allclose(np.median(ratio / (50 * np.round(4 * weight / 50)[solved] / 200)), 1.0, rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"covariate": "WTT"},
            "design.arms.by_weight: The dose goes by covariate WTT, which the dataset does not have",
        ),
        ({"unit": "m^2"}, "design.arms.by_weight: Regimen's dose is given in 'mg/kg', which cannot be converted"),
        ({"unit": "g"}, "WT is in 'kg' in the data, but the dose takes it in 'g'; bring the two to one unit"),
        ({"way": "RoundDown", "to": "300 mg"}, "is given 0 mg by '4 mg/kg by WT (rounded down to whole 300 mg)'"),
        ({"way": "RoundDow"}, "'vtrial.dosing' has no class 'RoundDow'. Did you mean 'RoundDown'?"),
    ],
)
def test_mistakes(change, said, tmp_path):
    code, _, err = study(tmp_path, **change)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
