"""Whatever statistics and designs offer to a study file can be written in one: lists as tuples, mappings as objects."""

import dataclasses
import inspect
import typing

import pytest
import yaml

from tests.helpers import classes, finished
from vtrial import cli
from vtrial.config import check
from vtrial.design import AbstractDesign

SPENDING = "{_target_: vtrial.statistics.spending.PowerSpending, gamma: 2}"
WRITTEN = {
    "Graph": "{weights: [0.5, 0.5], transition: [[0, 1], [1, 0]]}",
    "Fallback": "{weights: [0.5, 0.5]}",
    "Spending": f"{{spending: {SPENDING}}}",
    "BetaSpending": f"{{spending: {SPENDING}}}",
    "FixedFutility": "{values: [0, 0.5]}",
    "Blocks": "{size: 4}",
    "Stratified": "{by: {WT: [60, 80], SEX: [0.5]}, size: 4}",
    "Minimisation": "{by: {WT: [60]}}",
    "Information": "{shares: [0.5, 1.0]}",
    "Events": "{numbers: [100, 200]}",
}
"""Arguments of classes that need some."""
INTERFACES = [
    c
    for c in classes()
    if inspect.isabstract(c)
    and c.__module__.startswith(("vtrial.statistics.", "vtrial.design."))
    and not issubclass(c, AbstractDesign)
]
OFFERED = [(interface, kind) for interface in INTERFACES for kind in finished(interface)]


@pytest.mark.parametrize(("interface", "kind"), OFFERED, ids=lambda c: c.__name__)
def test_an_object_of_a_design_or_analysis_is_built_from_yaml(interface, kind):
    node = {"_target_": f"{kind.__module__}.{kind.__name__}", **yaml.safe_load(WRITTEN.get(kind.__name__, "{}"))}
    check(node, interface)
    assert isinstance(cli._built(node), kind)


@pytest.mark.parametrize("kind", [c for c in classes() if not inspect.isabstract(c)], ids=lambda c: c.__name__)
def test_a_converter_says_what_it_takes(kind):
    """Else the constructor's annotation is lost, and the check of the configuration refuses what is right."""
    hints = typing.get_type_hints(kind.__init__)
    for field in dataclasses.fields(kind):
        if field.init and "converter" in field.metadata:
            assert hints[field.name] is not typing.Any, f"{kind.__name__}.{field.name}"
