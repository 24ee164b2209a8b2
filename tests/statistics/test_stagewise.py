"""Traced estimates after looks against the numpy ones, rpact, and integrals written out."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from vtrial.statistics.boundaries import Spending
from vtrial.statistics.estimates import final
from vtrial.statistics.futility import BetaSpending, plan
from vtrial.statistics.spending import OBrienFlemingSpending
from vtrial.statistics.stagewise import Course, root, stagewise

GOLD = json.loads((Path(__file__).parent / "data" / "rpact.json").read_text())["analysis"]
OF = Spending(OBrienFlemingSpending())
TAILS = jnp.asarray([0.025, 0.5, 0.975])
# One compilation for all: tests of two looks have one more that adds nothing.
_estimated = jax.jit(stagewise)


def estimated(course, last, z):
    more = 3 - len(course.share)
    padded = Course(*(jnp.insert(x, 1, x[0]) if more else x for x in course))
    return _estimated(padded, jnp.asarray(last + more * (last > 0)), jnp.asarray(z), TAILS)


def course(planned, error):
    """The plan as a course, for effects whose standard error at the end is `error`."""
    share = jnp.asarray(planned.shares)
    return Course(share, jnp.asarray(planned.futility), jnp.asarray(planned.efficacy), jnp.sqrt(share) / error)


def test_estimates_are_rpacts():
    """Two looks, effect .4 at the second; rpact finds limits to about 1e-7."""
    error = 0.4 / GOLD["testStat"][1]
    found = estimated(course(plan((0.5, 1.0), OF, 0.025), error), 1, 0.4 / error)
    np.testing.assert_allclose(found, [GOLD[n][1] for n in ("CIlow", "median", "CIup")], atol=1e-7)


@pytest.mark.parametrize(
    ("look", "z"), [(0, 3.1), (0, -1.0), (1, 2.5), (1, 0.9), (2, 2.3), (2, 0.4), (2, -2.0), (2, 4.5)]
)
def test_traced_estimates_equal_those_in_numpy(look, z):
    planned = plan((0.5, 0.75, 1.0), OF, 0.025, BetaSpending(OBrienFlemingSpending(), 0.1))
    expected = final(planned, look, z, 0.2 / np.sqrt(planned.shares[look]))
    found = estimated(course(planned, 0.2), look, z)
    np.testing.assert_allclose(found, [expected.lower, expected.median, expected.upper], atol=1e-7)


def test_a_second_stage_of_another_size_than_its_weight():
    """Weights of equal stages, information 16 and 40: the probability of more, integrated over the first stage."""
    weight, one, two, upper, lower, z = 0.5, 4.0, 40.0**0.5, 2.8, -0.3, 1.7
    both = weight**0.5 * one + (1 - weight) ** 0.5 * two
    given = Course(*map(jnp.asarray, ([weight, 1.0], [lower, -jnp.inf], [upper, 2.0], [one, both])))
    for p, effect in zip(TAILS, estimated(given, 1, z), strict=True):
        first, second = float(effect) * one, float(effect) * two

        def later(u, first=first, second=second):
            return norm.pdf(u - first) * norm.sf((z - weight**0.5 * u) / (1 - weight) ** 0.5 - second)

        total = norm.sf(upper - first) + quad(later, lower, upper)[0]
        assert total == pytest.approx(float(p), abs=1e-7)


def test_a_last_look_that_adds_nothing():
    """It has the estimate of the first look, had that been the only one; and that of no look there is none."""
    share, one = jnp.full(3, 0.5), jnp.ones(3)
    same = Course(share, -jnp.inf * one, 2.0 * one, one)
    np.testing.assert_allclose(estimated(same, 2, 1.5), 1.5 + norm.ppf(TAILS), atol=1e-9)
    assert np.isnan(estimated(same._replace(share=0 * share), 2, 1.5)).all()


def test_roots():
    found = jax.vmap(lambda c: root(lambda x: jnp.exp(x) - c, jnp.asarray(-9.0), jnp.asarray(9.0)))(TAILS)
    np.testing.assert_allclose(found, np.log(TAILS), atol=1e-9)
