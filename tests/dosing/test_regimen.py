"""Regimens become the dose records that a person would write by hand."""

import jax
import numpy as np
import pytest
from vtrial.models.iv_1cpt import OneCompartmentBolus
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_1cpt_mm import OneCompartmentOralMichaelisMenten

from tests.helpers import finished
from vtrial.dosing import (
    AbstractRegimen,
    After,
    Combined,
    Consecutive,
    Cycles,
    Dose,
    PerCovariate,
    Regimen,
    Scaled,
    Weekly,
    event_table,
)
from vtrial.errors import UserError
from vtrial.solve import General, Linear

MODEL = OneCompartmentOral()
DEPOT, CENTRAL = 0, 1
EVERY_12 = Regimen("300 mg", "12 h", 4, "depot")
LOADING = Regimen("600 mg", "24 h", 1, "depot")
PER_KG = Scaled("5 mg/kg", PerCovariate("WT", "kg"))

RECORDS = {
    "bolus": (EVERY_12, [Dose(0.0, 300.0, DEPOT, 3, 12.0)]),
    "other units": (Regimen("0.3 g", "0.5 day", 3, "depot"), [Dose(0.0, 300.0, DEPOT, 2, 12.0)]),
    "later": (Regimen("300 mg", "12 h", 4, "depot", start="1 day"), [Dose(24.0, 300.0, DEPOT, 3, 12.0)]),
    "over": (
        Regimen("300 mg", "12 h", 2, "central", over="30 min"),
        [Dose(0.0, 300.0, CENTRAL, 1, 12.0, duration=0.5)],
    ),
    "rate": (Regimen("300 mg", "12 h", 2, "central", rate="1 g/day"), [Dose(0.0, 300, CENTRAL, 1, 12.0, 1000 / 24)]),
    "steady state": (
        Regimen("300 mg", "12 h", 4, "depot", steady_state=True),
        [Dose(-12.0, 300.0, DEPOT, 4, 12.0, steady=2)],
    ),
    "two drugs": (
        Combined([EVERY_12, Regimen("50 mg", "24 h", 2, "central", over="2 h")]),
        [Dose(0.0, 300.0, DEPOT, 3, 12.0), Dose(0.0, 50.0, CENTRAL, 1, 24.0, duration=2.0)],
    ),
    "loading and maintenance": (
        Consecutive([LOADING, EVERY_12]),
        [Dose(0.0, 600.0, DEPOT, 0, 24.0), Dose(24.0, 300.0, DEPOT, 3, 12.0)],
    ),
    "three in turn": (
        Consecutive([LOADING, Combined([EVERY_12, LOADING]), Regimen("1 mg", "1 h", 1, "central", start="2 h")]),
        [
            Dose(0.0, 600.0, DEPOT, 0, 24.0),
            Dose(24.0, 300.0, DEPOT, 3, 12.0),
            Dose(24.0, 600.0, DEPOT, 0, 24.0),
            Dose(74.0, 1.0, CENTRAL, 0, 1.0),
        ],
    ),
    "weekly": (
        Weekly("300 mg", ["mon", "Wed", "friday"], "8 h", 4, "depot"),
        [Dose(t, 300.0, DEPOT, 3, 168.0) for t in (8.0, 56.0, 104.0)],
    ),
    # Day 1 is a Thursday: Friday is day 2, Monday day 5, Wednesday day 7.
    "weekly from a Thursday": (
        Weekly("300 mg", ["mon", "wed", "fri"], "8 h", 4, "depot", first="thu"),
        [Dose(t, 300.0, DEPOT, 3, 168.0) for t in (32.0, 104.0, 152.0)],
    ),
    "twice on Sundays": (
        Weekly("300 mg", "sun", ["8 h", "20 h"], 1, "central", over="1 h", start="24 h"),
        [Dose(24 + 144 + t, 300.0, CENTRAL, 0, 168.0, duration=1.0) for t in (8.0, 20.0)],
    ),
    "cycles": (
        Cycles("80 mg", [8, 1], "21 d", 6, "central", over="1 h"),
        [Dose(t, 80.0, CENTRAL, 5, 504.0, duration=1.0) for t in (0.0, 168.0)],
    ),
    "cycles, twice a day": (
        Cycles("80 mg", [1, 2], "1 week", 2, "depot", at=["9 h", "21 h"], start="7 d"),
        [Dose(168 + t, 80.0, DEPOT, 1, 168.0) for t in (9.0, 21.0, 33.0, 45.0)],
    ),
    "timed": (
        Regimen("300 mg", "12 h", 2, "central", timed=True),
        [Dose(0.0, 300.0, CENTRAL, 1, 12.0, rate=-2.0)],
    ),
    "cycles, then every day": (
        Consecutive([Cycles("80 mg", [1], "21 d", 2, "depot"), Weekly("1 mg", "tue", "0 h", 1, "depot", first="mon")]),
        [Dose(0.0, 80.0, DEPOT, 1, 504.0), Dose(42 * 24.0 + 24.0, 1.0, DEPOT, 0, 168.0)],
    ),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_records(kind):
    regimen, records = RECORDS[kind]
    assert [order.record for order in regimen.orders(MODEL)] == [pytest.approx(r, rel=1e-14) for r in records]


@pytest.mark.parametrize("kind", RECORDS)
def test_the_event_table_is_that_of_the_records(kind):
    regimen, records = RECORDS[kind]
    samples = [0.0, After(0.0), 24.0, 30.0]
    found, wanted = regimen.records(MODEL, samples), event_table([*samples, *records], states=2)
    for name in ("dosed", "infused", "filled", "constant"):
        assert getattr(found, name) == getattr(wanted, name)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert isinstance(one, np.ndarray), "what is the same for everybody is known before any program is compiled"
        np.testing.assert_allclose(one, other, rtol=1e-14)


def test_every_regimen_is_in_the_table():
    assert {type(regimen) for regimen, _ in RECORDS.values()} == set(finished(AbstractRegimen))


def test_a_sample_at_the_hour_of_a_dose_is_a_trough():
    events = Regimen("100 mg", "12 h", 3, "depot").records(MODEL, [0.0, 12.0, 13.0])
    assert events.sample_after.tolist() == [0, 1, 2]


IV, IV_P = OneCompartmentBolus(), {"CL": 2.8, "VC": 32.0}


def infused(time, rate, length, p=IV_P):
    """Concentration during and after an infusion from time 0, one compartment, from the textbook formula."""
    k = p["CL"] / p["VC"]
    on = np.clip(time, 0.0, length)
    return rate / p["CL"] * (1 - np.exp(-k * on)) * np.exp(-k * np.clip(time - length, 0.0, None))


@pytest.mark.parametrize("keyword", [{"over": "2 h"}, {"rate": "50 mg/h"}, {"timed": True}])
def test_infusions_equal_the_closed_form(keyword):
    time = np.array([0.5, 2.0, 5.0, 12.0, 13.0, 30.0])
    regimen = Regimen("100 mg", "12 h", 2, "central", **keyword)
    found = jax.jit(lambda p: General()(IV, p, regimen.records(IV, time.tolist())))(IV_P | {"D_central": 2.0})
    wanted = infused(time, 50.0, 2.0) + infused(time - 12, 50.0, 2.0)
    np.testing.assert_allclose(found.outputs["concentration"], wanted, rtol=1e-6)


def test_steady_state_from_the_start_is_the_sum_of_all_doses_before():
    """Trough C = D/V r / (1 - r) with r = exp(-12 k), at the start and after any number of doses."""
    regimen = Regimen("320 mg", "12 h", 2, "central", steady_state=True)
    events = regimen.records(IV, [0.0, After(0.0), 12.0, 24.0, 30.0])
    found = jax.jit(lambda p: Linear()(IV, p, events))(IV_P)
    k = IV_P["CL"] / IV_P["VC"]
    r = np.exp(-12 * k)
    trough = 10 * r / (1 - r)
    # The doses are those at 0 and 12 h; none follows at 24 h.
    wanted = [trough, trough + 10, trough, trough, trough * np.exp(-6 * k)]
    np.testing.assert_allclose(found.outputs["concentration"], wanted, rtol=1e-10)


def test_steady_states_of_two_drugs_add_up():
    one = Regimen("320 mg", "12 h", 2, "central", steady_state=True)
    other = Regimen("100 mg", "8 h", 3, "central", over="2 h", steady_state=True)
    samples = [0.0, 5.0, 12.0, 20.0]
    solve = jax.jit(lambda p: [Linear()(IV, p, r.records(IV, samples)) for r in (one, other, Combined([one, other]))])
    a, b, both = (np.asarray(found.outputs["concentration"]) for found in solve(IV_P))
    np.testing.assert_allclose(both, a + b, rtol=1e-10)


WORDS = [
    (EVERY_12, "300 mg every 12 h, 4 doses into depot"),
    (LOADING, "600 mg once into depot"),
    (
        Regimen("1 g", "12 h", 2, "central", over="1 h", start="24 h"),
        "1 g over 1 h every 12 h, 2 doses into central, from 24 h",
    ),
    (Regimen("1 g", "12 h", 1, "central", timed=True), "1 g over D_central once into central"),
    (Regimen("1 g", "12 h", 2, "central", rate="1 g/h"), "1 g at 1 g/h every 12 h, 2 doses into central"),
    (
        Regimen("1 g", "12 h", 2, "depot", steady_state=True),
        "1 g every 12 h, 2 doses into depot, after such doses every 12 h to steady state",
    ),
    (Regimen(PER_KG, "24 h", 1, "depot"), "5 mg/kg by WT once into depot"),
    (Combined([LOADING, EVERY_12]), "600 mg once into depot; together with 300 mg every 12 h, 4 doses into depot"),
    (Consecutive([LOADING, EVERY_12]), "600 mg once into depot; then 300 mg every 12 h, 4 doses into depot"),
    (
        Weekly("1 mg", ["mon", "fri"], ["8 h", "20 h"], 4, "depot"),
        "1 mg on monday, friday at 8 h and 20 h, 4 weeks into depot, day 1 being a monday",
    ),
    (Cycles("1 mg", [1, 8], "21 d", 6, "depot"), "1 mg on days 1, 8 of every 21 d, 6 cycles into depot"),
    (Cycles("1 mg", [1], "21 d", 6, "depot", at="8 h"), "1 mg on day 1 of every 21 d at 8 h, 6 cycles into depot"),
]


@pytest.mark.parametrize(("regimen", "words"), WORDS)
def test_words(regimen, words):
    assert words in regimen.describe()


def regimen(**change):
    return Regimen(**{"dose": "300 mg", "every": "12 h", "doses": 3, "into": "depot"} | change)


def weekly(**change):
    return Weekly(**{"dose": "300 mg", "days": ["mon"], "at": "8 h", "weeks": 2, "into": "depot"} | change)


def cycles(**change):
    return Cycles(**{"dose": "300 mg", "days": [1], "cycle": "21 d", "cycles": 2, "into": "depot"} | change)


STEADY = Regimen("300 mg", "12 h", 3, "depot", steady_state=True)
MISTAKES = [
    (lambda: regimen(into="gut"), "no state of the model. Known: depot, central"),
    (lambda: regimen(into="Depott"), "Did you mean 'depot'"),
    (lambda: regimen(dose="300 h"), "dose is given in 'h'"),
    (lambda: regimen(dose="5 mg/kg"), "written as vtrial.dosing.Scaled, with the covariate"),
    (lambda: regimen(every="12 mg"), "every is given in 'mg'"),
    (lambda: regimen(every="0 h"), "every is 0 h; it must be positive"),
    (lambda: regimen(dose="-1 mg"), "must not be negative"),
    (lambda: regimen(doses=0), "at least 1"),
    (lambda: regimen(over="0 h"), "over is 0 h; it must be positive"),
    (lambda: regimen(over="1 mg"), "over is given in 'mg'"),
    (lambda: regimen(rate="50 mg"), "rate is given in 'mg'"),
    (lambda: regimen(rate="-50 mg/h"), "rate is -50 mg/h; it must be positive"),
    (lambda: regimen(rate="50 mg/h", over="1 h"), "over 1 h and at 50 mg/h"),
    (lambda: regimen(timed=True, over="1 h"), "timed, by parameter D_depot, and says 1 h"),
    (lambda: regimen(rate="50 mg/h", dose=PER_KG), "give `over`, the time that it takes, instead of `rate`"),
    (lambda: regimen(start="-1 h"), "start is -1 h; it must not be negative"),
    (lambda: regimen(start="1 h", steady_state=True), "leave `start` out"),
    (lambda: weekly(days=["mon", "tues"]), "'tues' is no day of the week. Did you mean 'tuesday'"),
    (lambda: weekly(days=["mon", "monday"]), "give each day of the week once"),
    (lambda: weekly(days=[]), "days are empty"),
    (lambda: weekly(at="24 h"), "from 0 h to less than 24 h"),
    (lambda: weekly(at=["8 h", "480 min"]), "give each hour of the day once"),
    (lambda: weekly(at=[]), "at is empty"),
    (lambda: weekly(weeks=0), "weeks=0"),
    (lambda: weekly(first="doomsday"), "no day of the week"),
    (lambda: cycles(days=[0, 1]), "the first being day 1"),
    (lambda: cycles(days=[1, 1]), "each day of the cycle once"),
    (lambda: cycles(days=[22]), "a dose on day 22 of a cycle of 21 d"),
    (lambda: cycles(cycle="0 d"), "cycle is 0 d; it must be positive"),
    (lambda: cycles(cycles=0), "cycles=0"),
    (lambda: Combined([STEADY]), "at least 2 parts, not 1"),
    (lambda: Consecutive([]), "at least 2 parts, not 0"),
    (lambda: Consecutive([LOADING, STEADY]), "Part 2 of a Consecutive regimen has steady_state=true"),
]


@pytest.mark.parametrize(("build", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_mistakes(build, said):
    with pytest.raises(UserError) as caught:
        build().orders(MODEL)
    assert said in str(caught.value)


def test_steady_states_do_not_add_up_in_a_nonlinear_model():
    with pytest.raises(UserError, match="this model is not linear"):
        Combined([STEADY, STEADY]).orders(OneCompartmentOralMichaelisMenten())
    assert Combined([STEADY, LOADING]).orders(OneCompartmentOralMichaelisMenten())
