"""The twin's prognostic score: its formula, what the twin is told, and what it does to trials (PROCOVA)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from tests.helpers import run_cli, theophylline
from vtrial.design import Arm, Crossover, Parallel, revealed
from vtrial.dosing import Regimen
from vtrial.endpoint import Average, Measured, Window
from vtrial.errors import UserError
from vtrial.statistics.prognosis import adjusted_size
from vtrial.trial import Ancova, BorrowedMeans, Means, Prognosis, prognostic_score

RANDOM = np.random.default_rng(4)
TRIALS = 2000


def test_a_score_is_the_mean_over_people_moved_by_what_is_seen():
    """The best linear prediction is that of least squares among the people, at what was measured of the patient."""
    measured = RANDOM.normal(size=(3, 40, 2)) * [1.0, 5.0]
    outcome = 2 + measured @ np.array([0.5, -0.2]) + RANDOM.normal(size=(3, 40))
    outcome[:, 0] = np.nan  # a person whose prediction failed
    seen = np.array([[1.0, 3.0], [-1.0, np.nan], [np.nan, np.nan]])
    found = prognostic_score(*map(jnp.asarray, (outcome, measured, seen)))

    def line(i, columns):
        x = np.column_stack([np.ones(39), measured[i, 1:, columns].T])
        return np.linalg.lstsq(x, outcome[i, 1:], rcond=None)[0] @ [1.0, *seen[i, columns]]

    np.testing.assert_allclose(found, [line(0, [0, 1]), line(1, [0]), np.nanmean(outcome[2])], rtol=1e-10)
    plain = prognostic_score(jnp.asarray(outcome), jnp.zeros((3, 40, 0)), jnp.zeros((3, 0)))
    np.testing.assert_allclose(plain, np.nanmean(outcome, 1), rtol=1e-12)


def scorer(prognosis, omega, endpoints):
    draws = np.ones(50)
    posterior = {"CL": 2.8 * draws, "VC": 32.0 * draws, "KA": 1.5 * draws}
    posterior |= {f"{name}_iiv": omega * draws for name in ("CL", "VC", "KA")}
    posterior |= {"concentration_sigma_add": 0.3 * draws, "concentration_sigma_prop": 0.1 * draws}
    arm = Arm(Regimen("300 mg", "12 h", 20, "depot"))
    statistical = theophylline(correlation=None)
    return prognosis.scorer(jax.random.key(2), arm, endpoints, "average", posterior=posterior, statistical=statistical)


WHOLE = {"average": Average(Window("concentration", "216 h", "228 h", 97))}
WEIGHT = np.array([50.0, 70.0, 70.0, 100.0])


@pytest.mark.parametrize(("drift", "times"), [({}, 1.0), ({"CL": 2.0}, 0.5)])
def test_without_variability_it_is_the_dose_over_clearance(drift, times):
    """At steady state the average concentration is the dose over interval and clearance, (WT/70)^0.75 times 2.8 L/h."""
    found = scorer(Prognosis(4, drift=drift), 1e-9, WHOLE)(0, {"WT": jnp.asarray(WEIGHT)}, {})
    # The trapezoidal rule is off by (1/8 h)^2 / 12 times the slope at the dose, 300 x 1.5 / 32 mg/L/h, over 12 h.
    np.testing.assert_allclose(found, times * 300 / 12 / (2.8 * (WEIGHT / 70) ** 0.75), rtol=1e-3)
    assert found[1] == found[2]  # patients alike in covariates are alike in score


@pytest.mark.slow
def test_a_baseline_measurement_moves_it():
    """Of a concentration before the next dose: who has more of the drug then has more on average."""
    endpoints = WHOLE | {"trough": Measured(Window("concentration", "216 h"))}
    found = scorer(Prognosis(400, ("trough",)), 0.3, endpoints)
    weight = {"WT": jnp.full(3, 70.0)}
    low, high, unknown = found(0, weight, {"trough": np.array([3.0, 9.0, np.nan])})
    assert low < unknown < high


HALVES = jnp.asarray(np.arange(100) % 2)


def trial(key, of_x, of_noise, benefit):
    """One of two arms of 50 whose outcomes x explains by half, compared with and without a score of x and of noise."""
    x, noise, other = jax.random.normal(key, (3, 100))
    known = {"prognosis": 3 + of_x * x + of_noise * other}
    seen = revealed(HALVES, x + noise + benefit * HALVES, covariates=known)
    return Ancova("a", ["prognosis"]).compare(seen, 2, 0), Means("a").compare(seen, 2, 0)


@pytest.fixture(scope="module")
def conducted():
    many = jax.jit(jax.vmap(trial, in_axes=(0, None, None, None)))
    keys = jax.random.split(jax.random.key(8), TRIALS)
    return lambda score, benefit: many(keys, *score, benefit)


SCORES = {"twin": (2.0, 0.0), "drifted": (1.0, 1.5), "useless": (0.0, 1.0)}
"""What the score is made of: of what explains half the outcome's variance, and of what has nothing to do with it."""


@pytest.mark.parametrize("name", SCORES)
def test_a_score_takes_its_share_of_the_variance_and_keeps_the_level(conducted, name):
    found, plain = conducted(SCORES[name], 0.0)
    assert abs(float((found.p[:, 1] < 0.05).mean()) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / TRIALS)
    signal, noise = np.square(SCORES[name])
    explained = 0.5 * signal / (signal + noise)  # R^2
    # Two variances of estimates whose squared correlation is 1 - R^2; the slope costs one of 97 degrees of freedom.
    ratio, wanted = float(found.difference[:, 1].var() / plain.difference[:, 1].var()), (1 - explained) * 97 / 96
    assert abs(ratio / wanted - 1) < 4 * math.sqrt(4 * max(explained, 1 / 97) / TRIALS)
    assert adjusted_size(100, math.sqrt(explained)) == pytest.approx(100 * (1 - explained))


def test_power_falls_with_the_twin_and_no_lower_than_without_it(conducted):
    each = {name: conducted(score, 0.7) for name, score in SCORES.items()}
    power = {name: float((found.p[:, 1] < 0.05).mean()) for name, (found, _) in each.items()}
    without = float((each["twin"][1].p[:, 1] < 0.05).mean())
    error = math.sqrt(0.5 / TRIALS)
    assert power["twin"] > power["drifted"] + 2 * error
    assert power["drifted"] > power["useless"] + error
    assert abs(power["useless"] - without) < 4 * error


@pytest.mark.slow
def test_an_external_control_that_has_drifted_is_let_go():
    """A robust MAP prior at 0: the error rate rises where drift is hard to see, and comes back where it is plain."""
    arm, analysis = jnp.asarray(np.repeat([0, 1], [20, 40])), BorrowedMeans("a", [0.0, 0.1, -0.1], [0.1] * 3, 1.0)

    def one(key, drift, benefit):
        seen = revealed(arm, jax.random.normal(key, (60,)) + drift + benefit * arm)
        return analysis.compare(seen, 2, 0).p[1] < 0.05, Means("a").compare(seen, 2, 0).p[1] < 0.05

    many = jax.jit(jax.vmap(one, in_axes=(0, None, None)))

    def rejected(drift, benefit):
        return tuple(float(x.mean()) for x in many(jax.random.split(jax.random.key(9), TRIALS), drift, benefit))

    null, error = {drift: rejected(drift, 0.0)[0] for drift in (0.0, 0.5, 3.0)}, math.sqrt(0.09 * 0.91 / TRIALS)
    assert null[0.0] < 0.05 + 4 * error
    assert null[0.5] > null[3.0] + 2 * error > 0.05  # the price of borrowing
    # Far off the vague part is left, N(0, 1) and worth one of 21 patients: it moves the control's mean of 3 by 1/21.
    moved = 3 / 21 / math.sqrt(1 / 40 + 1 / 21)
    known = stats.norm.sf(1.96 - moved) + stats.norm.cdf(-1.96 - moved)
    estimated = stats.nct.sf(1.96, 19, moved) + stats.nct.cdf(-1.96, 19, moved)  # variances are, of 20 and 40
    assert known - 4 * error < null[3.0] < estimated + 4 * error
    borrowed, alone = rejected(0.0, 0.7)
    assert borrowed > alone + 0.05


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Prognosis(1), "average over 2 or more"),
        (lambda: Prognosis(drift={"CL": 0.0}), "a factor is positive"),
        (lambda: check(Prognosis(drift={"CLL": 2.0})), "no parameter. Did you mean 'CL'"),
        (lambda: check(Prognosis(baseline=("average",))), "not known before the first dose"),
        (lambda: check(Prognosis(baseline=("size",))), "no endpoint"),
        (lambda: check(Prognosis(), Crossover(ARMS, 4, "7 day")), "leave prognosis out"),
    ],
)
def test_mistakes(wrong, said):
    with pytest.raises(UserError, match=said):
        wrong()


ARMS = {name: Arm(Regimen("300 mg", "12 h", 4, "depot")) for name in ("a", "b")}


def check(prognosis, design=None):
    prognosis.check(design or Parallel(ARMS, 4), WHOLE, theophylline().model, ("CL", "VC", "KA"))


@pytest.mark.slow
def test_a_study_knows_the_score_of_those_who_may_enrol(tmp_path):
    settings = [
        "data=none",
        "inference=prior",
        "cohort=adults",
        "primary=time_inside",
        "analysis=procova",
        "prognosis=twin",
    ]
    size = ["cohort.replicates=20", "cohort.subjects=200", "design.per_arm=40", f"directory={tmp_path}/run"]
    code, _, err = run_cli("-cn", "theophylline_quick", *settings, *size)
    assert code == 0, err
    tree = xr.open_datatree(tmp_path / "run" / "result.zarr")
    score, weight = (tree["outcomes"][f"baseline_{n}"].to_numpy() for n in ("prognosis", "WT"))
    assert np.isfinite(score[:, :120]).all()
    assert np.isnan(score[:, 120:]).all()
    # Of covariates alone, and the same in every trial: patients of one weight have one score.
    order = np.argsort(weight[:, :120].ravel())
    assert np.abs(np.diff(score[:, :120].ravel()[order])).max() < 2.0
    oc = tree["operating_characteristics"]
    assert (np.abs(oc["prognosis_correlation"]) < 1).all()
    assert (oc["effective_patients"] >= 40).all()
    code, _, err = run_cli("-cn", "theophylline_quick", *settings[:-1], *size)
    assert code == 2
    assert "add prognosis=twin" in err


def in_order(time, event, score):
    """The share of pairs of known order in which the one with the greater score has the later event."""
    known = event[:, None] & (time[:, None] < time[None])
    return np.where(known, np.heaviside(score[None] - score[:, None], 0.5), 0.0).sum() / known.sum()


@pytest.mark.slow
def test_a_study_of_events_tells_the_concordance_of_the_score(tmp_path):
    settings = ["prognosis=twin", "prognosis.people=20", "cohort.replicates=6", "cohort.subjects=90"]
    size = ["design.sizes=[80,0]", "design.timing.numbers=[20,40]", "enrolment.sites=8", f"directory={tmp_path}/run"]
    code, _, err = run_cli("-cn", "tumour_survival", *settings, *size)
    assert code == 0, err
    tree = xr.open_datatree(tmp_path / "run" / "result.zarr")
    trial, score = tree["trial"], tree["outcomes"]["baseline_prognosis"].to_numpy()[:, :80]
    time, event, arm = (trial[name].to_numpy() for name in ("outcome", "event", "allocated"))
    wanted = [
        np.mean([in_order(t[a == k], e[a == k], s[a == k]) for t, e, s, a in zip(time, event, score, arm, strict=True)])
        for k in range(2)
    ]
    np.testing.assert_allclose(tree["operating_characteristics"]["prognosis_concordance"], wanted, rtol=1e-12)
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Probability that the greater score has the later event" in report
