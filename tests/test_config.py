import pytest

from vtrial.cohort import Recruitment
from vtrial.config import check
from vtrial.design import AbstractDesign
from vtrial.errors import UserError
from vtrial.population import AbstractPrior, Parameter, Population
from vtrial.solve import AbstractSolver

PRIOR = {"_target_": "vtrial.population.LogNormalPrior", "median": 2, "sigma": 0.3}
PARAMETER = {"_target_": "vtrial.population.Parameter", "unit": "L/h", "prior": PRIOR}


def test_what_fits_passes():
    check(PRIOR, AbstractPrior)  # an integer may stand for a number
    check({"_target_": "vtrial.population.Population", "parameters": {"CL": PARAMETER | {"iiv": None}}}, Population)
    check({"_target_": "vtrial.solve.Auto"}, AbstractSolver)


@pytest.mark.parametrize(
    ("node", "hint", "said"),
    [
        (PRIOR | {"medain": 3}, AbstractPrior, r"^medain is no key of LogNormalPrior\. Did you mean 'median'\?"),
        (
            {"_target_": PRIOR["_target_"], "median": 2},
            AbstractPrior,
            r"^sigma is missing; LogNormalPrior needs it \(a number\)",
        ),
        (PRIOR | {"median": "two"}, AbstractPrior, r"^median must be a number, not 'two'"),
        (PARAMETER | {"prior": PRIOR | {"sigma": None}}, Parameter, r"^prior\.sigma must be a number, not None"),
        (
            {"_target_": "vtrial.design.Parallel", "per_arm": 3, "arms": {"low": {"label": "low"}}},
            AbstractDesign,
            r"^arms\.low must be an Arm \(a mapping with _target_\)",
        ),
        (PARAMETER | {"prior": 3}, Parameter, r"^prior must be a Prior \(a mapping with _target_\), not 3"),
        (
            PARAMETER | {"iiv": {"_target_": "vtrial.solve.Auto"}},
            Parameter,
            r"^iiv must be .*Prior.*or null, but 'Auto' is none",
        ),
        (PARAMETER | {"covariates": [1]}, Parameter, r"^covariates must be a mapping of names to values"),
        ({"_target_": "vtrial.solve.Auto0"}, AbstractSolver, r"has no class 'Auto0'\. Did you mean 'Auto'\?"),
        ({"_target_": "vtrial.solv.Auto"}, AbstractSolver, r"no module 'vtrial\.solv'\. Did you mean 'solve'\?"),
        ({"_target_": "vtrial.solve.AbstractSolver"}, AbstractSolver, "is an interface"),
        ({"_target_": "os.system"}, AbstractSolver, "neither part of vtrial nor"),
        ({"_target_": "builtins.open"}, AbstractSolver, "neither part of vtrial nor"),
        ({"_target_": "vtrial.cli.main"}, AbstractSolver, "has no class 'main'"),
    ],
)
def test_what_does_not_fit(node, hint, said):
    with pytest.raises(UserError, match=said):
        check(node, hint)


def test_deep_paths_are_complete():
    node = {
        "_target_": "vtrial.population.Population",
        "parameters": {"CL": PARAMETER | {"prior": PRIOR | {"sigma": "x"}}},
    }
    with pytest.raises(UserError, match=r"^parameters\.CL\.prior\.sigma must be a number, not 'x'"):
        check(node, Population)


def test_a_list_stands_for_a_tuple_and_nothing_else(tmp_path):
    node = {
        "_target_": "vtrial.cohort.Recruitment",
        "replicates": 2,
        "subjects": 2.5,
        "covariates": {"_target_": "vtrial.cohort.Bootstrap"},
    }
    with pytest.raises(UserError, match=r"^subjects must be an integer, not 2\.5"):
        check(node, Recruitment)


def test_a_module_in_the_users_folder_is_allowed_elsewhere_not(tmp_path, monkeypatch):
    (tmp_path / "my_solver_xyz.py").write_text("from vtrial.solve import Auto\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    check({"_target_": "my_solver_xyz.Auto"}, AbstractSolver, folder=tmp_path)
    with pytest.raises(UserError, match="neither part of vtrial"):
        check({"_target_": "my_solver_xyz.Auto"}, AbstractSolver, folder=tmp_path / "other")
    with pytest.raises(UserError, match="neither part of vtrial"):
        check({"_target_": "os.path"}, AbstractSolver, folder=tmp_path)
