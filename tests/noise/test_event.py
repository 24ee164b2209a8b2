"""Times of events: densities that integrate with survival to one, and replicates with the law of the process."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from tests.helpers import SHARED
from tests.noise.cases import EVENTS, alone, likelihood, observations, replicate, visits
from vtrial.noise import Visits

ONCE, REPEATED = EVENTS["event"], EVENTS["events"]
SHAPE, SCALE = 1.7, 5.0
LAW = stats.weibull_min(SHAPE, scale=SCALE)


def cumulative(t):
    return (np.asarray(t) / SCALE) ** SHAPE


def hazard(t):
    return SHAPE / SCALE * (np.asarray(t) / SCALE) ** (SHAPE - 1)


def of(noise, value, time, censored=None):
    """The log-likelihood of each row of one subject."""
    time, censored = np.asarray(time, float), np.zeros(len(time), bool) if censored is None else np.asarray(censored)
    lower, upper = np.where(censored, -np.inf, np.nan), np.where(censored, np.asarray(value, float), np.nan)
    seen = observations(value, lower=lower, upper=upper, time=time)
    return np.asarray(likelihood(noise, cumulative(time), seen, hazard(time)))


@pytest.mark.parametrize("noise", EVENTS.values())
def test_one_row_is_density_or_survival(noise):
    assert of(noise, [1], [3.0])[0] == pytest.approx(LAW.logpdf(3.0), rel=1e-12)
    assert of(noise, [0], [3.0])[0] == pytest.approx(LAW.logsf(3.0), rel=1e-12)


def test_density_and_survival_add_up_to_one():
    density = integrate.quad(lambda t: np.exp(of(ONCE, [1], [t])[0]), 0.0, 6.0)[0]
    assert density + np.exp(of(ONCE, [0], [6.0])[0]) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.external
def test_weibull_regression_of_lung_cancer_is_rs():
    """R's survreg(Surv(time, status) ~ sex): its log-likelihood, and no gradient, at its estimates."""
    folder = SHARED / "reference" / "trials"
    gold = json.loads((folder / "gold_misc.json").read_text())["surv"]["weibull_aft"]
    rows = list(csv.DictReader((folder / "lung.csv").read_text().splitlines()))
    time, status, sex = (np.array([float(r[n]) for r in rows]) for n in ("time", "status", "sex"))
    unknown = np.full(len(rows), np.nan)
    seen = observations(status - 1, lower=unknown, upper=unknown, time=time, subject=np.arange(len(rows)))

    def total(p):
        integral = (time / jnp.exp(p[0] + p[1] * sex)) ** (1 / p[2])
        return jnp.sum(likelihood(ONCE, integral, seen, integral / (p[2] * time)))

    p = jnp.asarray([*gold["coef"].values(), gold["scale"]])
    value, slope = jax.value_and_grad(total)(p)
    assert value == pytest.approx(gold["loglik"][1], rel=1e-11)
    step = np.linalg.solve(jax.hessian(total)(p), slope)
    np.testing.assert_allclose(step, 0.0, atol=1e-6)


def test_rows_count_from_the_one_before():
    """Free of the event at 1 and 2.5, then the event at 3: the density alone."""
    assert of(ONCE, [0, 0, 1], [1.0, 2.5, 3.0]).sum() == pytest.approx(LAW.logpdf(3.0), rel=1e-12)


def test_an_event_between_two_visits_has_the_probability_of_the_interval():
    found = of(ONCE, [0, 1], [2.0, 4.0], [False, True])
    assert found.sum() == pytest.approx(np.log(LAW.cdf(4.0) - LAW.cdf(2.0)), rel=1e-12)
    assert of(ONCE, [1], [4.0], [True])[0] == pytest.approx(LAW.logcdf(4.0), rel=1e-12)


def test_repeated_events_are_a_poisson_process():
    times = [1.0, 2.5, 6.0]
    expected = np.log(hazard(times[:2])).sum() - cumulative(6.0)
    assert of(REPEATED, [1, 1, 0], times).sum() == pytest.approx(expected, rel=1e-12)
    found = of(REPEATED, [0, 3], [2.0, 6.0], [False, True])
    more = cumulative(6.0) - cumulative(2.0)
    assert found.sum() == pytest.approx(stats.poisson(more).logpmf(3) - cumulative(2.0), rel=1e-12)


@pytest.mark.parametrize("noise", EVENTS.values())
def test_a_solution_that_falls_a_little_has_finite_gradients(noise):
    seen = observations([0, 1], lower=[np.nan, -np.inf], upper=[np.nan, 1.0])
    prediction, rate = jnp.asarray([0.3, 0.3 - 1e-14]), jnp.asarray([1e-3, -1e-14])

    def total(f, h):
        return noise.log_likelihood(f, {"hazard": h}, {}, seen).sum()

    assert np.isfinite(total(prediction, rate))
    assert all(np.isfinite(g).all() for g in jax.grad(total, argnums=(0, 1))(prediction, rate))


def test_replicates_of_an_event_have_its_distribution_and_stay():
    count, time = 5000, np.array([1.0, 3.0, 6.0])
    seen = observations(np.zeros(3 * count), time=np.tile(time, count), subject=np.repeat(np.arange(count), 3))
    had = replicate(ONCE, np.tile(cumulative(time), count), visits(1, seen)).reshape(count, 3)
    share = LAW.cdf(time)
    assert (np.abs(had.mean(0) - share) < 4 * np.sqrt(share * (1 - share) / count)).all()
    assert (np.diff(had, axis=1) >= 0).all()


def test_the_same_patient_has_the_event_at_the_same_time_whenever_asked():
    when = visits(1, alone(200))
    early, late = (replicate(ONCE, np.full(200, h), when) for h in (0.4, 0.9))
    other = Visits(when.time + 1, when.previous, when.person, when.person)
    assert (late >= early).all()
    np.testing.assert_array_equal(replicate(ONCE, np.full(200, 0.9), other), late)


def test_replicates_of_repeated_events_are_counts_of_the_increments():
    count = 5000
    seen = observations(np.zeros(2 * count), time=np.tile([2.0, 6.0], count), subject=np.repeat(np.arange(count), 2))
    found = replicate(REPEATED, np.tile([0.5, 2.0], count), visits(1, seen)).reshape(count, 2)
    for column, mean in zip(found.T, (0.5, 1.5), strict=True):
        assert abs(column.mean() - mean) < 4 * np.sqrt(mean / count)
        assert abs(column.var() - mean) < 4 * np.sqrt((mean + 2 * mean**2) / count)
