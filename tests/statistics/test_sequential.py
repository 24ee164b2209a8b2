"""Group-sequential bounds, power and estimates against rpact (data/rpact.json) and the multivariate normal."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from vtrial.errors import UserError
from vtrial.statistics import interim
from vtrial.statistics.boundaries import HaybittlePeto, Spending, WangTsiatis
from vtrial.statistics.conditional import conditional_power, predictive_power, second_critical, trend
from vtrial.statistics.estimates import final, repeated_interval, repeated_p, stagewise_p
from vtrial.statistics.futility import (
    BetaSpending,
    FixedFutility,
    beta_bounds,
    inflation,
    performance,
    plan,
    planned_drift,
)
from vtrial.statistics.recursion import crossing
from vtrial.statistics.spending import GammaSpending, OBrienFlemingSpending, PocockSpending, PowerSpending

GOLD = json.loads((Path(__file__).parent / "data" / "rpact.json").read_text())
OF = Spending(OBrienFlemingSpending())
BOUNDARIES = {
    "OF5": WangTsiatis(0.0),
    "P5": WangTsiatis(0.5),
    "WT025": WangTsiatis(0.25),
    "asOF": OF,
    "asP": Spending(PocockSpending()),
    "asHSDm4": Spending(GammaSpending(-4.0)),
    "asKD3": Spending(PowerSpending(3.0)),
}
LOOKS = (0.5, 0.75, 1.0)
CLOSE = 5e-8
"""rpact finds critical values to about 3e-8."""


@pytest.mark.parametrize(("name", "boundary"), BOUNDARIES.items())
def test_critical_values_and_spent_level(name, boundary):
    gold = GOLD[name]
    bounds = boundary.bounds(gold["informationRates"], 0.025)
    np.testing.assert_allclose(bounds, gold["criticalValues"], atol=CLOSE)
    none = np.full(len(bounds), -np.inf)
    spent = crossing(gold["informationRates"], none, bounds).upper.cumsum()
    np.testing.assert_allclose(spent, gold["alphaSpent"], atol=2e-8)
    assert spent[-1] == pytest.approx(0.025, abs=1e-12)
    assert boundary.describe()


def test_two_sided_boundary_is_symmetric():
    gold = GOLD["asOF_2s"]
    bounds = OF.bounds(gold["informationRates"], 0.025, symmetric=True)
    np.testing.assert_allclose(bounds, gold["criticalValues"], atol=CLOSE)


def test_haybittle_peto_uses_what_is_left():
    bounds = HaybittlePeto(3.0).bounds(LOOKS, 0.025)
    assert crossing(LOOKS, [-np.inf] * 3, bounds).upper.sum() == pytest.approx(0.025, abs=1e-12)
    with pytest.raises(UserError, match="uses up the level"):
        HaybittlePeto(1.5).bounds(LOOKS, 0.025)


def test_crossing_is_that_of_the_multivariate_normal():
    """The probability of no crossing is that of a box under the normal with correlation sqrt(t_i / t_j)."""
    t, low, high, drift = np.array([0.2, 0.5, 0.6, 1.0]), [-0.4, 0.1, 0.5, 1.0], [3.0, 2.5, 2.4, 2.1], 1.3
    correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    normal = multivariate_normal(drift * np.sqrt(t), correlation, maxpts=2_000_000, abseps=1e-7, seed=1)
    found = crossing(t, low, high, drift)
    assert 1 - (found.upper + found.lower).sum() == pytest.approx(normal.cdf(high, lower_limit=low), abs=2e-6)


def test_futility_by_beta_spending():
    gold = GOLD["asOF_bsOF_nonbinding"]
    found = plan(LOOKS, OF, 0.025, BetaSpending(OBrienFlemingSpending(), 0.1))
    np.testing.assert_allclose(found.efficacy, gold["criticalValues"], atol=CLOSE)
    np.testing.assert_allclose(found.futility[:-1], gold["futilityBounds"], atol=2e-7)
    _, drift = beta_bounds(LOOKS, found.efficacy, OBrienFlemingSpending(), 0.1)
    np.testing.assert_allclose(performance(found, drift).rejecting.cumsum(), gold["power"], atol=1e-7)


@pytest.mark.parametrize("boundary", [OF, WangTsiatis(0.0), WangTsiatis(0.5)], ids=str)
def test_binding_futility_keeps_level_and_power(boundary):
    found = plan(LOOKS, boundary, 0.025, BetaSpending(PocockSpending(), 0.2, binding=True))
    _, drift = beta_bounds(LOOKS, found.efficacy, PocockSpending(), 0.2)
    assert performance(found, 0.0).power == pytest.approx(0.025, abs=1e-9)
    assert performance(found, drift).power == pytest.approx(0.8, abs=1e-9)
    assert (found.efficacy <= boundary.bounds(LOOKS, 0.025) + 1e-9).all()
    missed = performance(found, drift).stopping.cumsum()
    np.testing.assert_allclose(missed, PocockSpending().spent(jnp.asarray(LOOKS[:-1]), 0.2), atol=1e-9)


def test_characteristics():
    gold, found = GOLD["char_asOF"], plan(LOOKS, OF, 0.025)
    drift, factor = planned_drift(found, 0.9), inflation(found, 0.025, 0.9)
    assert drift**2 == pytest.approx(gold["shift"], abs=1e-6)
    assert factor == pytest.approx(gold["inflationFactor"], abs=1e-8)
    there, nothing = performance(found, drift), performance(found, 0.0)
    np.testing.assert_allclose(there.rejecting, gold["rejectionProb"], atol=1e-8)
    assert there.share * factor == pytest.approx(gold["ASN_H1"], abs=1e-8)
    assert nothing.share * factor == pytest.approx(gold["ASN_H0"], abs=1e-8)
    fifths = np.linspace(0.2, 1, 5)
    for name, family in (("P5", WangTsiatis(0.5)), ("OF5", WangTsiatis(0.0))):
        assert inflation(plan(fifths, family, 0.025), 0.025, 0.9) == pytest.approx(GOLD["inflation"][name], abs=1e-7)


@pytest.mark.parametrize("case", range(3))
def test_power_for_means(case):
    """200 patients, standard deviation 1: the drift is effect x sqrt(200 / 4)."""
    gold = GOLD["powerMeans"]
    found = performance(plan(LOOKS, OF, 0.025), gold["alt"][case] * np.sqrt(50))
    assert found.power == pytest.approx(gold["overallReject"][case], abs=1e-7)
    assert found.share * 200 == pytest.approx(gold["expN"][case], abs=1e-5)
    np.testing.assert_allclose(found.rejecting, np.array(gold["rejectPerStage"])[:, case], atol=1e-7)


def test_estimates_after_the_trial():
    """Two looks; effect .45 with standard error .2 at the first, and .4 at the second."""
    gold, halves = GOLD["analysis"], plan((0.5, 1.0), OF, 0.025)
    error = 0.4 / gold["testStat"][1]
    found = final(halves, 1, gold["testStat"][1], error)
    assert found.p == pytest.approx(gold["finalP"][1], abs=1e-8)
    assert found.median == pytest.approx(gold["median"][1], abs=1e-7)
    assert (found.lower, found.upper) == pytest.approx((gold["CIlow"][1], gold["CIup"][1]), abs=1e-7)
    for look, (estimate, spread) in enumerate(((0.45, 0.2), (0.4, error))):
        interval = repeated_interval(estimate, spread, halves.efficacy[look])
        assert interval == pytest.approx((gold["rCIl"][look], gold["rCIu"][look]), abs=1e-7)
        p = repeated_p((0.5, 1.0), OF, look, gold["testStat"][look])
        assert p == pytest.approx(gold["repP"][look], abs=1e-6)


def test_stagewise_p_is_uniform_at_the_boundary():
    """A statistic at the last bound has the level spent as its p-value."""
    found = plan(LOOKS, OF, 0.025)
    for look, spent in enumerate(GOLD["asOF"]["alphaSpent"]):
        assert stagewise_p(found, look, float(found.efficacy[look])) == pytest.approx(spent, abs=2e-8)


def test_conditional_power():
    """Statistic 1.5 after 100 of 200 patients, effect .3: the drift is .3 sqrt(50); and what follows from it."""
    critical = float(plan((0.5, 1.0), OF, 0.025).efficacy[1])
    power = conditional_power(1.5, 0.5, critical, 0.3 * np.sqrt(50))
    assert power == pytest.approx(GOLD["condPower"][1], abs=1e-8)
    # A statistic that the trend carries exactly to the bound has an even chance.
    z = critical * np.sqrt(0.5)
    assert conditional_power(z, 0.5, critical, trend(z, 0.5)) == pytest.approx(0.5)
    assert predictive_power(z, 0.5, critical) == pytest.approx(0.5)
    # Averaged over the posterior of the drift, N(trend, 1 / share).
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    mean = weights @ conditional_power(1.5, 0.4, 2.0, trend(1.5, 0.4) + nodes / np.sqrt(0.4)) / weights.sum()
    assert predictive_power(1.5, 0.4, 2.0) == pytest.approx(float(mean), abs=1e-9)
    assert second_critical(1.5, 0.5, 2.0) == pytest.approx((2.0 - np.sqrt(0.5) * 1.5) / np.sqrt(0.5))


def test_the_reference_by_the_observed_trend_is_a_misprint():
    """TRIALS.md has .4831684 for z 1.4 at half, from a tutorial on conditional power and re-estimation in R.

    By the tutorial's own formula, 1 - Phi((z_alpha - z / sqrt t) / sqrt(1 - t)) with z_alpha 1.959964, it is .51125;
    nor do its other printed values (.09582 for z .8, 2.867e-6 for z -1) follow from that formula.
    """
    for z, printed in ((1.4, 0.4831684), (0.8, 0.09582), (-1.0, 2.867e-6)):
        formula = norm.sf((norm.isf(0.025) - z / np.sqrt(0.5)) / np.sqrt(0.5))
        found = float(conditional_power(z, 0.5, norm.isf(0.025), trend(z, 0.5)))
        assert found == pytest.approx(formula, rel=1e-9)
        assert abs(found / printed - 1) > 0.05
    assert float(conditional_power(1.4, 0.5, norm.isf(0.025), trend(1.4, 0.5))) == pytest.approx(0.511246, abs=1e-5)


@pytest.mark.parametrize(
    ("shares", "accuracy"),
    [((0.5, 0.75, 1.0), 1e-12), ((0.1, 0.2, 0.3, 0.4, 1.0), 1e-12), ((0.48, 0.5, 1.0), 1e-7), ((0.3, 0.31, 1.0), 1e-4)],
)
def test_traced_bounds_equal_those_in_numpy(shares, accuracy):
    def bounds(shares, alpha):
        def look(front, share):
            upper, front = interim.spend(front, share, OF.spending.spent(share, alpha))
            return front, upper

        return jax.lax.scan(look, interim.start(), shares)[1]

    levels = jnp.asarray([0.025, 0.0125])
    found = jax.jit(jax.vmap(bounds, in_axes=(None, 0)))(jnp.asarray(shares), levels)
    for level, row in zip(levels, found, strict=True):
        np.testing.assert_allclose(row, OF.bounds(shares, float(level)), atol=accuracy)


def test_a_look_without_information_spends_nothing():
    spend = jax.jit(interim.spend)
    upper, front = spend(interim.start(), jnp.asarray(0.5), jnp.asarray(0.01))
    for share in (0.5, 0.4, jnp.nan):
        bound, after = spend(front, jnp.asarray(share), jnp.asarray(0.02))
        assert bound == jnp.inf
        assert all((a == b).all() for a, b in zip(after, front, strict=True))
    assert upper == pytest.approx(2.3263478740408408)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OF.bounds((0.5, 0.4, 1.0), 0.025), "go up"),
        (lambda: OF.bounds((0.5, 0.9), 0.025), "to 1"),
        (lambda: OF.bounds(LOOKS, 0.6), "one-sided level"),
        (lambda: WangTsiatis(3.0), "delta"),
        (lambda: HaybittlePeto(-1.0), "above 0"),
        (lambda: PowerSpending(0.0), "positive"),
        (lambda: GammaSpending(float("nan")), "number"),
        (lambda: BetaSpending(PocockSpending(), 1.0), "between 0 and 1"),
        (lambda: plan(LOOKS, OF, 0.025, FixedFutility((0.0,))), "3 looks need 2"),
        (lambda: plan(LOOKS, OF, 0.025, FixedFutility((0.0, 4.0))), "below the efficacy"),
        (lambda: planned_drift(plan(LOOKS, OF, 0.025), 0.01), "Power"),
        (lambda: final(plan(LOOKS, OF, 0.025), 3, 2.0, 0.1), "looks 0 to 2"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
