"""The family-wise error rate in the strong sense: whichever null hypotheses are true, against multivariate normals."""

import jax
import numpy as np
import pytest
from scipy import stats

from tests.design.simulated import KnownVariance, arms
from vtrial.design import DropArms, Parallel
from vtrial.statistics.multiplicity import Graph, Holm
from vtrial.trial import (
    Adjusted,
    AtOnce,
    Clock,
    Greatest,
    Potential,
    Rules,
    conductor,
    configurations,
    contributions,
    false_claims,
    judge,
    without_effect,
)

THREE, PER_ARM, REPLICATES = arms("control", "a", "b", "c"), 6, 20_000
EVEN = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
PLAIN = Parallel(THREE, PER_ARM)


def beyond(z, count, *, sides):
    """Return the probability that one of so many statistics against a shared control is beyond z."""
    correlation = 0.5 + 0.5 * np.eye(count)
    upper, lower = np.full(count, z), np.full(count, -z if sides == 2 else -np.inf)
    return 1 - stats.multivariate_normal(np.zeros(count), correlation).cdf(upper, lower_limit=lower)


def level(alpha):
    return stats.norm.isf(alpha / 2)


# Effects are so great that they are always found: the nulls that are true are then tested at what is left.
HOLM = {n: beyond(level(0.05 / n), n, sides=2) for n in (1, 2, 3)}
DUNNETT = dict.fromkeys((1, 2, 3), 0.025)
UNADJUSTED = {n: beyond(level(0.05), n, sides=2) for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("design", "analysis", "expected", "alpha", "held"),
    [
        (PLAIN, Adjusted(KnownVariance(), Holm()), HOLM, 0.05, True),
        pytest.param(
            PLAIN, Adjusted(KnownVariance(), Graph([1 / 3] * 3, EVEN)), HOLM, 0.05, True, marks=pytest.mark.slow
        ),
        pytest.param(
            DropArms(THREE, (4 * PER_ARM,), "control", ()),
            KnownVariance(),
            DUNNETT,
            0.025,
            True,
            marks=pytest.mark.slow,
        ),
        (PLAIN, KnownVariance(), UNADJUSTED, 0.05, False),
    ],
    ids=["Holm", "graph", "Dunnett", "unadjusted"],
)
def test_the_error_rate_is_exact_whichever_nulls_are_true(design, analysis, expected, alpha, held):
    value = np.random.default_rng(8).normal(size=(REPLICATES, 4 * PER_ARM + 1, 1)) + np.array([0.0, 9.0, 9.0, 9.0])
    rules = Rules(design, analysis, Greatest(), AtOnce(), Clock(np.asarray(1.0), "value"), "h")
    potential = Potential(value, np.full(value.shape, np.inf), value, {})
    run, partial = conductor(rules), {}
    for among in configurations(4, 0):
        trials = run(jax.random.key(3), without_effect(potential, 0, analysis.null, among))
        partial[among] = false_claims(trials, rules, among)
        p = expected[len(among)]
        assert abs(partial[among].mean() - p) < 4 * np.sqrt(p * (1 - p) / REPLICATES), among
    assert len(partial) == 7
    judged = judge(trials, trials, rules, primary="y", unit="", partial=partial)
    found = contributions(judged)["family_wise_error"]
    assert found.value.mean() == max(share.mean() for share in partial.values())
    limit = alpha + 4 * np.sqrt(alpha * (1 - alpha) / REPLICATES)
    assert (found.value.mean() < limit) == held


def test_of_many_arms_the_ends_are_looked_at():
    assert configurations(2, 0) == ()
    assert configurations(3, 1) == ((0, 2), (0,), (2,))
    assert len(configurations(6, 0)) == 1 + 5 + 5


def test_only_the_arms_meant_lose_their_effect():
    value = np.arange(24.0).reshape(2, 4, 3)
    found = without_effect(Potential(value, value, value, {}), 0, None, [2])
    for table in (found.value, found.until, found.target):
        np.testing.assert_array_equal(table, np.stack([value[..., 0], value[..., 1], value[..., 0]], 2))
