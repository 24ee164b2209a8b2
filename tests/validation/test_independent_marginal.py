"""NONMEM's objective function at stated parameters, Laplace and FOCE with interaction, against other programs.

Theophylline and Wang's example: own quadrature, Laplace and FOCE-I in another program; Wang 2007,
doi:10.1007/s10928-007-9060-6, and NONMEM print the same FOCE-I value of the latter. Phenobarbital: NONMEM, and that
program, which agree to 3e-8.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from vtrial.models.iv_1cpt import OneCompartmentBolus

from tests.helpers import SHARED, half, table, theophylline
from tests.validation.fitting import at, problem, study
from vtrial.inference.marginal import Marginal
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Additive, LogNormal, Proportional
from vtrial.population import Fixed, LogNormalPrior, Parameter, Population
from vtrial.solve import Auto

DATA = Path(__file__).parent / "data"
CURVATURES = ("interaction", "laplace")
KEY = {"interaction": "focei", "laplace": "laplace"}


def each(reference, curvature):
    return np.array([subject[KEY[curvature]] for subject in reference["per_subject"]])


@pytest.mark.parametrize("curvature", CURVATURES)
def test_theophylline(data, curvature):
    reference = json.loads((DATA / "theophylline_objective.json").read_text())
    p = reference["parameters"]
    statistical = theophylline(weight=False, correlation=None)
    stated = {"CL": p["CL"], "VC": p["V"], "KA": p["KA"]}
    stated |= dict(zip(("CL_iiv", "VC_iiv", "KA_iiv"), np.sqrt(p["omega_var"]), strict=True))
    stated |= {"concentration_sigma_add": p["sd_add"], "concentration_sigma_prop": p["sd_prop"]}
    found = Marginal(statistical, data, curvature).objective(at(statistical, **stated))
    np.testing.assert_allclose(found, each(reference, curvature), atol=5e-3)
    assert found.sum() == pytest.approx(reference[KEY[curvature]], abs=0.01)


@pytest.mark.parametrize("curvature", CURVATURES)
def test_phenobarbital(curvature):
    reference = json.loads((DATA / "phenobarbital_objective.json").read_text())
    statistical, observed = problem(study("phenobarbital"))
    theta, omega = reference["theta"], reference["omega_var"]
    draw = at(
        statistical,
        CL=theta["TH1"],
        VC=theta["TH2"],
        VC_APGAR_ratio=1.0 + theta["TH3"],
        CL_iiv=omega["CL"] ** 0.5,
        VC_iiv=omega["V"] ** 0.5,
        concentration_sigma_prop=reference["sigma_var"] ** 0.5,
    )
    found = Marginal(statistical, observed, curvature).objective(draw)
    # The subjects' values are those of the program; NONMEM's sum is printed beside it.
    np.testing.assert_allclose(found, each(reference, curvature), atol=1e-4)
    assert found.sum() == pytest.approx(reference[KEY[curvature]], abs=1e-3)
    if curvature == "interaction":
        assert found.sum() == pytest.approx(reference["nonmem_focei"], abs=1e-3)


NOISE = {"prop": Proportional(half(0.5)), "add": Additive(half(0.5)), "lognormal": LogNormal(half(0.5))}


@pytest.mark.external
@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("kind", NOISE)
def test_wang(tmp_path, kind, curvature):
    """y = 10 exp(-k t): a bolus of 10 into a volume of 1, CL being k; the file has no dose records."""
    with (SHARED / "data" / "wang2007" / "wang2007.csv").open() as file:
        rows = [(row["ID"], row["TIME"], row["DV"]) for row in csv.DictReader(file)]
    lines = ["ID,TIME,DV,AMT,EVID,CMT"]
    for i in dict.fromkeys(row[0] for row in rows):
        lines += [f"{i},0,,10,1,1", *(f"{i},{t},{y},0,0,1" for j, t, y in rows if j == i)]
    path = tmp_path / "wang2007.csv"
    path.write_text("\n".join(lines) + "\n")
    model = OneCompartmentBolus()
    observed = table(path, compartments={1: "central"}, covariates=()).read(model)
    rate = Parameter("L/h", LogNormalPrior(0.5, 1.0), half(0.5))
    population = Population({"CL": rate, "VC": Parameter("L", Fixed(1.0))})
    statistical = StatisticalModel(model, population.for_model(model), Auto(), {"concentration": NOISE[kind]})
    short = {"prop": "prop", "add": "add", "lognormal": "log"}[kind]
    stated = {"CL": 0.5, "CL_iiv": 0.2, f"concentration_sigma_{short}": np.sqrt(0.1)}
    found = Marginal(statistical, observed, curvature).objective(at(statistical, **stated)).sum()
    reference = json.loads((SHARED / "data" / "wang2007" / "ref_objective.json").read_text())["values"]
    assert found == pytest.approx(reference[f"wang2007_{kind}"][KEY[curvature]], abs=2e-3)
    if (kind, curvature) == ("prop", "interaction"):
        assert found == pytest.approx(39.458, abs=2e-3)  # Wang 2007, table 2: NONMEM
