"""Rescue, switch, stop, leave and death: the same patients with and without, against closed forms."""

from itertools import pairwise, permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.cohort.test_outcomes import ENDPOINTS, HIGH, KEY, LOW, posterior
from tests.cohort.test_recruit import draws
from vtrial.cohort import (
    Bootstrap,
    Die,
    Event,
    Leave,
    Recruitment,
    Rescue,
    Stop,
    Switch,
    Treatment,
    UniformDeviation,
    fates,
    recruit,
    simulate,
)
from vtrial.cohort.setting import Setting
from vtrial.cohort.story import tell
from vtrial.dosing import Regimen
from vtrial.endpoint import Visits, Window
from vtrial.errors import UserError

MODEL = OneCompartmentOral()
ARMS = {"low": LOW, "high": HIGH}
ENDS = {"sample": ENDPOINTS["sample"], "seen": Visits(Window("concentration", "12 h", "48 h", 4))}
WINDOW = UniformDeviation("3 h", "3 h")
INFUSIONS = Regimen("100 mg", "6 h", 3, "central", over="2 h")


def events(**factors):
    """Return one event of each kind; the rescue is infusions, and factors."""
    return {
        "stop": Event("0.01 1/h"),
        "rescue": Event("0.02 1/h", then=Rescue(INFUSIONS, factors)),
        "switch": Event("0.02 1/h", then=Switch("high")),
        "leave": Event("0.01 1/h", then=Leave()),
        "death": Event("0.01 1/h", then=Die()),
    }


EVENTS = events()
CHANGES = ("stop", "rescue", "switch")
ORDERS = tuple(permutations(CHANGES, 2))


@pytest.fixture(scope="module")
def cohort(statistical, data):
    return recruit(jax.random.key(0), Recruitment(4, 25, Bootstrap()), draws(), statistical, data)


@pytest.fixture(scope="module")
def run(cohort, statistical):
    """Return a function from a course to outcomes."""

    def outcomes(course):
        arms = tuple(ARMS.values())
        return simulate(KEY, cohort, arms, ENDS, posterior(), statistical, course=course, names=tuple(ARMS))

    return outcomes


@pytest.fixture(scope="module")
def found(run):
    return run(Treatment(events=EVENTS, visits=WINDOW))


def amounts(p, doses, infusions, change, factor, until):
    """Walk a patient's two amounts through doses (time, amount), infusions (start, end, rate) and a factor of CL."""
    marks = sorted({*(t for t, _ in doses), *(t for i in infusions for t in i[:2]), change, until})
    depot = central = 0.0
    for start, end in pairwise(marks):
        if start >= until:
            break
        depot += sum(amount for t, amount in doses if t == start)
        k, ka, dt = p["CL"] * (factor if start >= change else 1.0) / p["VC"], p["KA"], end - start
        rate = sum(r for a, b, r in infusions if a <= start < b)
        passed = depot * ka / (ka - k) * (np.exp(-k * dt) - np.exp(-ka * dt))
        central = central * np.exp(-k * dt) + passed + rate / k * (1 - np.exp(-k * dt))
        depot *= np.exp(-ka * dt)
    return central / p["VC"]


def expected(p, arm, happened, factor, until):
    """Return the concentration at a time of a patient in an arm to whom that happened, but for death."""
    stop, rescued, switch = (happened.get(name, np.inf) for name in ("stop", "rescue", "switch"))
    doses = [(12.0 * k, 200.0 * (arm + 1)) for k in range(4) if 12.0 * k < min(stop, switch, until)]
    doses += [
        (12.0 * k, 400.0) for k in range(4) if switch <= 12.0 * k < (until if stop < switch else min(stop, until))
    ]
    infusions = [(rescued + 6.0 * k, rescued + 6.0 * k + 2.0, 50.0) for k in range(3) if rescued + 6.0 * k < until]
    return amounts(p, doses, infusions, rescued, factor, until)


def check_closed_forms(cohort, found, factor):
    """Compare five patients of each kind, under either arm, at the real times of visits and at a sample.

    A patient is of every kind of which he has an event, and in `ORDERS` of each order in which two of them happened.
    """
    told = {name: found.fate[f"event_{name}"] for name in EVENTS}
    kinds = {name: [] for name in (*CHANGES, "nothing", *ORDERS)}
    for place in np.ndindex(found.code.shape):
        happened = {name: float(told[name][place]) for name in told if np.isfinite(told[name][place])}
        for name in [n for n in happened if n in kinds] or ["nothing"]:
            kinds[name].append((place, happened))
        for first, then in [o for o in ORDERS if set(o) <= set(happened) and happened[o[0]] < happened[o[1]]]:
            kinds[first, then].append((place, happened))
    for name, places in kinds.items():
        assert len(places) >= 5, name
        for place, happened in places[:5]:
            r, s, arm = place
            p = {n: float(v[r, s]) for n, v in cohort.parameters.items()}
            times = [*found.fate["visited_seen"][place], 48.0]
            seen = [*found.values["seen"][place], found.values["sample"][place]]
            for time, value in zip(times, seen, strict=True):
                dead = time > happened.get("death", np.inf)
                truth = np.nan if dead else expected(p, arm, happened, factor, time)
                assert value == pytest.approx(truth, rel=1e-7, nan_ok=True), (name, time)
            whole = expected(p, arm, {}, factor, 48.0)
            assert found.fate["hypothetical_sample"][place] == pytest.approx(whole, rel=1e-9)


def test_each_consequence_is_the_closed_form(cohort, found):
    check_closed_forms(cohort, found, 1.0)


@pytest.mark.slow
def test_parameters_change_with_the_rescue(cohort, run):
    check_closed_forms(cohort, run(Treatment(events=events(CL=2.0), visits=WINDOW)), 2.0)


def test_what_can_and_cannot_follow(found):
    told = {name: found.fate[f"event_{name}"] for name in EVENTS}
    changes = np.isfinite([told[n] for n in CHANGES]).sum(0)
    assert {*changes[..., 0].ravel()} == {0, 1, 2, 3}
    assert changes[..., 1].max() == 2
    assert np.isinf(told["switch"][..., 1]).all()  # nobody switches to where he is
    death = told["death"]
    for name in ("stop", "rescue", "switch", "leave"):
        assert (np.isinf(told[name]) | (told[name] < death)).all()  # nothing comes after death
    assert ((changes == 2) & np.isfinite(death)).any()
    assert (np.isfinite(told["leave"]) & np.isfinite(death)).any()
    np.testing.assert_array_equal(found.fate["until"], told["leave"])
    gone = np.isnan(found.values["sample"])
    np.testing.assert_array_equal(gone, death < 48.0)
    np.testing.assert_array_equal(np.isnan(found.values["seen"]), found.fate["visited_seen"] > death[..., None])
    assert np.isfinite(found.fate["alive_sample"]).all()
    np.testing.assert_array_equal(found.fate["alive_sample"][~gone], found.values["sample"][~gone])
    assert set(found.fate) == set(fates(ENDS, Treatment(events=EVENTS, visits=WINDOW)))
    visited = found.fate["visited_seen"]
    np.testing.assert_array_equal(visited[:, :, 0], visited[:, :, 1])  # the same under every arm


@pytest.mark.slow
def test_hypothetically_it_is_the_run_without_events(run, found):
    """Bit for bit; and the same events by themselves happen at the same time."""
    plain = run(Treatment(visits=WINDOW))
    for name, value in plain.values.items():
        np.testing.assert_array_equal(found.fate[f"hypothetical_{name}"], value)
    spared = np.isinf([found.fate[f"event_{n}"] for n in EVENTS if n != "leave"]).all(0)
    for name, value in plain.values.items():
        for prefix in ("", "alive_", "on_treatment_"):
            other = (found.fate if prefix else found.values)[f"{prefix}{name}"]
            np.testing.assert_array_equal(other[spared], value[spared])
    alone = run(Treatment(events={"death": EVENTS["death"]}, visits=WINDOW))
    np.testing.assert_array_equal(alone.fate["event_death"], found.fate["event_death"])  # no output drives it


def told(course, before, after, count=4000):
    """Return the times of events of patients whose output is a constant, then another once treatment changes."""
    grid = np.linspace(0.0, 100.0, 401)

    def one(key):
        path = {"concentration": jnp.full(len(grid), before)}
        changed = {"concentration": jnp.full(len(grid), after)}
        zero = jnp.asarray(0)
        setting = Setting(
            course, MODEL, ARMS, "low", grid, np.arange(len(grid)), {},
            lambda regimen: regimen.records(MODEL, ()), lambda therapy, ends: (zero, changed, {}),
        )  # fmt: skip
        return tell(key, setting, LOW.regimen.records(MODEL, (100.0,)), (zero, path, {})).times

    return {n: np.asarray(t) for n, t in jax.vmap(one)(jax.random.split(KEY, count)).items()}


def test_death_reads_the_path_after_a_change_of_treatment():
    """Hazard of death .02 before rescue and .02 e after it; hazard of rescue .03: the law of death is in closed form.

    S(t) = exp(-.05 t) + int_0^t .03 exp(-.05 s) exp(-.02 e (t - s)) ds. The path changes between two points of the
    grid of .25, so that a probability may be off by .02 (e - 1) x .25 / 2.
    """
    death = Event("0.02 1/h", "concentration", 1.0, then=Die())
    events = {"rescue": Event("0.03 1/h", then=Rescue(factors={"CL": 2.0})), "death": death}
    found = told(Treatment(events=events), 0.0, 1.0)
    time, b = found["death"], 0.02 * np.e
    for t in (10.0, 30.0, 60.0):
        alive = np.exp(-0.05 * t) + 0.03 / (b - 0.05) * (np.exp(-0.05 * t) - np.exp(-b * t))
        assert abs((time > t).mean() - alive) < 4 * np.sqrt(alive * (1 - alive) / 4000) + 0.005
    # Of those not dead by 100 h rescue is what it would be alone.
    rescued = found["rescue"]
    assert (np.isinf(rescued) | (rescued < time)).all()
    assert abs(np.isfinite(rescued).mean() - 0.6 * (1 - np.exp(-5.0))) < 4 * np.sqrt(0.24 / 4000)


def test_of_changes_the_first_may_be_the_only_one_and_leaving_is_apart():
    events = {"stop": Event("0.03 1/h"), "switch": Event("0.01 1/h", then=Switch("high")), "both": Event("0 1/h")}
    events |= {"leave": Event("0.02 1/h", then=Leave()), "drop": Event("0.01 1/h", then=(Stop(), Leave()))}
    found = told(Treatment(events=events, changes=1), 0.0, 5.0)
    first = np.min([found[n] for n in ("stop", "switch", "drop")], axis=0)
    assert stats.kstest(first[np.isfinite(first)], stats.truncexpon(5.0, scale=20.0).cdf).pvalue > 1e-4
    for name, share in (("stop", 0.6), ("switch", 0.2), ("drop", 0.2)):
        mine = np.isfinite(found[name]).mean()
        assert abs(mine - share * (1 - np.exp(-5.0))) < 4 * np.sqrt(share * (1 - share) / 4000), name
    assert np.isinf(found["both"]).all()
    leave = found["leave"][np.isfinite(found["leave"])]
    assert stats.kstest(leave, stats.truncexpon(2.0, scale=50.0).cdf).pvalue > 1e-4


STEADY = Regimen("100 mg", "12 h", 4, "depot", steady_state=True)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (Switch("middle"), "no arm of the design"),
        (Rescue(), "does nothing"),
        (Rescue(factors={"Q": 2.0}), "no parameter of the population"),
        (Rescue(factors={"CL": 0.0}), "a factor is positive"),
        (Rescue(Regimen("100 mg", "12 h", 4, "gut")), "no state of the model"),
        (Rescue(STEADY), "begins at steady state"),
    ],
)
def test_mistakes(then, said):
    with pytest.raises(UserError, match=said):
        Treatment(events={"it": Event("0.1 1/h", then=then)}).check(MODEL, ARMS, ("CL", "VC", "KA"))


@pytest.mark.parametrize("then", [Stop(), Leave(), Die(), Switch("high", afresh=True), EVENTS["rescue"].then[0]])
def test_consequences_say_what_they_do(then):
    then.check("course.events.it.then", MODEL, ARMS, ("CL",))
    assert then.describe()
