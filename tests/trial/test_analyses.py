"""Analyses against SciPy and published numbers; the same table for all of them where the contract is common."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.helpers import finished, layouts
from vtrial import schema
from vtrial.design import revealed
from vtrial.trial import AbstractAnalysis, Means, Proportions

RANDOM = np.random.default_rng(1)


def seen(*groups):
    arm = np.concatenate([np.full(len(g), i) for i, g in enumerate(groups)])
    return revealed(jnp.asarray(arm), jnp.asarray(np.concatenate(groups), float))


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_means_are_welchs(alpha):
    a, b, c = RANDOM.normal(0, 1, 12), RANDOM.normal(1, 3, 20), RANDOM.normal(0.2, 0.5, 7)
    found = Means("a", alpha).compare(seen(a, b, c), 3, 0)
    for i, other in ((1, b), (2, c)):
        expected = stats.ttest_ind(other, a, equal_var=False)
        low, high = expected.confidence_interval(1 - alpha)
        assert found.p[i] == pytest.approx(expected.pvalue, rel=1e-9)
        assert found.lower[i] == pytest.approx(low, rel=1e-9)
        assert found.upper[i] == pytest.approx(high, rel=1e-9)
        assert found.estimate[i] == pytest.approx(other.mean())
        assert found.error[i] == pytest.approx(stats.sem(other))


def binary(yes, n):
    return np.repeat([1.0, 0.0], [yes, n - yes])


def test_newcombes_published_intervals():
    """Newcombe 1998, table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 10/10 - 0/20, 10/10 - 0/10."""
    published = [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)]
    published += [((10, 10), (0, 20), 0.6791, 1.0), ((10, 10), (0, 10), 0.6075, 1.0)]
    for (x1, n1), (x2, n2), low, high in published:
        found = Proportions("b").compare(seen(binary(x1, n1), binary(x2, n2)), 2, 1)
        assert found.lower[0] == pytest.approx(low, abs=5e-5)
        assert found.upper[0] == pytest.approx(high, abs=5e-5)


def test_the_score_test_is_chi_square_without_correction():
    found = Proportions("b").compare(seen(binary(56, 70), binary(48, 80)), 2, 1)
    expected = stats.chi2_contingency([[56, 14], [48, 32]], correction=False).pvalue
    assert found.p[0] == pytest.approx(expected, rel=1e-10)
    assert found.error[1] == pytest.approx(np.sqrt(0.6 * 0.4 / 80))


SETTINGS = {"RestrictedMean": {"horizon": 0.5}, "DoseProportionality": {"doses": {"a": 1.0, "b": 2.0, "c": 4.0}}}
"""What an analysis needs beside the reference arm; a new analysis adds its line here."""


def made(kind):
    return kind(reference="a", **SETTINGS.get(kind.__name__, {}))


def example(kind, count, patients, arms):
    """Arm, outcome and event of trials without effect, in the layout that an analysis reads first."""
    random, arm = np.random.default_rng(3), np.arange(patients) % arms
    known = np.ones((count, patients), bool)
    if kind.layouts[0] == "event":
        time, end = random.exponential(size=(count, patients)), random.uniform(0.6, 2.0, (count, patients))
        return arm, np.minimum(time, end), time <= end
    if kind.layouts[0] == "periods":
        twice = random.permuted(np.tile(np.repeat(np.arange(arms), 2), (patients, 1)), axis=1)
        return twice, random.lognormal(size=(count, patients, 2 * arms)), np.ones((count, patients, 2 * arms), bool)
    if kind.binary:
        return arm, random.integers(0, 2, (count, patients)).astype(float), known
    return arm, random.lognormal(sigma=0.2, size=(count, patients)), known


KINDS = [k for k in finished(AbstractAnalysis) if {"event", "periods"} & set(layouts(k))]
"""Those on events and crossovers; `test_analyses_contract` has the others."""


@pytest.mark.parametrize("kind", [Means, Proportions, *KINDS])
def test_contract(kind):
    analysis = made(kind)
    assert 0 < analysis.alpha < 1
    assert analysis.describe()
    assert isinstance(analysis.unit("h"), str)
    arm, outcome, event = example(kind, 4, 30, 3)

    @jax.jit
    def compared(arm, outcome, event):
        return analysis.compare(revealed(jnp.asarray(arm), jnp.asarray(outcome), event=jnp.asarray(event)), 3, 0)

    many = jax.jit(jax.vmap(compared, in_axes=(None, 0, 0)))(arm, outcome, event)
    for i in range(4):
        one = compared(arm, outcome[i], event[i])
        for name in vars(one):
            np.testing.assert_allclose(getattr(many, name)[i], getattr(one, name), rtol=1e-9)
    # Against itself: no difference.
    assert (many.difference[:, 0] == 0).all()
    assert (many.p[:, 0] == 1).all()
    assert (many.code == 0).all()
    # A patient whose outcome is missing, or who was never enrolled, counts for nobody, wherever they are.
    y, a = outcome[0].copy(), arm.copy()
    y[3], a[4] = np.nan, -1
    kept = np.concatenate([np.delete(np.arange(30), [3, 4]), [3, 4]])
    part, moved = compared(a, y, event[0]), compared(a[kept], y[kept], event[0][kept])
    np.testing.assert_allclose(part.p, moved.p, rtol=1e-9)
    assert (part.count < many.count[0]).any()
    # An arm that nobody was given is not known, the others are.
    empty = compared(np.where(arm == 2, 1, arm), outcome[0], event[0])
    assert np.isnan(empty.p[2])
    assert empty.code[2] > 0
    assert np.isfinite(empty.p[:2]).all()
    # What is missing, infinite or constant is said by a code.
    for bad in (np.nan, np.inf, 1.0):
        found = compared(arm, np.full_like(y, bad), event[0])
        np.testing.assert_array_equal(np.isnan(found.p), np.asarray(found.code) > 0)
        assert set(np.asarray(found.code).tolist()) <= set(schema.ANALYSIS_CODES)


SLOW = {"Cox", "RestrictedMean"}
DIFFERENCES = [
    pytest.param(kind, marks=pytest.mark.slow) if kind.__name__ in SLOW else kind
    for kind in [Means, Proportions, *KINDS]
    if "periods" not in kind.layouts  # those test equivalence
]


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_type_one_error_is_nominal(kind):
    """Both arms from one distribution: 5 % of 4,000 trials reject, within four Monte-Carlo errors."""
    arm, outcome, event = example(kind, 4000, 400, 2)

    @jax.jit
    @jax.vmap
    def p(y, e):
        return made(kind).compare(revealed(jnp.asarray(arm), y, event=e), 2, 0).p[1]

    found = p(jnp.asarray(outcome), jnp.asarray(event))
    assert abs(float((found < 0.05).mean()) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 4000)
