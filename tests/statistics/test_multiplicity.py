"""Multiplicity: R's p.adjust, gMCP and multcomp, the properties of closed tests, and the level by simulation."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from vtrial.errors import UserError
from vtrial.statistics import dunnett
from vtrial.statistics.multiplicity import (
    AbstractProcedure,
    Bonferroni,
    Fallback,
    FixedSequence,
    Graph,
    Hochberg,
    Holm,
    Hommel,
)

P = (0.011, 0.02, 0.03, 0.04, 0.2)
"""Adjusted by R 4.2.2 p.adjust."""
RANDOM = np.random.default_rng(1).uniform(size=(50, 5)) ** 2


def said(value) -> str:
    return value.describe() if isinstance(value, AbstractProcedure) else ""


def complete(m: int) -> Graph:
    """Holm's procedure as a graph: each rejected hypothesis shares its level equally."""
    return Graph((1 / m,) * m, tuple(tuple(row) for row in ((1 - np.eye(m)) / (m - 1)).tolist()))


@pytest.mark.parametrize(
    ("procedure", "adjusted"),
    [
        (Bonferroni(), (0.055, 0.1, 0.15, 0.2, 1.0)),
        (Holm(), (0.055, 0.08, 0.09, 0.09, 0.2)),
        (Hochberg(), (0.055, 0.08, 0.08, 0.08, 0.2)),
        (Hommel(), (0.05, 0.06, 0.06, 0.08, 0.2)),
    ],
    ids=said,
)
def test_adjusted_as_in_r(procedure, adjusted):
    shuffled = np.array([3, 0, 4, 2, 1])
    found = jax.jit(procedure.adjust)(jnp.asarray(P)[shuffled])
    np.testing.assert_allclose(found, np.array(adjusted)[shuffled], atol=1e-12)
    assert procedure.describe()


@pytest.mark.parametrize(
    ("graph", "p", "adjusted"),
    [
        (
            Graph((0.5, 0.5, 0, 0), ((0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 0, 0), (1, 0, 0, 0))),
            (0.018, 0.01, 0.105, 0.006),
            (0.02, 0.02, 0.105, 0.02),
        ),
        (complete(4), (0.011, 0.02, 0.03, 0.04), (0.044, 0.06, 0.06, 0.06)),
    ],
)
def test_graph_as_in_gmcp(graph, p, adjusted):
    graph.check(4)
    np.testing.assert_allclose(graph.adjust(jnp.asarray(p)), adjusted, atol=1e-12)


def simes(p, members):
    ordered = np.sort(p[list(members)])
    return min(len(ordered) * ordered / np.arange(1, len(ordered) + 1))


def test_hommel_is_the_closed_simes_test():
    adjust = jax.jit(Hommel().adjust)
    for p in RANDOM[:12]:
        sets = [s for k in range(1, 6) for s in combinations(range(5), k)]
        closed = [max(simes(p, s) for s in sets if i in s) for i in range(5)]
        np.testing.assert_allclose(adjust(jnp.asarray(p)), closed, atol=1e-12)


@pytest.mark.parametrize(
    ("special", "graph"),
    [
        (Holm(), complete(5)),
        (FixedSequence(), Graph((1, 0, 0, 0, 0), tuple(map(tuple, np.eye(5, k=1).tolist())))),
        (Fallback((1.0, 0, 0, 0, 0)), FixedSequence()),
        (Bonferroni(), Graph((0.2,) * 5, ((0.0,) * 5,) * 5)),
    ],
    ids=said,
)
def test_special_graphs_batched_and_looped(special, graph):
    batched = jax.vmap(graph.adjust)(jnp.asarray(RANDOM))
    np.testing.assert_allclose(jax.vmap(special.adjust)(jnp.asarray(RANDOM)), batched, atol=1e-12)
    np.testing.assert_array_equal(graph.adjust(jnp.asarray(RANDOM[0])), batched[0])


@pytest.mark.parametrize(
    "procedure",
    [Bonferroni(), Holm(), Hochberg(), Hommel(), FixedSequence(), Fallback((0.2,) * 5), complete(5)],
    ids=said,
)
def test_what_could_not_be_tested_counts_as_no_evidence(procedure):
    p = jnp.asarray([0.001, jnp.nan, 0.2, 0.01, 0.04])
    adjust = jax.jit(procedure.adjust)
    found = adjust(p)
    assert np.isnan(found).tolist() == np.isnan(p).tolist()
    np.testing.assert_array_equal(found[0], adjust(p.at[1].set(1.0))[0])
    assert np.isnan(adjust(jnp.full(5, jnp.nan))).all()


@pytest.mark.parametrize(
    ("statistic", "p"), [(2.5251295396, 0.027536274928), (3.7175518222, 0.00097802815838)], ids=["M", "H"]
)
def test_dunnett_as_in_multcomp(statistic, p):
    """Warpbreaks by tension, two-sided, 51 degrees of freedom (R, multcomp)."""
    half, both = jnp.asarray([0.5, 0.5]), jnp.asarray([True, True])
    assert dunnett.greatest_t(jnp.asarray(statistic), half, both, 51.0, True) == pytest.approx(p, abs=1e-10)


def test_dunnett_with_known_variance_is_the_multivariate_normal():
    share = np.array([0.5, 0.3, 0.6])
    correlation = np.sqrt(np.outer(share, share))
    np.fill_diagonal(correlation, 1.0)
    normal = multivariate_normal(np.zeros(3), correlation, maxpts=1_000_000, abseps=1e-7, seed=1)
    found = dunnett.greatest(jnp.asarray(2.1), jnp.asarray(share), jnp.ones(3, bool))
    assert found == pytest.approx(1 - normal.cdf(np.full(3, 2.1)), abs=2e-6)
    # Step-down: the smallest p in the whole family, the greatest alone.
    z = jnp.asarray([2.1, 0.4, jnp.nan])
    adjusted = dunnett.adjusted(z, jnp.asarray(share), jnp.ones(3, bool))
    assert adjusted[0] == pytest.approx(float(found))
    assert np.isnan(adjusted[2])
    assert dunnett.critical((0.5, 0.5, 0.5), 0.025) == pytest.approx(2.349, abs=5e-4)  # Dunnett 1964, infinite df


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Graph((0.5, 0.5), ((0, 1),)), "2 rows of 2"),
        (lambda: Graph((0.5, 0.6), ((0, 1), (1, 0))), "sum to 1"),
        (lambda: Graph((0.5, 0.5), ((0.5, 0.5), (1, 0))), "diagonal"),
        (lambda: complete(3).check(4), "3 hypotheses, but there are 4"),
        (lambda: Fallback((0.9, 0.2)), "sum to 1"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
