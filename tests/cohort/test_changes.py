"""Changes of treatment one after the other: closed forms, laws of their times, causality, and the first alone."""

from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest
from scipy import stats

from tests.cohort.test_consequences import INFUSIONS, told
from tests.cohort.test_outcomes import HIGH, KEY, LOW, posterior
from tests.cohort.test_recruit import draws
from vtrial.cohort import (
    Bootstrap,
    Event,
    Leave,
    Recruitment,
    Rescue,
    Stop,
    Switch,
    Treatment,
    UniformDeviation,
    recruit,
    simulate,
)
from vtrial.design import Arm
from vtrial.endpoint import Measured, Visits, Window

OTHER = Arm(HIGH.regimen, factors={"CL": 1.4, "VC": 0.9})
ARMS = {"low": LOW, "other": OTHER}
ENDS = {
    "sample": Measured(Window("concentration", "48 h")),
    "seen": Visits(Window("concentration", "2 h", "48 h", 24)),
}
EVENTS = {
    "slow": Event("0.03 1/h", "concentration", 0.1, then=Rescue(factors={"CL": 0.6, "VC": 1.2})),
    "stop": Event("0.02 1/h"),
    "to_other": Event("0.03 1/h", then=Switch("other")),
    "back": Event("0.04 1/h", then=Switch("low", afresh=True)),
    "fast": Event("0.02 1/h", endpoint="seen", slope=-0.1, then=Rescue(INFUSIONS, {"CL": 1.5})),
}
FACTORS = {"slow": {"CL": 0.6, "VC": 1.2}, "fast": {"CL": 1.5}}
CHANGED = tuple(EVENTS)
WINDOW = UniformDeviation("1 h", "0.9 h")


@pytest.fixture(scope="module")
def cohort(statistical, data):
    return recruit(jax.random.key(0), Recruitment(4, 50, Bootstrap()), draws(), statistical, data)


@pytest.fixture(scope="module")
def run(cohort, statistical):
    """Return a function from a course to outcomes."""

    def outcomes(course, arms=ARMS):
        return simulate(
            KEY, cohort, tuple(arms.values()), ENDS, posterior(), statistical, course=course, names=(*arms,)
        )

    return outcomes


@pytest.fixture(scope="module")
def found(run):
    return run(Treatment(events=EVENTS, visits=WINDOW))


def happened(found, place):
    """Return what happened to a patient, in order."""
    times = {name: float(found.fate[f"event_{name}"][place]) for name in CHANGED if f"event_{name}" in found.fate}
    return dict(sorted(((n, t) for n, t in times.items() if np.isfinite(t)), key=lambda pair: pair[1]))


def given(arm, times):
    """Return doses and infusions of a patient who began in an arm, and when factors of which parameters begin."""
    stretches, now, factors, infusions = [], (arm, 0.0, 0.0), [(0.0, ARMS[arm].factors)], []
    for name, time in times.items():
        if name in ("stop", "to_other", "back"):
            stretches, now = [*stretches, *([(*now, time)] if now else [])], None
        if name == "to_other":
            now = ("other", 0.0, time)
        if name == "back":
            now = ("low", time, time)
        if name in ("to_other", "back"):
            factors.append((time, ARMS[now[0]].factors))
        if name == "fast":
            infusions = [(time + 6.0 * k, time + 6.0 * k + 2.0, 50.0) for k in range(3)]
    stretches += [(*now, np.inf)] if now else []
    doses = [
        (origin + 12.0 * k, 200.0 if name == "low" else 400.0)
        for name, origin, start, end in stretches
        for k in range(4)
        if start <= origin + 12.0 * k < end
    ]
    return doses, infusions, factors


def expected(p, arm, times, until):
    """Walk a patient's amounts from one change, dose or end of infusion to the next; return the concentration."""
    doses, infusions, of_arm = given(arm, times)
    marks = sorted({0.0, until, *times.values(), *(t for t, _ in doses), *(t for i in infusions for t in i[:2])})
    depot = central = 0.0

    def now(name, time):
        own = [factors for t, factors in of_arm if t < time or t == 0][-1]
        rescue = [FACTORS[n].get(name, 1.0) for n, t in times.items() if n in FACTORS and t < time]
        return p[name] * own.get(name, 1.0) * np.prod(rescue)

    for start, end in pairwise(m for m in marks if m <= until):
        depot += sum(amount for t, amount in doses if t == start)
        k, ka, dt = now("CL", end) / now("VC", end), p["KA"], end - start
        rate = sum(r for a, b, r in infusions if a <= start < b)
        passed = depot * ka / (ka - k) * (np.exp(-k * dt) - np.exp(-ka * dt))
        central = central * np.exp(-k * dt) + passed + rate / k * (1 - np.exp(-k * dt))
        depot *= np.exp(-ka * dt)
    return central / now("VC", until)


def test_any_changes_in_any_order_are_the_closed_form(cohort, found):
    """Doses of each stretch by hand, piecewise constant CL and VC, at the real times of visits."""
    orders, switched = set(), 0
    for place in np.ndindex(found.code.shape):
        r, s, arm = place
        times, p = happened(found, place), {n: float(v[r, s]) for n, v in cohort.parameters.items()}
        orders.add((arm, *times))
        switched += {"to_other", "back"} <= set(times)
        for time, value in list(zip(found.fate["visited_seen"][place], found.values["seen"][place], strict=True))[::4]:
            assert value == pytest.approx(expected(p, tuple(ARMS)[arm], times, time), rel=1e-7), (times, time)
    assert len(orders) > 100
    assert switched > 10
    assert max(len(order) for order in orders) == 6


def test_nobody_switches_to_where_he_is(found):
    for place in np.ndindex(found.code.shape):
        arm = tuple(ARMS)[place[2]]
        for name in happened(found, place):
            assert (arm, name) not in {("low", "back"), ("other", "to_other")}
            arm = {"to_other": "other", "back": "low"}.get(name, arm)


@pytest.mark.slow
def test_a_path_does_not_depend_on_what_comes_later(run, found):
    """Up to an event it is bit for bit that of the patient to whom this event does not happen, whatever came before."""
    for name in ("slow", "stop", "fast", "back"):
        never = EVENTS | {name: replace(EVENTS[name], rate="0 1/h")}
        other = run(Treatment(events=never, visits=WINDOW))
        when = found.fate[f"event_{name}"]
        before = found.fate["visited_seen"] <= when[..., None]
        np.testing.assert_array_equal(found.values["seen"][before], other.values["seen"][before])
        assert (found.values["seen"][~before] != other.values["seen"][~before]).mean() > 0.5
        for one in set(EVENTS) - {name}:
            mine, others = found.fate[f"event_{one}"], other.fate[f"event_{one}"]
            np.testing.assert_array_equal(np.where(mine < when, mine, np.inf), np.where(others < when, others, np.inf))


@pytest.mark.slow
def test_the_first_change_alone_is_what_it_is_of_several(run, found):
    """Bit for bit: its time and event, and the paths up to a second change, to the end of those without one."""
    first = run(Treatment(events=EVENTS, visits=WINDOW, changes=1))
    times = np.sort([found.fate[f"event_{name}"] for name in CHANGED], axis=0)
    for name in CHANGED:
        when = found.fate[f"event_{name}"]
        np.testing.assert_array_equal(first.fate[f"event_{name}"], np.where(when == times[0], when, np.inf))
    before = found.fate["visited_seen"] <= times[1][..., None]
    assert 0.2 < before.mean() < 0.8
    np.testing.assert_array_equal(first.values["seen"][before], found.values["seen"][before])
    for name in found.fate:
        if name.startswith(("hypothetical_", "on_treatment_")):
            np.testing.assert_array_equal(first.fate[name], found.fate[name])


def test_a_course_of_one_event_has_one_change_whatever_it_allows(run):
    one = {"slow": EVENTS["slow"], "leave": Event("0.01 1/h", then=Leave())}
    least, most = (run(Treatment(events=one, changes=changes)) for changes in (1, None))
    for name, value in (dict(least.values) | dict(least.fate)).items():
        np.testing.assert_array_equal(value, (dict(most.values) | dict(most.fate))[name])


RESCUE = Rescue(factors={"CL": 2.0})


def within(share, p):
    assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / 4000)


@pytest.mark.parametrize("then", [(Stop(), RESCUE), (RESCUE, Stop()), (RESCUE, RESCUE), (Switch("high"), RESCUE)])
def test_events_of_constant_hazards_are_independent(then):
    events = {name: Event(f"{rate} 1/h", then=one) for name, rate, one in zip("ab", (0.03, 0.01), then, strict=True)}
    found = told(Treatment(events=events), 0.0, 5.0)
    for t in (20.0, 60.0, 100.0):
        a, b = 1 - np.exp(-0.03 * t), 1 - np.exp(-0.01 * t)
        within((found["a"] <= t).mean(), a)
        within((found["b"] <= t).mean(), b)
        within(((found["a"] <= t) & (found["b"] <= t)).mean(), a * b)
    alone = {name: told(Treatment(events={name: event}), 0.0, 5.0)[name] for name, event in events.items()}
    for name, times in alone.items():
        np.testing.assert_allclose(found[name], times, rtol=1e-12)


def test_a_later_event_reads_the_path_after_the_first():
    """Hazard of b .01, and .01 e once a has come, of hazard .03: the law of b is in closed form, that of a its own.

    P(b > t) = exp(-.04 t) + int_0^t .03 exp(-.04 s) exp(-.01 e (t - s)) ds. The path changes between two points of the
    grid of .25, so that a probability may be off by .01 (e - 1) x .25 / 2.
    """
    events = {"a": Event("0.03 1/h", then=RESCUE), "b": Event("0.01 1/h", "concentration", 1.0, then=RESCUE)}
    found, b = told(Treatment(events=events), 0.0, 1.0), 0.01 * np.e
    for t in (10.0, 30.0, 60.0):
        p = np.exp(-0.04 * t) + 0.03 / (b - 0.04) * (np.exp(-0.04 * t) - np.exp(-b * t))
        assert abs((found["b"] > t).mean() - p) < 4 * np.sqrt(p * (1 - p) / 4000) + 0.0022
    within((found["a"] <= 30.0).mean(), 1 - np.exp(-0.9))


def test_changes_come_one_after_the_other_where_hazards_leap():
    """Hazards a thousand times greater after the first change: the second comes just after it, and never before."""
    events = {"a": Event("0.03 1/h", then=RESCUE), "b": Event("1e-5 1/h", "concentration", 1.0, then=RESCUE)}
    events |= {"c": Event("1e-5 1/h", "concentration", 1.0, then=Stop())}
    found = told(Treatment(events=events), 0.0, 12.0)
    after = np.isfinite(found["a"]) & (found["a"] < 95.0)
    for name in "bc":
        assert (found[name][after] >= found["a"][after]).mean() > 0.99
        assert np.isfinite(found[name][after]).all()
        assert (found[name][after] - found["a"][after]).mean() < 2.0


def test_a_hazard_is_not_met_while_the_event_cannot_happen():
    """Who is treated as low switches back from high alone: the hazard is met from the first switch on."""
    events = {"high": Event("0.05 1/h", then=Switch("high")), "back": Event("0.2 1/h", then=Switch("low"))}
    found = told(Treatment(events=events), 0.0, 5.0)
    assert (np.isinf(found["back"]) | (found["back"] > found["high"])).all()
    early = found["high"] < 50.0
    wait = found["back"][early] - found["high"][early]
    assert stats.kstest(wait[wait < 50.0], stats.truncexpon(10.0, scale=5.0).cdf).pvalue > 1e-4
    within(np.isfinite(found["high"]).mean(), 1 - np.exp(-5.0))


def test_who_has_stopped_may_switch_and_leave_but_does_not_stop_again():
    events = {"stop": Event("0.05 1/h"), "drop": Event("0.05 1/h", then=(Stop(), Leave())), "end": Event("0.05 1/h")}
    found = told(Treatment(events=events), 0.0, 5.0)
    stopped = np.isfinite(found["stop"])
    assert np.isinf(found["end"][stopped]).all()
    assert (np.isfinite(found["drop"]) & stopped).any()
    assert (found["drop"] > found["stop"])[stopped & np.isfinite(found["drop"])].all()
    within(stopped.mean(), (1 - np.exp(-15.0)) / 3)
    both = told(Treatment(events=events | {"high": Event("0.05 1/h", then=Switch("high"))}), 0.0, 5.0)
    again = np.isfinite(both["stop"]) & np.isfinite(both["end"])
    first, last = np.minimum(both["stop"], both["end"])[again], np.maximum(both["stop"], both["end"])[again]
    assert again.any()
    assert ((first < both["high"][again]) & (both["high"][again] < last)).all()
