"""Curves, tests and regressions of times to events, against published numbers, SciPy and R's survival package."""

import csv
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.helpers import SHARED
from vtrial.statistics import cox as regression
from vtrial.statistics import kaplan_meier as curve
from vtrial.statistics import log_rank as tests
from vtrial.statistics.aalen_johansen import cumulative_incidence
from vtrial.statistics.concordance import concordance
from vtrial.statistics.kaplan_meier import log_limits, log_log_limits, restricted_mean, time_to_share
from vtrial.statistics.ordered import nth, ordered

# One compilation of each instead of one of each of their steps.
cox = jax.jit(regression.cox, static_argnames="breslow")
andersen_gill = jax.jit(regression.andersen_gill)
log_rank = jax.jit(tests.log_rank, static_argnames=("reference", "rho", "gamma"))
kaplan_meier = jax.jit(curve.kaplan_meier)

Z = stats.norm.ppf(0.975)
TREATED = [6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
TIME = jnp.asarray([*TREATED[0], *TREATED[1], *PLACEBO], float)
EVENT = jnp.asarray([True] * 9 + [False] * 12 + [True] * 21)
ARM = jnp.asarray([0] * 21 + [1] * 21)
MEMBER = ARM[:, None] == jnp.arange(2)[None]
"""Weeks of remission in acute leukaemia under 6-mercaptopurine and placebo: Freireich and others 1963, table 1 of Cox
1972 (doi:10.1111/j.2517-6161.1972.tb00899.x)."""


def column(rows, name, missing=("", "NA")):
    return jnp.asarray([np.nan if row[name] in missing else float(row[name]) for row in rows])


def shared(name):
    text = (SHARED / "reference" / "trials" / name).read_text()
    return json.loads(text) if name.endswith("json") else list(csv.DictReader(text.splitlines()))


def test_the_leukaemia_trial_as_published():
    """Kleinbaum and Klein, Survival Analysis, 3rd edition: log-rank 16.79, medians 23 and 8; hazard ratio by Efron's
    method 4.82 (log 1.572, error .412)."""
    found = log_rank(TIME, EVENT, MEMBER, reference=0)
    assert found.excess[1] ** 2 / found.variance[1] == pytest.approx(16.79, abs=0.005)
    curves = kaplan_meier(TIME, EVENT, MEMBER)
    np.testing.assert_allclose(time_to_share(curves.time, curves.survival), [23, 8])
    fit = cox(TIME, EVENT, (ARM == 1).astype(float)[:, None], jnp.ones(42, bool))
    assert fit.coefficient[0] == pytest.approx(1.572, abs=5e-4)
    assert fit.covariance[0, 0] ** 0.5 == pytest.approx(0.412, abs=5e-4)
    assert fit.converged


def test_log_rank_and_curves_are_scipys():
    found = log_rank(TIME, EVENT, MEMBER, reference=0)
    samples = [stats.CensoredData.right_censored(TIME[ARM == i], ~EVENT[ARM == i]) for i in (1, 0)]
    expected = stats.logrank(*samples)
    assert found.excess[1] / found.variance[1] ** 0.5 == pytest.approx(expected.statistic, rel=1e-10)
    curves = kaplan_meier(TIME, EVENT, MEMBER)
    low, high = log_log_limits(curves, float(Z))
    for arm, sample in ((1, samples[0]), (0, samples[1])):
        survival = stats.ecdf(sample).sf
        with warnings.catch_warnings(action="ignore"):  # undefined where survival is 1 or 0
            ci = survival.confidence_interval(0.95, method="log-log")
        times = survival.quantiles
        at = np.searchsorted(curves.time, times, side="right") - 1
        np.testing.assert_allclose(curves.survival[at, arm], survival.probabilities, atol=1e-12)
        inside = np.isfinite(ci.low.probabilities)
        np.testing.assert_allclose(low[at, arm][inside], ci.low.probabilities[inside], rtol=1e-9)
        np.testing.assert_allclose(high[at, arm][inside], ci.high.probabilities[inside], rtol=1e-9)


def test_strata_are_summed_and_three_arms_are_pairs():
    """Each stratum by itself, and each pair of arms by itself, is SciPy's test."""
    random = np.random.default_rng(5)
    time, event = jnp.asarray(random.integers(1, 12, 90) * 1.0), jnp.asarray(random.random(90) < 0.7)
    arm, stratum = np.arange(90) % 3, random.integers(0, 2, 90)
    member = jnp.asarray(arm[:, None] == np.arange(3)[None])
    found = tests.stratified_log_rank(time, event, member, jnp.asarray(stratum), strata=2, reference=0)
    alone = [log_rank(time, event, member & jnp.asarray(stratum == s)[:, None], reference=0) for s in (0, 1)]
    np.testing.assert_allclose(found.excess, alone[0].excess + alone[1].excess, atol=1e-12)
    for i in (1, 2):
        groups = [(arm == i) & (stratum == 1), (arm == 0) & (stratum == 1)]
        expected = stats.logrank(*[stats.CensoredData.right_censored(time[w], ~event[w]) for w in groups])
        assert alone[1].excess[i] / alone[1].variance[i] ** 0.5 == pytest.approx(expected.statistic, rel=1e-10)


def test_restricted_mean_without_censoring_is_the_mean():
    """Then the curve is the empirical one: its area is the mean of min(T, horizon), Greenwood's variance that of a mean
    with denominator n."""
    time = jnp.asarray([1.0, 2, 2, 4, 7, 9])
    found = restricted_mean(kaplan_meier(time, jnp.ones(6, bool), jnp.ones((6, 1), bool)), 5.0)
    cut = np.minimum(time, 5)
    assert found.mean[0] == pytest.approx(cut.mean())
    assert found.error[0] == pytest.approx(cut.std() / 6**0.5)


@pytest.mark.parametrize(
    ("survival", "median"),
    [([0.75, 0.5, 0.25], 2.5), ([0.8, 0.4, 0.2], 2.0), ([0.9, 0.8, 0.6], np.inf), ([0.9, 0.7, 0.5], 3.0)],
)
def test_medians_of_steps(survival, median):
    """A curve level at one half crosses it in the middle of the level; one that never falls to it has no median."""
    assert time_to_share(jnp.asarray([1.0, 2, 3]), jnp.asarray(survival)[:, None])[0] == median


def efron(beta, entry, time, event, x):
    """Partial log-likelihood written out event by event, as Efron 1977 has it."""
    hazard, total = np.exp(x @ beta), 0.0
    for t in np.unique(time[event]):
        dying, risk = event & (time == t), (time >= t) & (entry < t)
        total += (x[dying] @ beta).sum()
        for k in range(dying.sum()):
            total -= np.log(hazard[risk].sum() - k / dying.sum() * hazard[dying].sum())
    return total


def test_regression_maximises_the_likelihood_written_out():
    """With ties, late entries and a covariate that is not known; one row a patient."""
    random = np.random.default_rng(7)
    entry = random.integers(0, 4, 42).astype(float)
    time, event = entry + random.integers(1, 6, 42), random.random(42) < 0.6
    x = random.normal(size=(42, 2))
    unknown = x.copy()
    unknown[3, 1] = np.nan
    kept = np.arange(42) != 3
    rows = [jnp.asarray(v) for v in (entry, time, event, unknown)]
    fit = andersen_gill(*rows, jnp.ones(42, bool), jnp.arange(42))
    part = entry[kept], time[kept], event[kept], x[kept]
    beta = np.asarray(fit.coefficient)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(efron(beta, *part), rel=1e-12)
    assert fit.null == pytest.approx(efron(0 * beta, *part), rel=1e-12)
    h = 1e-3
    for i in range(2):
        up, down = efron(beta + h * np.eye(2)[i], *part), efron(beta - h * np.eye(2)[i], *part)
        assert abs(up - down) / (2 * h) < 1e-4  # the gradient, up to the third derivative times h^2


@pytest.mark.parametrize("event", [ARM == 1, jnp.zeros(42, bool)])
def test_cox_says_that_there_is_no_maximum(event):
    """All events in one arm, or none at all."""
    assert not cox(TIME, event, (ARM == 1).astype(float)[:, None], jnp.ones(42, bool)).converged


def test_ties_survive_the_rounding_of_dates():
    """0.1 + 0.2 is the time 0.3; 0.3000001 is not; unknown patients are last, and count for nobody."""
    time = jnp.asarray([0.3000001, 0.3, np.nan, 0.1 + 0.2, np.inf, -1.0])
    table = ordered(time, jnp.asarray([True, False, True, True, False, True]), jnp.ones(6, bool))
    assert table.place.tolist() == [3, 1, 0, 4, 2, 5]
    assert table.new.tolist()[:4] == [True, False, True, True]
    assert table.known.tolist() == [True, True, True, True, False, False]


@pytest.mark.parametrize("kind", [jnp.float32, jnp.float64])
def test_the_nth_time_is_that_of_sorting(kind):
    ties = [0.0, -0.0, 1.0, 1.0, 1e-30, np.inf, np.inf]
    time = np.concatenate([np.random.default_rng(2).exponential(size=40), ties]).astype(kind)
    found = jax.vmap(lambda n: nth(jnp.asarray(time), n))(jnp.arange(1, len(time) + 1))
    np.testing.assert_array_equal(found, np.sort(time))


def test_single_precision_sorts_alike():
    time = jnp.asarray(np.random.default_rng(2).integers(0, 9, 50).astype(float))
    event = jnp.arange(50) % 3 > 0
    one = ordered(time, event, jnp.arange(50) != 7)
    other = ordered(time.astype(jnp.float32), event, jnp.arange(50) != 7)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_batching_equals_looping():
    random = np.random.default_rng(3)
    time, event = jnp.asarray(random.exponential(size=(3, 42))), jnp.asarray(random.random((3, 42)) < 0.7)

    def one(t, e):
        return log_rank(t, e, MEMBER, reference=0), cox(t, e, MEMBER[:, 1:].astype(float), jnp.ones(42, bool))

    many = jax.jit(jax.vmap(one))(time, event)
    for i in range(3):
        alone = one(time[i], event[i])
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-9), many, alone)


def test_concordance_counts_pairs_whose_order_is_known():
    """By hand: events at 1 and 3, censored at 3 and 2. Pairs: 1 before the three others, 3 before the censored 3."""
    time, event = np.array([1.0, 3.0, 3.0, 2.0, np.nan]), np.array([True, True, False, False, False])
    assert concordance(time, event, np.array([0.0, 1.0, 2.0, 0.0, 9.0])) == (1 + 1 + 0.5 + 1) / 4
    assert concordance(time, event, np.zeros(5)) == 0.5
    assert np.isnan(concordance(time[2:], event[2:], np.zeros(3)))


@pytest.mark.external
def test_lung_cancer_is_rs_survival():
    """Data and numbers of R's survival and survRM2 packages, to the digits they are printed with."""
    gold, rows = shared("gold_misc.json")["surv"], shared("lung.csv")
    time, event, sex = column(rows, "time"), column(rows, "status") == 2, column(rows, "sex")
    member = sex[:, None] == jnp.asarray([[1.0, 2.0]])
    for rho, chi in ((0.0, gold["logrank_lung_sex"]["chisq"]), (1.0, gold["peto_rho1"])):
        test = log_rank(time, event, member, reference=0, rho=rho)
        assert test.excess[1] ** 2 / test.variance[1] == pytest.approx(chi, rel=1e-9)
    parts, plain = gold["logrank_lung_sex"], log_rank(time, event, member, reference=0)
    assert abs(float(plain.excess[1])) == pytest.approx(abs(parts["O"][1] - parts["E"][1]), abs=1e-8)
    assert float(plain.variance[1]) == pytest.approx(parts["V"][1][1], abs=1e-8)
    curves, rmst = kaplan_meier(time, event, member), gold["rmst365"]
    area = restricted_mean(curves, 365.0)
    np.testing.assert_allclose(area.mean, rmst["rmean"], rtol=1e-10)
    np.testing.assert_allclose(area.error, rmst["se"], rtol=1e-10)
    low, high = log_limits(curves, float(Z))
    for values, name in ((curves.survival, "median"), (low, "lcl"), (high, "ucl")):
        np.testing.assert_allclose(time_to_share(curves.time, values), rmst[name])
    x = jnp.stack([column(rows, name) for name in ("sex", "age", "ph.ecog")], 1)
    fit, efron = cox(time, event, x, jnp.ones(len(time), bool)), gold["cox_efron"]
    np.testing.assert_allclose(fit.coefficient, list(efron["coef"].values()), rtol=1e-8)
    np.testing.assert_allclose(jnp.diagonal(fit.covariance) ** 0.5, efron["se"], rtol=1e-8)
    np.testing.assert_allclose([fit.null, fit.log_likelihood], efron["loglik"], rtol=1e-11)
    # R's concordance is of the risk: the greater one has the earlier event.
    risk = np.asarray(x) @ np.asarray(fit.coefficient)
    assert concordance(np.asarray(time), np.asarray(event), -risk) == pytest.approx(efron["conc"], abs=1e-9)
    fit = cox(time, event, x, jnp.ones(len(time), bool), breslow=True)
    np.testing.assert_allclose(fit.coefficient, list(gold["cox_breslow"].values()), rtol=1e-8)
    # survRM2's rows: difference, ratio and ratio of the time lost, each with limits and p.
    (men, women), spread = area.mean, area.error
    rows = [(women - men, spread, 1.0), (women / men, spread / area.mean, 0.0)]
    rows += [((365 - women) / (365 - men), spread / (365 - area.mean), 0.0)]
    for (effect, errors, plain), expected in zip(rows, shared("gold_designs.json")["rmst2"]["res"], strict=True):
        centre, half = effect if plain else np.log(effect), Z * np.hypot(*errors)
        limits = [centre - half, centre + half] if plain else np.exp([centre - half, centre + half])
        p = 2 * stats.norm.sf(Z * abs(centre) / half)
        np.testing.assert_allclose([effect, *limits, p], expected, atol=1.01e-8, rtol=1e-7)


@pytest.mark.external
def test_competing_and_recurrent_events_are_rs_survival():
    """mgus2 and cgd: Aalen-Johansen, and Andersen-Gill with clusters."""
    gold, rows = shared("gold_extra.json"), shared("mgus2.csv")
    cause = jnp.asarray([{"pcm": 1, "death": 2}.get(row["event"], 0) for row in rows])
    known, at = jnp.ones(len(rows), bool), jnp.asarray(gold["aj"]["times"], float)
    found = cumulative_incidence(column(rows, "etime"), cause, known, at, causes=2)
    np.testing.assert_allclose(found, gold["aj"]["cif"], rtol=1e-10)
    rows = shared("cgd.csv")
    treated = jnp.asarray([[float(row["treat"] == "rIFN-g")] for row in rows])
    ids = column(rows, "id").astype(int)
    end, event, known = column(rows, "tstop"), column(rows, "status") == 1, jnp.ones(len(rows), bool)
    fit = andersen_gill(column(rows, "tstart"), end, event, treated, known, ids)
    assert fit.coefficient[0] == pytest.approx(gold["ag"]["coef"], rel=1e-9)
    assert fit.covariance[0, 0] ** 0.5 == pytest.approx(gold["ag"]["robust"], rel=1e-9)


@pytest.mark.external
@pytest.mark.parametrize("name", ["ovarian", "veteran"])
def test_two_more_trials_are_rs_survival(name):
    """Two arms and one covariate each: log-rank, Cox, medians and the limits of the curves."""
    folder = SHARED / "data" / "trial_tte"
    gold = json.loads((folder / f"ref_{name}.json").read_text())
    rows = list(csv.DictReader((folder / f"{name}.csv").read_text().splitlines()))
    time, event, arm = column(rows, "TIME"), column(rows, "EVENT") == 1, column(rows, "ARM")
    member = arm[:, None] == jnp.asarray([[1.0, 2.0]])
    test = log_rank(time, event, member, reference=0)
    assert test.excess[1] ** 2 / test.variance[1] == pytest.approx(gold["logrank_chisq"], rel=1e-6)
    x = jnp.stack([arm, column(rows, "COV")], 1)
    fit = cox(time, event, x, jnp.ones(len(time), bool))
    np.testing.assert_allclose(fit.coefficient, gold["cox_efron"]["coef"], rtol=1e-6)
    np.testing.assert_allclose(jnp.diagonal(fit.covariance) ** 0.5, gold["cox_efron"]["se"], rtol=1e-6)
    curves = kaplan_meier(time, event, member)
    medians = [np.inf if m == "NA" else m for m in gold["median"]]
    np.testing.assert_allclose(time_to_share(curves.time, curves.survival), medians)
    low, high = log_log_limits(curves, float(Z))
    group = np.array([int(s[-1]) - 1 for s in gold["km_strata"]])
    at = np.searchsorted(curves.time, gold["km"]["time"], side="right") - 1
    for values, what in ((curves.survival, "surv"), (low, "lower"), (high, "upper")):
        expected = np.array([np.nan if v == "NA" else v for v in gold["km"][what]], float)
        inside = np.isfinite(expected)
        np.testing.assert_allclose(np.asarray(values)[at, group][inside], expected[inside], rtol=1e-9, atol=1e-12)
