"""Analyses against SciPy and published numbers; the same table for all of them where the contract is common."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.helpers import finished
from vtrial.design import revealed
from vtrial.trial import AbstractAnalysis, Means, Proportions
from vtrial.trial.analyses.means import t_tail

RANDOM = np.random.default_rng(1)


def seen(*groups):
    arm = np.concatenate([np.full(len(g), i) for i, g in enumerate(groups)])
    return revealed(jnp.asarray(arm), jnp.asarray(np.concatenate(groups), float))


@pytest.mark.parametrize(("t", "df"), [(0.0, 5.0), (1.3, 4.2), (-2.5, 17.0), (12.0, 3.0)])
def test_t_tail_is_scipys(t, df):
    assert t_tail(jnp.asarray(t), jnp.asarray(df)) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-10)


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


@pytest.mark.parametrize("kind", finished(AbstractAnalysis))
def test_contract(kind):
    analysis = kind(reference="a")
    assert 0 < analysis.alpha < 1
    assert analysis.describe()
    outcome = RANDOM.integers(0, 2, (4, 30)).astype(float)
    arm = np.tile(np.arange(3), 10)
    many = jax.vmap(lambda y: analysis.compare(revealed(jnp.asarray(arm), y), 3, 0))(jnp.asarray(outcome))
    for i in range(4):
        one = analysis.compare(revealed(jnp.asarray(arm), jnp.asarray(outcome[i])), 3, 0)
        for name in ("count", "estimate", "error", "difference", "lower", "upper", "p"):
            np.testing.assert_allclose(getattr(many, name)[i], getattr(one, name), rtol=1e-12)
    # Against itself: no difference.
    assert (many.difference[:, 0] == 0).all()
    assert (many.p[:, 0] == 1).all()
    # A patient whose outcome is missing, or who was never enrolled, counts for nobody.
    y, a = outcome[0].copy(), arm.copy()
    y[3], a[4] = np.nan, -1
    kept = np.delete(np.arange(30), [3, 4])
    part = analysis.compare(revealed(jnp.asarray(a), jnp.asarray(y)), 3, 0)
    whole = analysis.compare(revealed(jnp.asarray(arm[kept]), jnp.asarray(outcome[0][kept])), 3, 0)
    np.testing.assert_allclose(part.p, whole.p, rtol=1e-12)
    # An arm that nobody was given is not known, the others are.
    empty = analysis.compare(revealed(jnp.asarray(np.where(arm == 2, 1, arm)), jnp.asarray(outcome[0])), 3, 0)
    assert np.isnan(empty.p[2])
    assert np.isfinite(empty.p[:2]).all()


@pytest.mark.parametrize("kind", finished(AbstractAnalysis))
def test_type_one_error_is_nominal(kind):
    """Both arms from one distribution: 5 % of 4,000 trials reject, within four Monte-Carlo errors."""
    outcome = np.random.default_rng(3).integers(0, 2, (4000, 400)).astype(float)
    arm = jnp.asarray(np.arange(400) % 2)
    p = jax.vmap(lambda y: kind(reference="a").compare(revealed(arm, y), 2, 0).p[1])(jnp.asarray(outcome))
    assert abs(float((p < 0.05).mean()) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 4000)
