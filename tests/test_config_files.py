"""Every file of conf/ instantiates, every study composes, and no YAML means something else than it says."""

import inspect
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tests.helpers import classes, written
from vtrial import cli
from vtrial._resources import directory
from vtrial.config import check
from vtrial.study import Study

FILES = [*sorted(directory("conf").rglob("*.yaml")), *sorted(directory("studies").glob("*.yaml"))]
CHOICES = sorted(directory("conf").glob("*/*.yaml"))
STUDIES = sorted(f.stem for f in directory("studies").glob("*.yaml"))
WINDOW = {"_target_": "vtrial.endpoint.Window", "output": "concentration", "start": "0 h", "end": "12 h"}
FILL = {
    "window": WINDOW,
    "reference": "low",
    "control": "low",
    "effect": 0.1,
    "dose": "1 mg",
    "to": "low",
    "strategies": {"stop": {"_target_": "vtrial.trial.TreatmentPolicy"}},
    "spacing": "7 day",
    "horizon": 12.0,
    "arm": "low",
    "times": ["1 h", "2 h"],
    "lower": "0.5 mg/L",
    "upper": "8 mg/L",
    "monitor": {"_target_": "vtrial.dosing.Monitor", "output": "concentration", "at": ["12 h"]},
    "up": {"_target_": "vtrial.dosing.Below", "limit": "5 mg/L"},
    "down": {"_target_": "vtrial.dosing.Above", "limit": "15 mg/L"},
    "target": "10 mg/L",
    "limits": ["5 mg/L", "15 mg/L"],
    "factors": [1.1, 1, 0.9],
    "levels": [[2, 1, 0]],
    "never_above": "15 mg/L",
    "risk": 0.05,
    "endpoint": "ldl",
    "doses": {"low": 0.0, "middle": 1.0, "high": 2.0},
}
FILL["parts"] = [
    {"_target_": "vtrial.dosing.Proportional", "monitor": FILL["monitor"] | {"at": [at]}, "target": "10 mg/L"}
    for at in ("12 h", "24 h")
]
ARM = {
    "_target_": "vtrial.design.Arm",
    "regimen": {"_target_": "vtrial.dosing.Regimen", "dose": "1 mg", "every": "1 h", "doses": 1, "into": "depot"},
}


OWN = {"vtrial.trial.DoseProportionality": {"doses": {"low": 1.0, "high": 2.0}}}
"""What some choices cannot take of `FILL`, by target."""
GROUPS = {
    "data": "AbstractData",
    "population": "Population",
    "cohort": "Recruitment",
    "course": "Treatment",
    "link": "OutcomeLink",
    "prognosis": "Prognosis",
    "optimise": "AbstractSearch",
}
PEOPLE = str(Path(__file__).parent / "cohort" / "data" / "people.csv")


def load(file):
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def filled(node, path="result.zarr"):
    """Give what a choice leaves to the study; tables of covariates are read at once."""
    given = FILL | OWN.get(node.get("_target_"), {}) | {"path": path}
    for key, value in node.items():
        if isinstance(value, dict):
            filled(value, PEOPLE)
        elif value == "???":
            node[key] = given[key]


@pytest.mark.parametrize("file", CHOICES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_choice_instantiates_as_its_group(file):
    node = written(file)
    filled(node)
    if node.get("arms") == {}:
        node["arms"] = {"test": ARM, "reference": ARM} if node.get("sequences") else {"low": ARM, "high": ARM}
    group = GROUPS.get(file.parent.name) or f"Abstract{file.parent.name.capitalize()}"
    (interface,) = {c for c in classes() if c.__name__ == group}
    check(node, interface)
    assert isinstance(instantiate(node, _convert_="all"), interface)
    assert file.read_text(encoding="utf-8").startswith("#"), "the first line says what it is"


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_composes_and_builds(name):
    Plugins.instance().register(cli._studies_path())
    with initialize_config_dir(version_base="1.3", config_dir=str(directory("conf"))):
        config = compose(config_name=name, overrides=["directory=unused"])
        if OmegaConf.is_missing(config.data, "path"):  # data that are the user's to bring
            config.data.path = "theophylline.csv"
        study = cli.build(config)
    assert isinstance(study, Study)
    assert study.question
    assert study.context_of_use


def test_every_swappable_class_has_a_group():
    """An interface that a study names directly has a folder in conf/, but for models, which are files themselves."""
    fields = {n: p.annotation for n, p in inspect.signature(Study).parameters.items()}
    swappable = {n for n, a in fields.items() if getattr(a, "__name__", "").startswith("Abstract")} - {"model"}
    assert swappable <= {f.name for f in directory("conf").iterdir() if f.is_dir()}


def walk(node, path=""):
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            assert isinstance(key, str | int), f"{path}: key {key!r} is no text; quote it"
            assert not isinstance(key, bool), f"{path}: key {key!r} was on, off, yes or no; quote it"
            yield from walk(value, f"{path}.{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from walk(value, f"{path}[{i}]")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_no_yaml_trap(file):
    """`on` is true, `010` is 8 and `12:30` is 750 in YAML 1.1: whoever writes them means text."""
    list(walk(load(file)))
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        value = line.partition("#")[0].partition(": ")[2].strip()
        assert value not in ("on", "off", "yes", "no", "On", "Off", "Yes", "No"), f"{file.name}:{number}"
        assert not (value[:1] == "0" and value[1:2].isdigit()), f"{file.name}:{number}: octal"
        assert not (value.replace(":", "").isdigit() and ":" in value), f"{file.name}:{number}: base sixty"
