"""Which test holds the type I error of each design, under its null hypothesis, to what it should be, by simulation."""

import ast
from pathlib import Path

import pytest

from vtrial._resources import directory

TESTS = Path(__file__).parents[1]
ADAPTIVE, ESCALATION = "design/test_adaptive_designs.py", "design/test_escalation.py"
HELD = {
    "ascending": (ESCALATION, "test_ascending_stops_for_nothing_as_often_as_the_binomial_says"),
    "boin": (ESCALATION, "test_boin_against_a_second_program"),
    "crm": (ESCALATION, "test_crm_skips_no_dose_and_ends_for_toxicity"),
    "crossover": ("trial/test_bioequivalence.py", "test_average_bioequivalence_has_the_exact_power"),
    "dose_ranging": ("trial/test_mcp_mod.py", "test_level_and_power"),
    "drop_arms": (ADAPTIVE, "test_arm_dropping_picks_the_winner"),
    "group_sequential": (ADAPTIVE, "test_group_sequential_as_rpact"),
    "parallel": ("trial/test_family.py", "test_the_error_rate_is_exact_whichever_nulls_are_true"),
    "partial_replicate": ("trial/test_bioequivalence.py", "test_scaled_rules_have_the_consumers_risk_they_have"),
    "replicate": ("trial/test_bioequivalence.py", "test_scaled_rules_have_the_consumers_risk_they_have"),
    "response_adaptive": (ADAPTIVE, "test_response_adaptive_keeps_the_level_and_prefers_the_better_arm"),
    "sample_size_reestimation": (ADAPTIVE, "test_sample_size_reestimation_as_rpact"),
    "seamless": (ADAPTIVE, "test_seamless_keeps_the_family_wise_level"),
    "three_plus_three": (ESCALATION, "test_three_plus_three_against_its_exact_probabilities"),
}
"""Designs that find a dose claim nothing: what is held there is how often they end for harm, or take which dose."""


def test_every_design_is_in_the_table():
    assert {f.stem for f in (directory("conf") / "design").glob("*.yaml")} == set(HELD)


@pytest.mark.parametrize("design", HELD)
def test_the_tests_are_there(design):
    file, name = HELD[design]
    functions = {node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in functions
