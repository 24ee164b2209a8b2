"""Patients who leave crossover trials within and between periods: what is seen of them, and what analyses do."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from tests.helpers import run_cli
from vtrial.design import Arm, Crossover, revealed
from vtrial.dosing import Regimen
from vtrial.statistics.equivalence import sd_from_cv
from vtrial.trial import (
    AtOnce,
    Clock,
    DoseProportionality,
    Equivalence,
    ExpandingLimits,
    Greatest,
    Potential,
    ReferenceScaled,
    Rules,
    conduct,
    conductor,
)

ONCE = Arm(Regimen("300 mg", "24 h", 1, "depot"))
ARMS = {"test": ONCE, "reference": ONCE}
TWO = Crossover(ARMS, 12, "7 day")
DOSES = DoseProportionality("reference", {"test": 2.0, "reference": 1.0})
FOUR = Crossover(ARMS, 12, "7 day", [["test", "reference"] * 2, ["reference", "test"] * 2])


def rules_of(design, analysis=None):
    """Outcomes are known on day 2 of each period of 7 days."""
    start = 7.0 * np.arange(design.periods)
    clock = Clock(2.0 + start, "value", start)
    return Rules(design, analysis or Equivalence("reference"), Greatest(), AtOnce(), clock, "day")


def table(design, *, rate, ratio=1.0, trials=50):
    """Log-normal outcomes of patients who leave with a constant hazard, between periods too."""
    random = np.random.default_rng(21)
    shape = (trials, sum(design.sizes) + 10, 2, design.periods)
    logs = sd_from_cv(0.25) * random.normal(size=shape) + 0.5 * random.normal(size=(*shape[:2], 1, 1))
    logs[:, :, 0] += math.log(ratio)
    left = random.exponential(1 / rate, shape) if rate else np.full(shape, np.inf)
    left = np.where(left < 7.0, left, np.inf)
    return Potential(np.exp(logs), left, np.exp(logs), {}, ended=left)


def test_without_hazard_all_are_seen_and_with_a_huge_one_nobody():
    run = conductor(rules_of(TWO))
    given = table(TWO, rate=0.0)
    whole, nobody = (run(jax.random.key(2), t) for t in (given, table(TWO, rate=1e6)))
    arm = np.asarray(whole.arm)
    shown = np.take_along_axis(given.value[:, :24], arm[:, :, None], 2)[:, :, 0]
    np.testing.assert_array_equal(whole.outcome, shown)
    np.testing.assert_array_equal(whole.comparison.count, 24)
    np.testing.assert_array_equal(whole.duration, 9.0)
    assert np.isnan(nobody.outcome).all()
    assert (np.asarray(nobody.comparison.code) == 1).all()
    assert not np.asarray(nobody.rejected).any()
    assert (np.asarray(nobody.duration) < 1.0).all()


@pytest.mark.slow
def test_who_leaves_is_not_seen_again():
    given = table(FOUR, rate=0.06)
    found, value, left = conduct(jax.random.key(2), rules_of(FOUR), given), given.value, given.until
    arm, seen = np.asarray(found.arm), np.asarray(found.outcome)
    for r, i in np.ndindex(arm.shape[:2]):
        there = True
        for k, a in enumerate(arm[r, i]):
            known = there and left[r, i, a, k] >= 2.0
            assert seen[r, i, k] == (value[r, i, a, k] if known else pytest.approx(np.nan, nan_ok=True))
            there = there and np.isinf(left[r, i, a, k])
    # Of a constant hazard, who is seen in period k: exp(-rate (7 k + 2)).
    share = np.isfinite(seen).mean((0, 1))
    expected = np.exp(-0.06 * (2 + 7 * np.arange(4)))
    assert (np.abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / seen[..., 0].size)).all()
    np.testing.assert_array_equal(found.duration, 23.0)


def incomplete(design, periods):
    """Outcomes of one trial, the last `periods` of some patients missing."""
    random, n = np.random.default_rng(4), sum(design.sizes)
    arm = np.asarray(design.sequences)[np.arange(n) % len(design.sequences)]
    outcome = np.exp(0.3 * random.normal(size=arm.shape) + 0.5 * random.normal(size=(n, 1)) + 0.1 * arm)
    for patient, missing in enumerate(periods):
        outcome[patient, design.periods - missing :] = np.nan
    return jnp.asarray(arm), jnp.asarray(outcome)


@pytest.mark.parametrize(
    ("design", "analysis", "missing", "kept"),
    [
        (TWO, Equivalence("reference"), [1, 1, 1, 2], slice(4, None)),
        pytest.param(FOUR, ReferenceScaled("reference"), [3, 3, 4], slice(3, None), marks=pytest.mark.slow),
        pytest.param(FOUR, ExpandingLimits("reference"), [3, 3, 4, 4], slice(4, None), marks=pytest.mark.slow),
        pytest.param(TWO, DOSES, [1, 1, 2], slice(3, None), marks=pytest.mark.slow),
    ],
)
def test_patients_without_a_difference_count_for_nothing(design, analysis, missing, kept):
    """In two periods it is the analysis of complete pairs; of four, one known period says nothing within a patient."""
    arm, outcome = incomplete(design, missing)
    compare = lambda a, y: analysis.compare(revealed(a, y), 2, 1)  # noqa: E731
    all_, some = jax.jit(compare)(arm, outcome), jax.jit(compare)(arm[kept], outcome[kept])
    for name in ("difference", "lower", "upper", "p"):
        np.testing.assert_allclose(getattr(all_, name), getattr(some, name), rtol=1e-9, err_msg=name)
    np.testing.assert_array_equal(all_.count, some.count)
    assert all_.count.tolist() == [24 - len(missing)] * 2


@pytest.mark.slow
def test_fdas_contrast_needs_every_period_and_the_variance_those_of_the_reference():
    """Of T R T R a missing last period leaves no two references; of R T R T it leaves both, and no contrast."""
    arm, outcome = incomplete(FOUR, [1, 1])
    found = jax.jit(lambda a, y: ReferenceScaled("reference").compare(revealed(a, y), 2, 1))(arm, outcome)
    y = np.log(np.asarray(outcome))
    mean = {0: y[2::2] @ [0.5, -0.5, 0.5, -0.5], 1: y[3::2] @ [-0.5, 0.5, -0.5, 0.5]}
    assert float(found.difference[0]) == pytest.approx((mean[0].mean() + mean[1].mean()) / 2, rel=1e-12)
    assert found.count.tolist() == [22, 23]


@pytest.mark.slow
def test_the_consumers_risk_is_five_percent_under_dropout():
    """At the limit, when a third of the patients leaves before the second period."""
    trials = 6000
    found = conduct(jax.random.key(2), rules_of(TWO), table(TWO, rate=0.055, ratio=1.25, trials=trials))
    count = np.asarray(found.comparison.count)[:, 0]
    p = math.exp(-0.055 * 9.0)
    assert abs(count.mean() - 24 * p) < 4 * math.sqrt(24 * p * (1 - p) / trials)
    passed = np.asarray(found.rejected)[:, 0].mean()
    assert abs(passed - 0.05) < 4 * math.sqrt(0.05 * 0.95 / trials)


@pytest.mark.slow
def test_a_study_whose_volunteers_leave(tmp_path):
    """From the events of a course to the report: shares, counts, the consumer's risk and what is true."""
    course = (
        "course={_target_: vtrial.cohort.Treatment, events: {leave: {_target_: vtrial.cohort.Event, rate: 0.02 1/day, "
        "then: {_target_: vtrial.cohort.Leave}}, stop: {_target_: vtrial.cohort.Event, rate: 0.02 1/day}}}"
    )
    settings = ["analysis.also=[]", "cohort.replicates=1000", "~course", f"+{course}"]
    code, _, err = run_cli("-cn", "bioequivalence", *settings, f"directory={tmp_path / 'run'}")
    assert code == 0, err
    tree = xr.open_datatree(tmp_path / "run/result.zarr")
    oc, outcomes = tree["operating_characteristics"], tree["outcomes"]
    assert outcomes["period_start"].to_numpy().tolist() == [0.0, 168.0]
    assert outcomes["event_leave"].dims == ("replicate", "subject", "arm", "period")
    # Stopping keeps the outcome of its period, and ends the patient's part; leaving takes both.
    expected = np.exp(-np.array([0.02 * 2, 0.04 * 7 + 0.02 * 2]))
    assert (np.abs(oc["known"] - expected) < 4 * oc["known_mcse"]).all()
    assert abs(float(oc["patients_analysed"][0]) - 16 * expected[1]) < 4 * float(oc["patients_analysed_mcse"][0])
    error = float(oc["type_one_error"].sel(arm="test"))
    assert abs(error - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 1000)
    hypothetical = oc["estimand_effect"].sel(strategy="Hypothetical", arm="test")
    np.testing.assert_allclose(
        hypothetical, np.log(outcomes["cmax"]).mean(("subject", "period", "replicate")).diff("arm") * -1, atol=0.01
    )
    assert "by period, of 1:" in (tmp_path / "run/report.html").read_text()
