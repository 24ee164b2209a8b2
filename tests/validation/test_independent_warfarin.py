"""Warfarin and prothrombin complex activity in 32 subjects: NONMEM's objective function, and Monolix's estimates.

Both runs belong to the article on this model of the R package babelmixr2. NONMEM's absorption rates stayed where they
started, so that its numbers are no estimates; its FOCE-I objective at them is good for any FOCE-I.
"""

import dataclasses
import json

import numpy as np
import pytest

from tests.helpers import SHARED, half
from tests.validation.fitting import at, maximum, problem, shared, study, with_parameters
from vtrial.inference.marginal import Marginal

pytestmark = pytest.mark.external
NAMES = {
    "KTR": "ktr",
    "KA": "ka",
    "CL": "cl",
    "VC": "v",
    "EMAX": "emax",
    "EC50": "ec50",
    "KOUT": "kout",
    "E0": "e0",
}


def reference(name):
    return json.loads((SHARED / "data" / "warfarin_pkpd" / name).read_text())


@pytest.fixture(scope="module")
def warfarin():
    """The study, with the variability of KTR and EMAX that the two programs have beside."""
    statistical, data = problem(study("warfarin", shared("warfarin_pkpd/warfarin_pkpd.csv")))
    vary = {name: dataclasses.replace(statistical.population[name], iiv=half(0.5)) for name in ("KTR", "EMAX")}
    return with_parameters(statistical, **vary), data


@pytest.mark.slow
def test_objective_is_that_of_nonmem(warfarin):
    """The sum of 32 subjects, whose equations are integrated by two programs, within 0.01."""
    nonmem = reference("ref_other.json")["nonmem_focei_emax3"]
    logarithms = {"KTR": 1e-6, "KA": 1e-6, "CL": "log_cl", "VC": "log_v"}
    logarithms |= {"EC50": "log_ec50", "KOUT": "log_kout", "E0": "log_e0"}
    given = {name: value if isinstance(value, float) else nonmem[_key(value)] for name, value in logarithms.items()}
    stated = {name: np.exp(value) for name, value in given.items()}
    stated |= {"EMAX": 1.0 / (1.0 + np.exp(-nonmem["logit_emax"]))}
    stated |= {f"{ours}_iiv": nonmem["omega_var"][theirs] ** 0.5 for ours, theirs in NAMES.items()}
    stated |= {"concentration_sigma_add": nonmem["pkadd_sd"], "concentration_sigma_prop": nonmem["prop_sd"]}
    stated |= {"response_sigma_add": nonmem["pdadd_sd"]}
    statistical, data = warfarin
    found = Marginal(statistical, data, "interaction").objective(at(statistical, **stated)).sum()
    assert found == pytest.approx(nonmem["OFV"], abs=0.01)


def _key(name):
    return {"log_cl": "theta_log_cl", "log_v": "theta_log_v"}.get(name, name)


@pytest.mark.slow
def test_estimates_are_near_those_of_monolix(warfarin):
    """Fixed effects within 10 %, EMAX within 0.03, 1/KTR + 1/KA within 15 %, SDs within 30 %.

    Left out are the SDs of EMAX, which the data do not tell, and of KTR and KA, which may change places.
    """
    monolix = {
        name: entry["value"] for name, entry in reference("ref_monolix2021_emax_turnover.json")["parameters"].items()
    }
    start = {ours: monolix[f"{theirs}_pop"] for ours, theirs in NAMES.items()}
    start |= {f"{ours}_iiv": monolix[f"omega_{theirs}"] for ours, theirs in NAMES.items()}
    start |= {"concentration_sigma_add": monolix["pkadd__err"], "concentration_sigma_prop": monolix["prop__err"]}
    start |= {"response_sigma_add": monolix["pdadd__err"]}
    draw = maximum(*warfarin, **start).draw
    for name in ("CL", "VC", "EC50", "KOUT", "E0"):
        assert draw[name] == pytest.approx(start[name], rel=0.1), name
    assert draw["EMAX"] == pytest.approx(start["EMAX"], abs=0.03)
    absorption = 1.0 / start["KTR"] + 1.0 / start["KA"]
    assert 1.0 / draw["KTR"] + 1.0 / draw["KA"] == pytest.approx(absorption, rel=0.15)
    for name in ("CL_iiv", "VC_iiv", "EC50_iiv", "KOUT_iiv", "E0_iiv"):
        assert draw[name] == pytest.approx(start[name], rel=0.3), name
    for name in ("concentration_sigma_add", "concentration_sigma_prop", "response_sigma_add"):
        assert draw[name] == pytest.approx(start[name], rel=0.3), name
