"""Trials of times to an event, through the engine: error rates, power, truth."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vtrial.design import AbstractDesign, Arm, DesignState, Events, chosen, fresh, revealed
from vtrial.dosing import Regimen
from vtrial.trial import Clock, Cox, Greatest, LogRank, Potential, RestrictedMean, Rules, Sites, conduct

ARM = Arm(Regimen("300 mg", "12 h", 4, "depot"))
TRIALS, PATIENTS, EVENTS = 2000, 160, 100


class Alternate(AbstractDesign):
    """Arms in turn, one look at a number of events."""

    sizes: tuple[int, ...] = eqx.field(static=True)
    timing: Events
    names: ClassVar = ("a", "b")
    arms: ClassVar = (ARM, ARM)
    periods: ClassVar[int] = 1
    spacing: ClassVar[str] = ""

    def init(self):
        return fresh(2)

    def allocate(self, key, state, seen, n):
        return (seen.next + jnp.arange(n)) % 2

    def decide(self, key, state, look):
        stop = jnp.asarray(True)
        return DesignState(chosen(key, look.merit), stop, look.comparison.p < look.alpha, jnp.asarray(0))

    def describe(self):
        return "in turn"


def conducted(ratio, analysis):
    """Trials that enrol over about 8 months, lose patients on the way, and look at 100 events.

    Median time to the event 12 months under arm a; the same patient's draw under both arms.
    """
    random = np.random.default_rng(6)
    draw = random.exponential(12 / math.log(2), (TRIALS, PATIENTS + 40, 1)) * np.array([1.0, 1 / ratio])
    lost = np.broadcast_to(random.exponential(120.0, (TRIALS, PATIENTS + 40, 1)), draw.shape)
    design, clock = Alternate((PATIENTS,), Events((EVENTS,))), Clock(np.asarray(200.0), "event")
    rules = Rules(design, analysis, Greatest(), Sites(10, "2 1/month"), clock, "month")
    return conduct(jax.random.key(2), rules, Potential(draw, lost, draw, {}))


def test_log_rank_holds_its_level_with_staggered_entry_and_losses():
    found = conducted(1.0, LogRank("a"))
    assert (np.asarray(found.event).sum(1) >= EVENTS).all()
    assert (np.asarray(found.event).sum(1) < PATIENTS).all()
    rejected = np.asarray(found.rejected)[:, 1].mean()
    assert abs(rejected - 0.05) < 4 * math.sqrt(0.05 * 0.95 / TRIALS)


def test_log_rank_has_schoenfelds_power():
    """Schoenfeld 1981, doi:10.1093/biomet/68.1.316: the statistic is normal about log(ratio) sqrt(events / 4)."""
    found = conducted(0.6, LogRank("a"))
    power = stats.norm.cdf(-math.log(0.6) * math.sqrt(EVENTS / 4) - stats.norm.isf(0.025))
    assert abs(np.asarray(found.rejected)[:, 1].mean() - power) < 4 * math.sqrt(power * (1 - power) / TRIALS)
    assert (np.asarray(found.comparison.statistic)[:, 1] > 0).mean() > 0.95  # later events, positive


@pytest.mark.slow
def test_coxs_interval_covers_the_true_ratio():
    found = conducted(0.6, Cox("a"))
    low, high = np.asarray(found.comparison.lower)[:, 1], np.asarray(found.comparison.upper)[:, 1]
    covered = ((low < math.log(0.6)) & (math.log(0.6) < high)).mean()
    assert abs(covered - 0.95) < 4 * math.sqrt(0.05 * 0.95 / TRIALS)


@pytest.mark.slow
def test_the_truth_is_over_the_follow_up_that_the_trial_had():
    """An effect that begins after eight months, in trials that end at about one: their ratio is nearer to none."""
    random, trials = np.random.default_rng(16), 500
    hazard, delay = math.log(2) / 12, 8.0
    draw = random.exponential(1 / hazard, (trials, PATIENTS + 3000, 1))
    late = np.where(draw > delay, delay + (draw - delay) / 0.4, draw)
    value = np.concatenate([draw, late], 2)
    design, clock = Alternate((PATIENTS,), Events((60,))), Clock(np.asarray(200.0), "event")
    rules = Rules(design, Cox("a"), Greatest(), Sites(10, "2 1/month"), clock, "month")
    found = conduct(jax.random.key(2), rules, Potential(value, np.full(value.shape, np.inf), value, {}))
    estimate, low, high = (np.asarray(getattr(found.comparison, n))[:, 1] for n in ("difference", "lower", "upper"))
    pursued, whole = np.asarray(found.pursued)[:, 1], np.asarray(found.effect)[:, 1]
    assert whole.mean() < pursued.mean() - 0.2 < -0.2
    off = estimate - pursued
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(trials)
    covered, by_whole = (((low <= t) & (t <= high)).mean() for t in (pursued, whole))
    # What 3,000 patients do not tell of the truth is 2 % of the variance of an estimate from 60 events.
    assert abs(covered - 0.948) < 4 * math.sqrt(0.05 * 0.95 / trials)
    assert by_whole < covered - 0.05


def potential(ratio, end):
    """Many patients under both arms, followed to the end; infinity for none by then."""
    draw = np.random.default_rng(9).exponential(size=(20_000, 2)) * np.array([1.0, 1 / ratio])
    return jnp.asarray(np.where(draw <= end, draw, np.inf))


@pytest.mark.parametrize("analysis", [LogRank("a"), Cox("a")])
def test_the_target_is_the_log_hazard_ratio(analysis):
    level, effect = jax.jit(analysis.target, static_argnums=1)(potential(0.6, 2.0), 0)
    events = 20_000 * (1 - np.exp(-np.array([2.0, 1.2])))
    assert effect[0] == 0
    assert abs(float(effect[1]) - math.log(0.6)) < 4 * math.sqrt((1 / events).sum())
    np.testing.assert_array_less(np.abs(level - np.array([1, 1 / 0.6])), 4 * np.array([1, 1 / 0.6]) / np.sqrt(events))


def test_the_target_of_restricted_means():
    """Of an exponential time with mean m within h: m (1 - exp(-h / m))."""
    level, effect = RestrictedMean("a", 1.5).target(potential(0.6, 2.0), 0)
    mean = np.array([1, 1 / 0.6])
    expected = mean * (1 - np.exp(-1.5 / mean))
    np.testing.assert_allclose(level, expected, atol=4 * 0.6 / math.sqrt(20_000))  # the SD is below 0.6
    assert effect[1] == pytest.approx(float(level[1] - level[0]))


def test_strata_and_covariates_take_away_what_they_explain():
    """A strong prognostic factor: stratified and adjusted analyses estimate the ratio within it, others less."""
    random = np.random.default_rng(12)
    arm, strong = np.arange(4000) % 2, random.integers(0, 2, 4000).astype(float)
    time = jnp.asarray(random.exponential(size=4000) / np.exp(math.log(0.6) * arm + 2 * strong))
    event, all_ = jnp.ones(4000, bool), {"strong": jnp.asarray(strong)}
    seen = revealed(jnp.asarray(arm), time, event=event, covariates=all_)
    analyses = Cox("a", adjust=("strong",)), LogRank("a", strata="strong", values=(0.0, 1.0)), LogRank("a")
    adjusted, stratified, plain = jax.jit(lambda s: [analysis.compare(s, 2, 0) for analysis in analyses])(seen)
    assert abs(float(adjusted.difference[1]) - math.log(0.6)) < 4 * 2 / math.sqrt(4000)
    assert float(stratified.statistic[1]) > float(plain.statistic[1]) > 0


def test_follow_up_that_ends_before_the_horizon_is_told():
    arm, time = jnp.arange(20) % 2, jnp.linspace(0.1, 2.0, 20)
    seen = revealed(arm, time, event=jnp.arange(20) < 12)
    beyond, within = jax.jit(lambda s: [RestrictedMean("a", h).compare(s, 2, 0).code for h in (1.95, 1.8)])(seen)
    assert beyond.tolist() == [5, 5]
    assert within.tolist() == [0, 0]
