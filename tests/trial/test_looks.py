"""The trial engine in calendar time: arrivals, what is seen when, looks, and stopping."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vtrial.design import AbstractDesign, AfterEach, Arm, DesignState, Events, Information, chosen, fresh
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.trial import AbstractAnalysis, AtOnce, Clock, Greatest, Means, Potential, Rules, Sites, conduct
from vtrial.trial.potential import progress, reveal

ARM = Arm(Regimen("300 mg", "12 h", 4, "depot"))
RANDOM = np.random.default_rng(4)


class Alternate(AbstractDesign):
    """Arms in turn; stops at the look `end`."""

    sizes: tuple[int, ...] = eqx.field(static=True)
    timing: AfterEach | Events | Information
    end: int
    names: ClassVar = ("a", "b")
    arms: ClassVar = (ARM, ARM)
    periods: ClassVar[int] = 1
    spacing: ClassVar[str] = ""

    def init(self):
        return fresh(2, jnp.asarray(0))

    def allocate(self, key, state, seen, n):
        return (seen.next + jnp.arange(n)) % 2

    def decide(self, key, state, look):
        return DesignState(
            chosen(key, look.merit), look.number >= self.end, look.comparison.p < 0.05, look.number, state.memory + 1
        )

    def describe(self):
        return "in turn"


def trial(design, value, layout="value", delay=10.0, until=None, enrolment=None):
    rules = Rules(design, Means("a"), Greatest(), enrolment or AtOnce(), Clock(np.asarray(delay), layout), "week")
    until = np.full(value.shape[:3], np.inf) if until is None else until
    return conduct(jax.random.key(3), rules, Potential(value, until, value, {}))


@pytest.mark.parametrize(("sizes", "end", "count"), [((6, 6, 6), 1, 12), ((6, 6, 6), 2, 18), ((4, 8, 8), 1, 12)])
def test_enrolment_waits_for_each_look_and_ends_with_the_trial(sizes, end, count):
    value = RANDOM.normal(size=(3, 40, 2))
    found = trial(Alternate(sizes, AfterEach(), end), value)
    assert (np.asarray(found.arm) >= 0).sum(1).tolist() == [count] * 3
    # Everybody enters at once after each look, 10 weeks after the one before.
    np.testing.assert_array_equal(found.duration, 10.0 * (end + 1))
    np.testing.assert_array_equal(found.look, end)
    np.testing.assert_array_equal(np.nanmax(found.entered, 1), 10.0 * end)
    shown = value[:, np.arange(count), np.arange(count) % 2]
    np.testing.assert_array_equal(np.asarray(found.outcome)[:, :count], shown)


def test_a_look_at_half_the_information_sees_half_and_keeps_who_has_entered():
    value = RANDOM.normal(size=(50, 200, 2))
    steady = Sites(1, "1 1/week")
    found = trial(Alternate((80, 0), Information((0.5, 1.0)), 0), value, enrolment=steady)
    known, entered = np.isfinite(found.outcome).sum(1), (np.asarray(found.arm) >= 0).sum(1)
    assert (known == 40).all()
    # Those who entered within the 10 weeks before the look are in the trial and not known: 10 on average.
    assert abs((entered - known).mean() - 10) < 4 * np.sqrt(10 / 50)
    late = np.asarray(found.entered)[np.isfinite(found.outcome)]
    assert (late + 10.0 <= np.repeat(found.duration, known)).all()


def test_events_are_followed_to_the_look_to_dropout_or_to_the_end():
    value = RANDOM.exponential(20.0, size=(40, 150, 2))
    until = RANDOM.exponential(40.0, size=(40, 150, 2))
    found = trial(Alternate((100, 0), Events((20, 30)), 1), value, "event", 52.0, until, Sites(2, "2 1/week"))
    assert (np.asarray(found.event).sum(1) == 30).all()
    arm = np.asarray(found.arm)
    there = arm >= 0
    mine = np.take_along_axis(value[:, :100], np.maximum(arm, 0)[..., None], 2)[..., 0]
    limit = np.minimum(np.take_along_axis(until[:, :100], np.maximum(arm, 0)[..., None], 2)[..., 0], 52.0)
    happened = (mine <= limit) & (np.asarray(found.entered) + mine <= np.asarray(found.duration)[:, None])
    limit = np.minimum(limit, np.asarray(found.duration)[:, None] - np.asarray(found.entered))
    np.testing.assert_allclose(np.asarray(found.outcome)[there], np.minimum(mine, limit)[there])
    np.testing.assert_array_equal(np.asarray(found.event)[there], happened[there])


def test_visits_are_seen_until_the_patient_leaves():
    value = RANDOM.normal(size=(2, 30, 2, 3))
    until = np.full((2, 30, 2), np.inf)
    until[:, 4] = 5.0
    rules = Rules(
        Alternate((8,), AfterEach(), 0), Last(), Greatest(), AtOnce(), Clock(np.array([1.0, 4, 8]), "visits"), "week"
    )
    found = conduct(jax.random.key(0), rules, Potential(value, until, value, {}))
    assert (
        np.isfinite(found.outcome[:, :8]).all(0)[:, :].tolist()
        == [[True] * 3] * 4 + [[True, True, False]] + [[True] * 3] * 3
    )
    assert (np.asarray(found.duration) == 8.0).all()


class Last(AbstractAnalysis):
    """Means of the last visit."""

    reference: ClassVar[str] = "a"
    alpha: ClassVar[float] = 0.05
    layouts: ClassVar[tuple[str, ...]] = ("visits",)
    binary: ClassVar[bool] = False

    def covariates(self):
        return ()

    def unit(self, unit):
        return unit

    def describe(self):
        return "last visit"

    def compare(self, seen, arms, reference):
        return Means("a").compare(eqx.tree_at(lambda s: s.outcome, seen, seen.outcome[:, -1]), arms, reference)

    def target(self, table, reference):
        return Means("a").target(table[..., -1], reference)


def test_a_visit_is_seen_when_it_really_happens():
    """Due at weeks 1 and 3: a patient who leaves at week 2 was seen at 2.5 by nobody, and at 1.9 he was."""
    time = np.array([[1.9, 3.2], [0.5, 2.8], [2.5, 3.0]])
    given = Potential(
        jnp.asarray([[[1.0, 2.0]]] * 3), jnp.asarray([[2.0], [np.inf], [2.0]]), jnp.zeros((3, 1, 2)), {}, time[:, None]
    )
    clock, zero = Clock(np.array([1.0, 3.0]), "visits"), jnp.zeros(3, int)
    early = reveal(given, clock, zero, jnp.zeros(3), jnp.asarray(1.0), jnp.asarray(3))
    np.testing.assert_array_equal(early.event, [[False, False], [True, False], [False, False]])
    late = reveal(given, clock, zero, jnp.zeros(3), jnp.asarray(9.0), jnp.asarray(3))
    np.testing.assert_array_equal(late.event, [[True, False], [True, True], [False, False]])
    np.testing.assert_array_equal(progress(given, clock, zero, jnp.zeros(3)).known, [2.0, 2.8, 2.0])


def test_arrivals_are_negative_binomial():
    """Published golden number: 20 sites, gamma(1.8) of mean 2 a month, 4 months: mean 160, P(150 or more) .62054154."""
    sites = Sites(20, "2 1/month", variation=1.8**-0.5)
    times = jax.jit(jax.vmap(lambda k: sites.arrivals(k, 330, "month")))(jax.random.split(jax.random.key(8), 4000))
    count = (np.asarray(times) <= 4.0).sum(1)
    law = stats.nbinom(1.8 * 20, 0.9 / (0.9 + 4.0))
    assert law.mean() == pytest.approx(160.0)
    assert abs(count.mean() - 160.0) < 4 * law.std() / np.sqrt(4000)
    p = 0.62054154
    assert abs((count >= 150).mean() - p) < 4 * np.sqrt(p * (1 - p) / 4000)


def test_sites_open_one_after_the_other():
    """Expected arrivals by time t are the sum over sites of rate times (t - opening)."""
    sites = Sites(4, "3 1/week", opening="8 week")
    times = np.asarray(jax.vmap(lambda k: sites.arrivals(k, 150, "week"))(jax.random.split(jax.random.key(1), 1500)))
    for t in (1.0, 5.0, 10.0):
        expected = sum(3.0 * max(t - o, 0.0) for o in (0.0, 2.0, 4.0, 6.0))
        assert abs((times <= t).sum(1).mean() - expected) < 4 * np.sqrt(expected / 1500)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Information((0.5, 0.4)).check(2), "must go up"),
        (lambda: Information((0.5, 0.9)).check(2), "to 1"),
        (lambda: Events((3,)).check(2), "1 entries, but the design has 2 looks"),
        (lambda: Events((0, 3)).check(2), "1 or more"),
        (lambda: Sites(0, "1 1/week"), "1 or more"),
        (lambda: Sites(1, "-1 1/week").arrivals(jax.random.key(0), 1, "week"), "must be positive"),
        (lambda: Sites(1, "1 week").arrivals(jax.random.key(0), 1, "week"), "enrolment.rate"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
