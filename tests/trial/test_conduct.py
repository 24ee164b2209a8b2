import jax
import numpy as np
import pytest

from vtrial.design import Arm, Parallel
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.trial import (
    AtOnce,
    Clock,
    Greatest,
    Means,
    PickBest,
    Potential,
    Proportions,
    Rules,
    conduct,
    judge,
    operating_characteristics,
    truth_note,
    without_effect,
)
from vtrial.trial.operating import average, share

ARM = Arm(Regimen("300 mg", "12 h", 4, "depot"))
DESIGN = Parallel({"a": ARM, "b": ARM, "c": ARM}, 8)
NAMES = ("a", "b", "c")
RANDOM = np.random.default_rng(2)


def table(value):
    return Potential(value, np.full(value.shape[:3], np.inf), value, {})


def follow(analysis):
    return Rules(DESIGN, analysis, Greatest(), AtOnce(), Clock(np.asarray(1.0), "value"), "h")


def run(key, analysis, value):
    return conduct(jax.random.key(key), follow(analysis), table(value))


def characteristics(key, analysis, value):
    rules = follow(analysis)
    null = conduct(jax.random.key(key), rules, without_effect(table(value), rules.reference))
    judged = judge(run(key, analysis, value), null, rules, primary="y", unit="")
    return operating_characteristics(judged, {"y": value}, {"y": ""})


def test_a_trial_sees_only_the_arm_each_patient_was_given():
    potential = RANDOM.normal(size=(5, 64, 3))
    trials = run(0, Means("a"), potential)
    arm, outcome = np.asarray(trials.arm), np.asarray(trials.outcome)
    assert arm.shape == (5, 24)
    for r in range(5):
        np.testing.assert_array_equal(outcome[r], potential[r, np.arange(24), arm[r]])
        for a in range(3):
            assert trials.comparison.estimate[r, a] == pytest.approx(outcome[r, arm[r] == a].mean())
    np.testing.assert_allclose(trials.truth, potential[:, 24:].mean(1), rtol=1e-12)
    best = np.asarray(trials.comparison.estimate).argmax(1)
    np.testing.assert_array_equal(trials.selected, best)


def test_trials_do_not_depend_on_how_many_there_are():
    potential = RANDOM.normal(size=(6, 48, 3))
    few, many = (run(0, Means("a"), potential[:n]) for n in (2, 6))
    np.testing.assert_array_equal(few.arm, many.arm[:2])
    np.testing.assert_array_equal(few.selected, many.selected[:2])


@pytest.mark.parametrize(
    ("bad", "analysis", "code"),
    [
        (np.nan, Means("a"), [1, 1, 1]),
        (np.inf, Means("a"), [4, 4, 4]),
        (0.0, Means("a"), [0, 2, 2]),
        (np.nan, Proportions("a"), [1, 1, 1]),
        (np.inf, Proportions("a"), [4, 4, 4]),
    ],
)
def test_a_trial_that_cannot_be_analysed_has_a_code_and_claims_nothing(bad, analysis, code):
    """One of four cannot; the other three find an effect that nobody can miss, so that power is 3 of 4, not 3 of 3."""
    noise = 0.01 * np.random.default_rng(3).normal(size=(4, 48, 3))
    potential = (0.0 if analysis.binary else noise) + np.broadcast_to([0.0, 1.0, 1.0], noise.shape)
    potential[1] = bad
    trials = run(0, analysis, potential)
    assert np.isfinite(np.asarray(trials.truth)[[0, 2, 3]]).all()
    np.testing.assert_array_equal(trials.comparison.code, [[0] * 3, code, [0] * 3, [0] * 3])
    oc = characteristics(0, analysis, potential)
    assert oc["analysed"].to_numpy().tolist() == [3 + (c == 0) for c in code]
    assert oc["power"].to_numpy()[1:].tolist() == [0.75, 0.75]
    assert float(oc["power_any"]) == 0.75


def test_few_patients_to_tell_the_truth_by_are_told():
    assert truth_note(DESIGN, 96) == ""
    assert "only 1 tell what is true" in truth_note(DESIGN, 25)
    assert "make cohort.subjects 96 or more" in truth_note(DESIGN, 95)


def test_power_and_selection_are_the_closed_forms():
    """Normal outcomes, arm c better by 1 SD: power of the t-test from the noncentral t, selection by quadrature."""
    from scipy import integrate, stats

    n, replicates = 8, 4000
    potential = RANDOM.normal(size=(replicates, 26, 3)) + np.array([0.0, 0.0, 1.0])
    oc = characteristics(1, Means("a"), potential)
    df, shift, critical = 2 * n - 2, 1.0 * np.sqrt(n / 2), stats.t.ppf(0.975, 2 * n - 2)
    power = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    # Welch's degrees of freedom are fewer than 14; at n = 8 that costs less than 0.01 of power.
    assert float(oc["power"][2]) == pytest.approx(power, abs=4 * float(oc["power_mcse"][2]) + 0.01)
    assert float(oc["power"][1]) == pytest.approx(0.05, abs=4 * float(oc["power_mcse"][1]) + 0.005)
    density = stats.norm(1.0, 1 / np.sqrt(n))
    best, _ = integrate.quad(lambda x: density.pdf(x) * stats.norm(0, 1 / np.sqrt(n)).cdf(x) ** 2, -3, 5)
    assert float(oc["probability_selected"][2]) == pytest.approx(
        best, abs=4 * float(oc["probability_selected_mcse"][2])
    )
    assert np.isnan(oc["power"][0])  # the reference has no power against itself


def test_coverage_is_of_the_difference_that_is_true_in_the_replicate():
    replicates = 1000
    effect = np.random.default_rng(5).normal(0, 1, (replicates, 1, 3))
    potential = effect + RANDOM.normal(size=(replicates, 24, 3))
    # What is true is the mean of many more patients than the trial enrols.
    more = effect + RANDOM.normal(size=(replicates, 2000, 3))
    oc = characteristics(2, Means("b"), np.concatenate([potential, more], axis=1))
    for i in (0, 2):
        assert float(oc["coverage"][i]) == pytest.approx(0.95, abs=4 * float(oc["coverage_mcse"][i]) + 0.003)
        assert float(oc["bias"][i]) == pytest.approx(0.0, abs=4 * float(oc["bias_mcse"][i]))


def test_ties_are_shared_and_errors_never_vanish():
    potential = np.zeros((50, 48, 3))
    potential[..., 1:] = 1.0
    oc = characteristics(0, Proportions("a"), potential)
    assert oc["probability_best"].to_numpy().tolist() == [0.0, 0.5, 0.5]
    assert float(oc["probability_best_mcse"][0]) == pytest.approx(1 / 50)


def test_monte_carlo_errors():
    p, error = share(np.array([True, True, False, False, False]))
    assert (float(p), float(error)) == (pytest.approx(0.4), pytest.approx(np.sqrt(0.4 * 0.6 / 5)))
    mean, error = average(np.array([1.0, 2.0, np.nan, 6.0]))
    assert (float(mean), float(error)) == (pytest.approx(3.0), pytest.approx(np.std([1, 2, 6], ddof=1) / np.sqrt(3)))


@pytest.mark.parametrize(
    ("best", "probability", "recommended"),
    [([0.9, 0.1, 0.0], 0.8, "a"), ([0.81, 0.19, 0.0], 0.8, None), ([0.1, 0.2, 0.7], 0.5, "c")],
)
def test_the_rule_asks_for_more_than_monte_carlo_error(best, probability, recommended):
    hits = np.zeros((400, 48, 3))
    for arm, count in enumerate(np.round(np.array(best) * 400).astype(int)):
        start = int(hits.any((1, 2)).sum())
        hits[start : start + count, :, arm] = 1.0
    oc = characteristics(0, Proportions("a"), hits)
    np.testing.assert_allclose(oc["probability_best"], best, atol=1e-12)
    rule = PickBest(probability)
    assert rule.decide(oc) == recommended
    assert str(probability) in rule.rule()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: run(0, Means("a"), np.zeros((2, 24, 3))),
            "enrols 24 patients.*subjects is 24",
        ),
        (lambda: run(0, Means("z"), np.zeros((2, 48, 3))), "'z', which is no arm"),
        (lambda: PickBest(0.0), "between 0 and 1"),
    ],
)
def test_mistakes(call, said):
    with pytest.raises(UserError, match=said):
        call()
