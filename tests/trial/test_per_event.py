"""An estimand with a strategy for each event: identities against the plain ones, and truths in closed form."""

import jax
import numpy as np
import pytest

from tests.cohort.test_consequences import ARMS, ENDS, KEY, Bootstrap, Recruitment, draws, posterior, recruit
from vtrial.cohort import Die, Event, Leave, Rescue, Treatment, World, fates, simulate
from vtrial.errors import UserError
from vtrial.trial import (
    STRATEGIES,
    Composite,
    Hypothetical,
    Lived,
    PerEvent,
    PrincipalStratum,
    TreatmentPolicy,
    WhileOnTreatment,
    world_of,
)

EVENTS = {
    "stop": Event("0.02 1/h"),
    "rescue": Event("0.02 1/h", then=Rescue(factors={"CL": 1.5})),
    "leave": Event("0.01 1/h", then=Leave()),
    "death": Event("0.01 1/h", then=Die()),
}
KNOWN = {"sample": np.array(48.0), "seen": np.linspace(12.0, 48.0, 4)}
INTERCURRENT = ("stop", "rescue", "death")


@pytest.fixture(scope="module")
def patients(statistical, data):
    """Return a function from events and a world to what is lived, by endpoint."""
    cohort = recruit(jax.random.key(0), Recruitment(2, 25, Bootstrap()), draws(), statistical, data)

    def lived(events, world):
        course = Treatment(events=events)
        own = (ENDS, posterior(), statistical)
        found = simulate(KEY, cohort, tuple(ARMS.values()), *own, course=course, names=tuple(ARMS), world=world)
        assert set(found.fate) == set(fates(ENDS, course, world))
        return {name: _lived(found, name, events) for name in ENDS}

    return lived


def _lived(found, name, events):
    told, happens = found.fate, {n: found.fate[f"event_{n}"] for n in INTERCURRENT if n in events}
    there = {n: told[f"estimand_event_{n}"] for n in happens if f"estimand_event_{n}" in told}
    deadly, alive = ("death",) if "death" in events else (), told.get(f"alive_{name}", found.values[name])
    plain = (found.values[name], told[f"hypothetical_{name}"], told[f"on_treatment_{name}"], alive, told["until"])
    return Lived(*plain, happens, deadly, tuple(ARMS), False, told.get(f"estimand_{name}"), there)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_the_same_strategy_for_all_events_is_the_plain_one(patients, strategy):
    own = PerEvent(dict.fromkeys(INTERCURRENT, strategy))
    for name, found in patients(EVENTS, world_of(own, ("death",))).items():
        np.testing.assert_array_equal(own.target(found), strategy.target(found))
        np.testing.assert_array_equal(own.until(found), strategy.until(found))
        # What is not seen may differ: it is of the world that the estimand asks of.
        shown = KNOWN[name] <= strategy.until(found).reshape(found.until.shape + (1,) * KNOWN[name].ndim)
        np.testing.assert_array_equal(own.observed(found)[shown], strategy.observed(found)[shown])


@pytest.mark.slow
def test_a_hypothetical_event_is_a_run_without_it(patients):
    """Stopping and death count as they do; rescue is switched off, and what comes after it is not seen."""
    kept = {name: event for name, event in EVENTS.items() if name != "rescue"}
    own = PerEvent({"stop": TreatmentPolicy(), "rescue": Hypothetical(), "death": Composite(-3.0)})
    with_rescue, without = patients(EVENTS, world_of(own, ("death",))), patients(kept, None)
    for name, found in with_rescue.items():
        np.testing.assert_allclose(own.target(found), Composite(-3.0, ["death"]).target(without[name]), rtol=1e-12)
        assert not np.array_equal(own.target(found), Composite(-3.0, ["death"]).target(found))
        rescued = np.isfinite(found.events["rescue"]) & (without[name].events["death"] > found.events["rescue"])
        assert rescued.any()
        assert (own.until(found)[rescued] <= found.events["rescue"][rescued]).all()
        np.testing.assert_array_equal(own.observed(found), own.target(found))


@pytest.mark.slow
def test_a_second_change_counts_by_its_own_strategy(patients):
    """Hazards are constant: whoever is rescued and then stops is, had rescue not happened, who stops at the same time.

    A stop is a failure whether it comes first or after rescue: the share is that of the stops alone, 1 - exp(-.96).
    """
    both = {name: EVENTS[name] for name in ("stop", "rescue")}
    own = PerEvent({"stop": TreatmentPolicy(), "rescue": Hypothetical()})
    found, alone = patients(both, world_of(own))["sample"], patients({"stop": EVENTS["stop"]}, None)["sample"]
    stop, rescue = found.events["stop"], found.events["rescue"]
    second = np.isfinite(stop) & (rescue < stop)
    assert second.sum() > 10
    np.testing.assert_allclose(own.target(found), alone.actual, rtol=1e-12)
    np.testing.assert_array_equal(own.until(found), rescue)
    assert (own.target(found)[second] != TreatmentPolicy().target(found)[second]).all()
    # Two draws with their patients, the same under either arm: 50 of them.
    failed, p = Composite(-1.0, ["stop"]).target(found) == -1.0, 1 - np.exp(-0.96)
    np.testing.assert_array_equal(failed[second], True)
    assert abs(failed[..., 0].mean() - p) < 4 * np.sqrt(p * (1 - p) / 50)
    # While on treatment it is the course up to the first of both.
    first = {name: EVENTS[name] for name in both}
    once = patients(first, world_of(PerEvent(dict.fromkeys(both, WhileOnTreatment()))))["sample"]
    np.testing.assert_array_equal(once.asked, found.on_treatment)


def test_the_first_event_decides_what_counts():
    """While on treatment for stopping, a failure for death: death after stopping is no failure."""
    stop, death = np.array([[[1.0, 5.0, np.inf, np.inf]]]), np.array([[[2.0, 3.0, 4.0, np.inf]]])
    value, happens = np.full((1, 1, 4), 7.0), {"stop": stop, "death": death}
    gone = np.where(np.isfinite(death), np.nan, value)
    left, deadly, arms = np.full((1, 1, 4), 3.5), ("death",), tuple("abcd")
    found = Lived(gone, value, value, value, left, happens, deadly, arms, False, value, happens)
    own = PerEvent({"stop": WhileOnTreatment(), "death": Composite(-1.0)})
    assert own.world(("death",)) == World((), ("stop",))
    assert own.target(found).tolist() == [[[7.0, -1.0, -1.0, 7.0]]]
    assert own.until(found).tolist() == [[[np.inf, np.inf, 3.5, 3.5]]]
    assert own.describe() == "by event: stop: while on treatment, death: composite"


def test_a_stratum_by_one_event_keeps_the_others():
    """A tenth would stop and a fifth are rescued, each alone and under one arm; the stratum is without stoppers."""
    random = np.random.default_rng(3)
    shape = (1, 40_000, 2)
    stop, rescue = (np.where(random.random(shape) < p, 1.0, np.inf) for p in (0.1, 0.2))
    base = random.normal(size=shape)
    asked = base + np.array([0.0, 2.0]) - np.isfinite(stop)
    events = {"stop": stop, "rescue": rescue}
    never = np.full(shape, np.inf)
    actual, there = asked - np.isfinite(rescue), {"stop": stop}
    found = Lived(actual, base, base, base, never, events, (), ("a", "b"), False, asked, there)
    table = PerEvent({"stop": PrincipalStratum(), "rescue": Hypothetical()}).target(found)
    kept = np.isfinite(table[..., 0])
    assert abs(kept.mean() - 0.81) < 4 * np.sqrt(0.81 * 0.19 / 40_000)
    effect = (table[..., 1] - table[..., 0])[kept]
    assert abs(effect.mean() - 2.0) < 4 * effect.std() / np.sqrt(len(effect))


def test_events_are_named_by_the_mapping_alone():
    with pytest.raises(UserError, match=r"strategies\.stop names events itself"):
        PerEvent({"stop": Composite(only=["stop"])})
