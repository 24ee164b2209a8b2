"""NPDE against what they must be: standard normal under the true model, and equal to their definition written out."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from vtrial.diagnose.npde import discrepancies, judge, rank

SUBJECT = np.repeat(np.arange(150), 4)


def world(random, count, *, shift=0.0, spread=1.0):
    """Log-normal profiles of `count` studies: four observations a subject that share its eta."""
    eta = spread * random.normal(size=(count, 150, 1)) * 0.5
    mean = np.log([10.0, 6.0, 3.0, 1.0]) + shift
    return np.exp(mean + eta + 0.2 * random.normal(size=(count, 150, 4))).reshape(count, -1)


@pytest.fixture(scope="module")
def simulated():
    return world(np.random.default_rng(0), 1000)


def test_of_the_model_itself_they_are_standard_normal(simulated):
    """Judged through the log-likelihood they are independent too: KS would fail if subjects' errors stayed joined."""
    own = discrepancies(world(np.random.default_rng(1), 1)[0], simulated, SUBJECT)
    assert kstest(own.npde, norm.cdf).pvalue > 0.01
    assert judge(own.npde).p_global > 0.05
    correlation = np.corrcoef(own.npde.reshape(150, 4).T)
    assert np.abs(correlation - np.eye(4)).max() < 4 / np.sqrt(150)
    assert np.corrcoef(own.npd.reshape(150, 4).T)[0, 1] > 0.7  # NPD are not decorrelated


@pytest.mark.parametrize(("settings", "which"), [({"shift": 0.3}, "p_mean"), ({"spread": 1.8}, "p_variance")])
def test_another_model_is_seen(settings, which, simulated):
    own = discrepancies(world(np.random.default_rng(2), 1, **settings)[0], simulated, SUBJECT)
    assert getattr(judge(own.npde), which) < 1e-3
    assert kstest(own.npde, norm.cdf).pvalue < 0.01


def test_the_definition_written_out(simulated):
    """One subject by hand: covariance and mean of the replicates, Cholesky, ranks, inverse normal."""
    value, mine = world(np.random.default_rng(3), 1)[0], np.arange(4)
    own = simulated[:, mine]
    covariance = sum(np.outer(row, row) for row in own - own.mean(0)) / 999
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    at, again = root @ (value[mine] - own.mean(0)), (own - own.mean(0)) @ root.T
    expected = norm.ppf(np.clip((again < at).mean(0), 1 / 2000, 1 - 1 / 2000))
    np.testing.assert_allclose(discrepancies(value, simulated, SUBJECT).npde[mine], expected, atol=1e-12)


def test_edges_and_ties():
    simulated = np.array([[1.0], [2.0], [2.0], [3.0]])
    ranks = [rank(np.array([v]), simulated).item() for v in (0.0, 2.0, 2.5, 9.0)]
    assert ranks == [1 / 8, 1 / 2, 3 / 4, 1 - 1 / 8]


@pytest.mark.parametrize(("low", "high"), [(2.0, np.inf), (-np.inf, 8.0), (2.0, 8.0)])
def test_censored_values_keep_the_distribution(low, high, simulated):
    """A quarter and more beyond the limits, in twenty datasets: standard normal all together."""
    npd, npde, edges = [], [], {"low": np.full(600, low), "high": np.full(600, high)}
    for seed in range(20):
        value = world(np.random.default_rng(100 + seed), 1)[0]
        value = np.where(value < low, -np.inf, np.where(value > high, np.inf, value))
        generator = np.random.default_rng(seed)
        own = discrepancies(value, simulated, SUBJECT, **edges, generator=generator)
        npd.append(own.npd)
        npde.append(own.npde)
    assert np.isinf(value).mean() > 0.2
    # The replicates are 1,000: their own errors show in 12,000 values.
    assert np.abs(np.mean(npde)) < 4 / np.sqrt(12_000) + 1 / np.sqrt(1_000)
    assert np.var(npde) == pytest.approx(1, abs=0.05)
    assert np.median([kstest(row, norm.cdf).pvalue for row in npde]) > 0.2
    assert np.var(npd) == pytest.approx(1, abs=0.08)


def test_a_limit_taken_for_a_value_is_seen(simulated):
    value = np.maximum(world(np.random.default_rng(5), 1)[0], 2.0)
    assert kstest(discrepancies(value, simulated, SUBJECT).npd, norm.cdf).pvalue < 1e-6


def test_replicates_that_were_not_solved_do_not_count(simulated):
    value, some = world(np.random.default_rng(3), 1)[0], simulated.copy()
    some[:300, :4], whole = np.nan, discrepancies(value, simulated[300:], SUBJECT)
    found = discrepancies(value, some, SUBJECT)
    np.testing.assert_allclose(found.npde[:4], whole.npde[:4])
    np.testing.assert_allclose(found.npd[:4], whole.npd[:4])


def test_what_cannot_be_known_is_not_a_number():
    simulated = np.random.default_rng(7).normal(size=(30, 3))
    simulated[:, 1] = 1.0
    assert np.isnan(discrepancies(np.ones(3), simulated, np.zeros(3, int)).npde).all()
    assert np.isnan(judge(np.array([0.1, 0.2])).p_global)
