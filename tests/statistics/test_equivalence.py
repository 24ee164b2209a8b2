"""Equivalence and crossover against SciPy, plain regression, and the numbers of PowerTOST, EMA and nlme."""

import csv
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from tests.helpers import SHARED
from vtrial.errors import UserError
from vtrial.statistics import chi_square, crossover, equivalence, student
from vtrial.statistics.crossover import within_variance
from vtrial.statistics.equivalence import EMA, FDA, HEALTH_CANADA, LAYOUTS

# One compilation of each instead of one of each of their steps.
subject_fixed = jax.jit(crossover.subject_fixed, static_argnames=("arms", "reference"))
subject_random = jax.jit(crossover.subject_random, static_argnames=("sequences", "arms", "reference"))
satterthwaite = jax.jit(crossover.satterthwaite, static_argnames=("sequences", "arms", "reference"))
quantile = jax.jit(lambda tail, df: student.quantile(2 * tail, df))


@pytest.mark.parametrize(
    ("cv", "ratio", "power", "layout", "subjects", "reached"),
    [
        (0.3, 0.95, 0.8, "2x2", 40, 0.81584528),
        (0.2, 0.95, 0.9, "2x2", 26, 0.91763331),
        (0.4, 0.95, 0.8, "parallel", 130, 0.80351196),
        (0.3, 0.95, 0.8, "2x2x4", 20, 0.82023983),
    ],
)
def test_sample_sizes_are_powertosts(cv, ratio, power, layout, subjects, reached):
    """PowerTOST 1.5-7, printed with 8 digits."""
    n, found = equivalence.tost_sample_size(cv, ratio, power, LAYOUTS[layout])
    assert n == subjects
    assert found == pytest.approx(reached, abs=1e-8)
    assert equivalence.tost_power(cv, ratio, n - LAYOUTS[layout].step, LAYOUTS[layout]) < power


@pytest.mark.parametrize(("ratio", "power"), [(0.95, 0.73911548), (1.0, 0.83722604), (1.25, 0.04999527)])
def test_power_is_powertosts(ratio, power):
    assert equivalence.tost_power(0.25, ratio, 24, LAYOUTS["2x2"]) == pytest.approx(power, abs=1e-8)


@pytest.mark.parametrize(
    ("cv", "scaling", "limits"),
    [
        (0.3, EMA, (0.8, 1.25)),
        (0.4, EMA, (0.74617702, 1.34016456)),
        (0.5, EMA, (0.69836782, 1.43191019)),
        (0.6, EMA, (0.69836782, 1.43191019)),
        (0.45, FDA, (0.6816149, 1.46710409)),
        (0.55, HEALTH_CANADA, (0.67657893, 1.47802414)),
    ],
)
def test_widened_limits_are_powertosts(cv, scaling, limits):
    upper = float(equivalence.widened(jnp.asarray(equivalence.sd_from_cv(cv)), scaling))
    assert (math.exp(-upper), math.exp(upper)) == pytest.approx(limits, abs=1e-8)


def test_conversions_are_powertosts():
    assert equivalence.cv_from_sd(0.25) == pytest.approx(0.25395759, abs=1e-8)
    assert equivalence.sd_from_cv(0.3) == pytest.approx(0.29356038, abs=1e-8)
    assert equivalence.cv_from_interval(0.91, 1.15, 24, LAYOUTS["2x2"]) == pytest.approx(0.23943356, abs=1e-8)


def test_power_of_known_sd_is_normal():
    """With a great many degrees of freedom the SD is known, and power is a difference of normal probabilities."""
    n = 40_000
    error = equivalence.sd_from_cv(8.0) * math.sqrt(2 / n)
    reach = math.log(1.25) - stats.norm.isf(0.05) * error
    expected = 2 * stats.norm.cdf(reach / error) - 1
    assert equivalence.tost_power(8.0, 1.0, n, LAYOUTS["2x2"]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("df", [1.5, 40.0, 1e4])
def test_quantiles_are_scipys(df):
    for tail in (0.05, 0.4, 1e-6):
        assert quantile(tail, jnp.asarray(df)) == pytest.approx(stats.t.isf(tail, df), rel=1e-9)
        assert chi_square.quantile(1 - tail, jnp.asarray(df)) == pytest.approx(stats.chi2.ppf(1 - tail, df), rel=1e-9)
    assert student.upper_tail(jnp.asarray(-1.3), jnp.asarray(df)) == pytest.approx(stats.t.sf(-1.3, df), rel=1e-9)


def two_by_two():
    """Twenty subjects, the first half reference first; log of the outcome."""
    y = np.random.default_rng(4).normal(size=(20, 2)) + 3 * np.random.default_rng(5).normal(size=(20, 1))
    return y, np.repeat([[0, 1], [1, 0]], 10, axis=0)


def test_two_by_two_is_the_t_test_of_period_differences():
    """The classical analysis (Chow and Liu): half the difference of the two sequences' period differences."""
    y, arm = two_by_two()
    change = 0.5 * (y[:, 1] - y[:, 0])
    expected = stats.ttest_ind(change[:10], change[10:])
    low, high = expected.confidence_interval(0.9)
    for found in (
        subject_fixed(jnp.asarray(y), jnp.asarray(arm), arms=2, reference=0),
        subject_random(jnp.asarray(y), jnp.asarray(arm), jnp.asarray(arm[:, 0]), sequences=2, arms=2, reference=0),
    ):
        half = quantile(0.05, found.df) * found.error[1]
        assert found.df == expected.df
        assert float(found.difference[1] - half) == pytest.approx(low, rel=1e-6)
        assert float(found.difference[1] + half) == pytest.approx(high, rel=1e-6)


def unbalanced():
    """Three treatments, four periods, some patients and values missing, and one who came once only."""
    random = np.random.default_rng(8)
    arm = random.integers(0, 3, (14, 4))
    y = random.normal(size=(14, 4)) + random.normal(size=(14, 1))
    y[random.random((14, 4)) < 0.2] = np.nan
    y[0, 1:], arm[1] = np.nan, -1
    return y, arm


def dense(y, arm):
    """Design without subjects, of the known rows: intercept, periods, treatments; outcome; subject of each row."""
    i, p = np.nonzero(np.isfinite(y) & (arm >= 0))
    columns = [np.ones(len(i)), *(p == k for k in (1, 2, 3)), *(arm[i, p] == k for k in (1, 2))]
    return np.stack(columns, 1).astype(float), y[i, p], i


def test_fixed_subjects_are_plain_regression():
    y, arm = unbalanced()
    found = subject_fixed(jnp.asarray(y), jnp.asarray(arm), arms=3, reference=0)
    x, outcome, subject = dense(y, arm)
    x = np.concatenate([x, subject[:, None] == np.unique(subject)[None, 1:]], 1)
    beta, residual, rank, _ = np.linalg.lstsq(x, outcome)
    assert found.df == len(outcome) - rank
    assert float(found.variance) == pytest.approx(residual[0] / float(found.df), rel=1e-10)
    np.testing.assert_allclose(found.difference, [0, *beta[4:6]], rtol=1e-9)
    covariance = found.variance * np.linalg.inv(x.T @ x)
    np.testing.assert_allclose(found.error[1:], np.sqrt(np.diag(covariance)[4:6]), rtol=1e-9)


def test_random_subjects_are_reml_written_out():
    """The restricted likelihood with whole matrices, maximised by SciPy; one sequence."""
    y, arm = unbalanced()
    found = subject_random(jnp.asarray(y), jnp.asarray(arm), jnp.zeros(14, int), sequences=1, arms=3, reference=0)
    x, outcome, subject = dense(y, arm)

    def fit(log_ratio):
        v = np.eye(len(outcome)) + np.exp(log_ratio) * (subject[:, None] == subject[None])
        inverse = np.linalg.inv(v)
        normal = x.T @ inverse @ x
        beta = np.linalg.solve(normal, x.T @ inverse @ outcome)
        square = (outcome - x @ beta) @ inverse @ (outcome - x @ beta)
        free = len(outcome) - x.shape[1]
        value = free * np.log(square) + np.linalg.slogdet(v)[1] + np.linalg.slogdet(normal)[1]
        return value, beta, square / free * np.linalg.inv(normal)

    best = optimize.minimize_scalar(lambda r: fit(r)[0], bounds=(-8, 8), method="bounded", options={"xatol": 1e-9})
    _, beta, covariance = fit(best.x)
    np.testing.assert_allclose(found.difference[1:], beta[4:], rtol=1e-5)
    np.testing.assert_allclose(found.error[1:], np.sqrt(np.diag(covariance))[4:], rtol=1e-5)


def test_what_cannot_be_estimated_is_not_a_number():
    """All subjects in one sequence: treatment is period."""
    y, _ = two_by_two()
    found = subject_fixed(jnp.asarray(y), jnp.broadcast_to(jnp.asarray([0, 1]), (20, 2)), arms=2, reference=0)
    assert np.isnan(found.difference[1])
    assert np.isnan(within_variance(jnp.asarray(y), jnp.broadcast_to(jnp.asarray([0, 1]), (20, 2)), 0)[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [({"ratio": 1.3}, "must be inside"), ({"power": 1.0}, "between 0 and 1"), ({"cv": 1e6}, "a fraction")],
)
def test_impossible_sample_sizes_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        equivalence.tost_sample_size(**{"cv": 0.3, "ratio": 0.95, "power": 0.8} | change, layout=LAYOUTS["2x2"])


def ema(name):
    """Read a data set of EMA's Questions and Answers into [subject, period]: log outcome, treatment, sequence."""
    rows = list(csv.DictReader((SHARED / "reference" / "trials" / name).read_text().splitlines()))
    subjects = sorted({int(r["subject"]) for r in rows})
    sequences = sorted({r["sequence"] for r in rows})
    periods = max(int(r["period"]) for r in rows)
    y, arm = np.full((len(subjects), periods), np.nan), np.full((len(subjects), periods), -1)
    sequence = np.zeros(len(subjects), int)
    for r in rows:
        at = subjects.index(int(r["subject"])), int(r["period"]) - 1
        y[at], arm[at] = math.log(float(r["PK"])), "RT".index(r["treatment"])
        sequence[at[0]] = sequences.index(r["sequence"])
    return jnp.asarray(y), jnp.asarray(arm), jnp.asarray(sequence), len(sequences)


@pytest.mark.external
@pytest.mark.parametrize("name", ["DS01", "DS02"])
def test_regulators_data_sets(name):
    """EMA data sets I and II, as replicateBE has them: methods A and B (with Satterthwaite's degrees of freedom, by
    numerical derivatives there) and the CV within subjects of the reference."""
    gold = json.loads((SHARED / "reference" / "trials" / "gold_designs.json").read_text())[f"EMA_{name}"]
    y, arm, sequence, sequences = ema(f"ema_{name.lower()}.csv")
    fixed = subject_fixed(y, arm, arms=2, reference=0)
    random = subject_random(y, arm, sequence, sequences=sequences, arms=2, reference=0)
    df = satterthwaite(random, y, arm, sequence, sequences=sequences, arms=2, reference=0)[1]
    assert df == pytest.approx(gold["B"]["DF"], abs=2e-4)
    for found, its, expected, digits in ((fixed, fixed.df, gold["A"], 1e-8), (random, df, gold["B"], 1e-6)):
        half = quantile(0.05, its) * found.error[1]
        percent = 100 * np.exp(found.difference[1] + np.array([0, -half, half]))
        assert percent == pytest.approx([expected[k] for k in ("PE(%)", "CL.lo(%)", "CL.hi(%)")], abs=digits)
    assert fixed.df == gold["A"]["DF"]
    if name == "DS01":  # the ratio of SDs, and its upper limit by F
        (own, df), (other, other_df) = (within_variance(y, arm, treatment) for treatment in (0, 1))
        ratio = float(jnp.sqrt(other / own))
        upper = ratio / math.sqrt(stats.f.ppf(0.05, float(other_df), float(df)))
        gold_ratio = [gold["A"][k] for k in ("sw.ratio", "sw.ratio.CL")]
        assert 100 * equivalence.cv_from_sd(float(other) ** 0.5) == pytest.approx(gold["A"]["CVwT(%)"], abs=1e-8)
        assert (ratio, upper) == pytest.approx(gold_ratio, abs=1e-8)
    variance, _ = within_variance(y, arm, 0)
    assert 100 * equivalence.cv_from_sd(float(variance) ** 0.5) == pytest.approx(gold["A"]["CVwR(%)"], abs=1e-8)


@pytest.mark.external
def test_method_b_is_nlmes():
    """Data set I, random subjects by R's nlme with its degrees of freedom."""
    gold = json.loads((SHARED / "data" / "bioequivalence" / "ref_ds01.json").read_text())["method_B_lme"]
    y, arm, sequence, sequences = ema("ema_ds01.csv")
    found = subject_random(y, arm, sequence, sequences=sequences, arms=2, reference=0)
    half = quantile(0.05, found.df) * found.error[1]
    assert 100 * np.exp(found.difference[1]) == pytest.approx(gold["PE"], abs=1e-6)
    assert 100 * np.exp(found.difference[1] + np.array([-half, half])) == pytest.approx(gold["CI90"], abs=1e-5)
