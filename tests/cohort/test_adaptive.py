"""Doses that adapt within a patient: causality, the ledger, and what happens beside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.iv_1cpt import OneCompartmentBolus
from vtrial.models.oral_1cpt import OneCompartmentOral
from xarray import DataTree

from tests.cohort.test_consequences import amounts
from tests.cohort.test_outcomes import ENDPOINTS, KEY, posterior
from tests.cohort.test_recruit import draws
from tests.helpers import bateman
from vtrial import schema, tree
from vtrial.cohort import (
    Adherence,
    Bootstrap,
    Cohort,
    Event,
    Leave,
    Recruitment,
    Rescue,
    Treatment,
    recruit,
    replay,
    simulate,
)
from vtrial.design import Arm, Crossover, Parallel
from vtrial.dosing import (
    Above,
    Adjustable,
    Below,
    Consecutive,
    Monitor,
    Proportional,
    Regimen,
    RoundNearest,
    given_only,
)
from vtrial.dosing import StepTitration as Steps
from vtrial.report import ledger
from vtrial.solve import Linear

TIMES = ("12 h", "24 h", "36 h")
ASSAY, TRUE = Monitor("concentration", TIMES), Monitor("concentration", TIMES, measured=False)
FIXED = Regimen("200 mg", "12 h", 4, "depot")
CHANGED = Consecutive([Regimen("200 mg", "12 h", 2, "depot"), Regimen("400 mg", "12 h", 2, "depot")])
TARGET = Proportional(TRUE, "5 mg/L", doses=Adjustable(least="50 mg", rounding=RoundNearest("50 mg")))
ARMS = (
    Arm(FIXED),
    Arm(FIXED, policy=Steps(ASSAY, (0.5, 1.0), Below("-9 mg/L"), Above("900 mg/L"))),  # never triggers
    Arm(FIXED, policy=Steps(ASSAY, (0.5, 1.0, 1.5), Below("1 mg/L"), Above("1.5 mg/L"), hold=Above("2 mg/L"))),
    Arm(FIXED, policy=TARGET),
    Arm(CHANGED, policy=TARGET),
)
PLAIN, NEVER, LADDER, PROPORTIONAL, LATER = range(5)
COURSE = Treatment(
    Adherence(0.8, 0.6),
    {"stop": Event("0.02 1/h"), "leave": Event("0.01 1/h", then=Leave())},
)


@pytest.fixture(scope="module")
def cohort(statistical, data):
    return recruit(jax.random.key(0), Recruitment(4, 12, Bootstrap()), draws(), statistical, data)


@pytest.fixture(scope="module")
def found(cohort, statistical):
    return simulate(KEY, cohort, ARMS, ENDPOINTS, posterior(0.5), statistical)


def test_a_policy_that_never_triggers_is_fixed_dosing_bit_for_bit(found):
    for value in found.values.values():
        np.testing.assert_array_equal(value[..., NEVER], value[..., PLAIN])
    np.testing.assert_array_equal(found.ledger["after"][:, :, NEVER], 1.0)
    for value in found.ledger.values():
        assert np.isnan(value[:, :, PLAIN]).all()


def test_the_ledgers_doses_as_a_fixed_table_are_the_same_outcomes_bit_for_bit(found, cohort, statistical):
    two = slice(LADDER, PROPORTIONAL + 1)
    ledger = {name: value[:, :, two] for name, value in found.ledger.items()}
    again = replay(KEY, cohort, ARMS[two], ENDPOINTS, posterior(0.5), statistical, ledger)
    assert len(np.unique(ledger["after"])) > 6
    for name, value in found.values.items():
        np.testing.assert_array_equal(again.values[name], value[..., two])
    for name, value in ledger.items():
        np.testing.assert_array_equal(again.ledger[name], value)


def test_decisions_do_not_look_ahead(found):
    """From 24 h on the last arm's regimen is another: what is seen there and before is the same, at 36 h it is not."""
    seen, after = found.ledger["observed"], found.ledger["after"]
    np.testing.assert_array_equal(seen[:, :, LATER, :2], seen[:, :, PROPORTIONAL, :2])
    np.testing.assert_array_equal(after[:, :, LATER, 0], after[:, :, PROPORTIONAL, 0])
    assert (seen[:, :, LATER, 2] > seen[:, :, PROPORTIONAL, 2]).all()


def test_what_is_seen_and_what_follows_is_the_textbook_formula(found, cohort):
    """The output is the superposition of the doses that the ledger tells; each dose is by target over observation."""
    seen, before, after = (found.ledger[n][:, :, PROPORTIONAL] for n in ("observed", "before", "after"))
    np.testing.assert_array_equal(before, np.concatenate([np.ones((4, 12, 1)), after[..., :2]], axis=-1))
    wanted = 200 * before * np.clip(5 / seen, 0.5, 2.0)
    np.testing.assert_allclose(200 * after, np.maximum(50, 50 * np.floor(wanted / 50 + 0.5)), rtol=1e-12)
    for r, s in ((0, 0), (3, 7)):
        cl, vc, ka = (float(cohort.parameters[n][r, s]) for n in ("CL", "VC", "KA"))
        given = 200 * np.array([1.0, *after[r, s]])

        def course(time, given=given, cl=cl, vc=vc, ka=ka):
            return sum(
                bateman(np.array([time - 12 * k]), d, ka, cl, vc)[0] for k, d in enumerate(given) if time > 12 * k
            )

        np.testing.assert_allclose(seen[r, s], [course(12 * k) for k in (1, 2, 3)], rtol=1e-9)


def test_a_ladder_follows_what_is_measured_and_holds(found):
    seen, before, level, after = (found.ledger[n][:, :, LADDER] for n in ("observed", "before", "level", "after"))
    down = np.where(seen > 1.5, -1, np.where(seen < 1, 1, 0))
    start = np.concatenate([np.ones((4, 12, 1)), level[..., :2]], axis=-1)
    np.testing.assert_array_equal(level, np.clip(start + 0.5 * down, 0.5, 1.5))
    np.testing.assert_array_equal(after, np.where(seen > 2, 0.0, level))
    assert ((before == 0) & (after > 0)).any()  # goes on after a hold
    true = found.ledger["observed"][:, :, PROPORTIONAL, 0]
    error = (seen[..., 0] - true).ravel()  # at 12 h the arms are one: 48 errors of SD 0.5
    assert abs(error.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * 48)


@pytest.mark.slow
def test_missed_doses_stay_missed_and_both_paths_follow_the_policy(cohort, statistical):
    found = simulate(KEY, cohort, ARMS, ENDPOINTS, posterior(), statistical, course=COURSE)
    ends = found.fate["event_stop"]  # who has left is treated on, unseen
    after, hypothetical = found.ledger["after"], found.ledger["hypothetical_after"]
    for name in ENDPOINTS:
        for value in (found.values[name], found.fate[f"hypothetical_{name}"]):
            np.testing.assert_array_equal(value[..., NEVER], value[..., PLAIN])
    for k, time in enumerate((12.0, 24.0, 36.0)):
        on = ends[:, :, LADDER] > time
        np.testing.assert_array_equal(after[on, LADDER, k], hypothetical[on, LADDER, k])
        assert np.isnan(found.ledger["observed"][~on, LADDER, k]).all()
    r, s = (int(i) for i in np.argwhere(ends[:, :, PROPORTIONAL] == np.inf)[0])
    cl, vc, ka = (float(cohort.parameters[n][r, s]) for n in ("CL", "VC", "KA"))
    plain = found.values["sample"][r, s, PLAIN]
    each = [bateman(np.array([48.0 - 12 * k]), 200.0, ka, cl, vc)[0] for k in range(4)]
    which = [m for m in range(16) if abs(sum(each[k] for k in range(4) if m >> k & 1) - plain) < 1e-9]
    given = [1.0, *after[r, s, PROPORTIONAL]]
    whole = sum(each[k] * given[k] for k in range(4) if which[0] >> k & 1)
    assert found.values["sample"][r, s, PROPORTIONAL] == pytest.approx(whole, rel=1e-9)
    again = replay(KEY, cohort, ARMS, ENDPOINTS, posterior(), statistical, found.ledger, course=COURSE)
    for name in found.fate:
        np.testing.assert_array_equal(again.fate[name], found.fate[name])
    for name in found.values:
        np.testing.assert_array_equal(again.values[name], found.values[name])


def test_decisions_end_with_the_doses_also_where_something_comes_before_or_after(cohort, statistical):
    """The first change of two ends the doses or does not; decisions up to it are those of who has no events."""
    rescue = Event("0.03 1/h", then=Rescue(factors={"CL": 2.0}))
    course = Treatment(events={"stop": Event("0.02 1/h"), "rescue": rescue})
    arms = ARMS[PLAIN], ARMS[PROPORTIONAL]
    found = simulate(KEY, cohort, arms, ENDPOINTS, posterior(), statistical, course=course)
    stop, rescue = (found.fate[f"event_{name}"][..., 1, None] for name in ("stop", "rescue"))
    seen, plain, times = found.ledger["observed"][:, :, 1], found.ledger["hypothetical_observed"][:, :, 1], [12, 24, 36]
    np.testing.assert_array_equal(np.isnan(seen), times >= stop)
    before, between = times < np.minimum(stop, rescue), (times > rescue) & (times < stop)
    np.testing.assert_allclose(seen[before], plain[before], rtol=1e-9)
    assert (seen[between] < plain[between]).all()
    assert (np.isfinite(stop) & (stop < rescue) & np.isfinite(rescue)).any()
    given = 200 * np.concatenate([np.ones((4, 12, 1)), found.ledger["after"][:, :, 1]], -1)
    for r, s in np.argwhere((rescue < stop)[..., 0] & (stop < 36.0)[..., 0])[:5]:
        cl, vc, ka = (float(cohort.parameters[n][r, s]) for n in ("CL", "VC", "KA"))
        doses = [(12.0 * k, given[r, s, k]) for k in range(4) if 12.0 * k < stop[r, s]]
        truth = amounts({"CL": cl, "VC": vc, "KA": ka}, doses, [], float(rescue[r, s, 0]), 2.0, 48.0)
        assert found.values["sample"][r, s, 1] == pytest.approx(truth, rel=1e-7)
    again = replay(KEY, cohort, arms, ENDPOINTS, posterior(), statistical, found.ledger, course=course)
    for name, value in (dict(found.values) | dict(found.fate)).items():
        np.testing.assert_array_equal((dict(again.values) | dict(again.fate))[name], value)


@pytest.mark.slow
def test_each_period_has_decisions_of_its_own(cohort, statistical):
    """Two periods of the same parameters: the same but for the measurement errors, which are each period's own."""
    twice = {name: jnp.stack([value, value], -1) for name, value in cohort.parameters.items()}
    both = Cohort(cohort.draw, twice, cohort.covariates)
    arms = (ARMS[PLAIN], ARMS[PROPORTIONAL], ARMS[LADDER])
    found = simulate(KEY, both, arms, ENDPOINTS, posterior(0.5), statistical)
    assert found.ledger["after"].shape == (4, 12, 3, 2, 3)
    np.testing.assert_array_equal(found.ledger["after"][:, :, 1, 0], found.ledger["after"][:, :, 1, 1])
    assert (found.ledger["observed"][:, :, 2, 0] != found.ledger["observed"][:, :, 2, 1]).all()
    again = replay(KEY, both, arms, ENDPOINTS, posterior(0.5), statistical, found.ledger)
    for name, value in found.values.items():
        np.testing.assert_array_equal(again.values[name], value)
    design = Crossover(dict(zip("abc", arms, strict=True)), 6, "7 day", [["a", "b"], ["b", "c"], ["c", "a"]])
    group = tree.outcomes(found, both, design, ENDPOINTS, OneCompartmentOral(), Treatment())
    assert group["decision_after"].dims == ("replicate", "subject", "arm", "period", "decision")
    assert group["peak_moments"].sizes == {"replicate": 4, "arm": 3, "period": 2, "moment": 4}


def test_part_of_an_infusion_takes_as_long_with_bioavailability_and_without():
    """At a given rate too: half of it is half the concentration, at every time."""
    model, p = OneCompartmentBolus(), {"CL": jnp.asarray(2.8), "VC": jnp.asarray(32.0)}
    table = Regimen("320 mg", "12 h", 2, "central", rate="80 mg/h").records(model, [2.0, 4.0, 11.0])
    half = given_only(table, jnp.full(len(table.time), 0.5))
    whole = Linear()(model, p, table).outputs["concentration"]
    for more in ({}, {"F_central": jnp.asarray(1.0)}):
        found = Linear()(model, p | more, half).outputs["concentration"]
        np.testing.assert_allclose(found, 0.5 * np.asarray(whole), rtol=1e-12)


def test_the_result_and_the_report_tell_the_ledger(found, cohort):
    design = Parallel(dict(zip("abcde", ARMS, strict=True)), per_arm=2)
    group = tree.outcomes(found, cohort, design, ENDPOINTS, OneCompartmentOral(), Treatment())
    after = group["decision_after"]
    assert after.dims == ("replicate", "subject", "arm", "decision")
    assert group["decision_observed"].attrs["units"] == "mg/L"
    np.testing.assert_array_equal(group["decision_time"].sel(arm="d"), [12.0, 24.0, 36.0])
    assert group["decision_time"].sel(arm="a").isnull().all()
    told = ledger.decisions(DataTree.from_dict({schema.OUTCOMES: group}))
    assert len(told.rows) == 12
    raised = (found.ledger["after"][:, :, LADDER, 0] > 1).mean()
    assert float(told.rows[3][3].split()[0]) == pytest.approx(100 * raised, abs=0.5)
    assert ledger.levels(DataTree.from_dict({schema.OUTCOMES: group})).startswith("<svg")
