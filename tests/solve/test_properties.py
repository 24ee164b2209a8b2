"""What must hold for every dosing history, whatever its numbers, in every solver that may solve it.

Tolerances are parts of the largest value of an output: 1e-10 where both sides are exact up to rounding, `GLOBAL` where
one is integrated numerically.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.solve.strategies import (
    GLOBAL,
    MODEL,
    RTOL,
    TIERS,
    TYPICAL,
    Collected,
    amounts,
    assert_close,
    doses,
    entering,
    examples,
    gaps,
    near,
    sampled,
    solved,
    times,
)
from vtrial.dosing import After, Dose, Mark, event_table

SOLVED = {tier: solved(solver) for tier, solver in TIERS.items()}
COMPILED = ["linear", "lanes", "lanes stiff"]
EXACT = {"linear": 1e-10, "lanes": GLOBAL, "lanes stiff": GLOBAL, "general": GLOBAL}

each_tier = pytest.mark.parametrize("tier", COMPILED)


@examples
@given(near(TYPICAL), entering, sampled())
def test_integration_equals_the_exact_solution(p, entry, rows):
    """Boluses, infusions, additional doses, resets, lags and bioavailability, into every state."""
    events = event_table(rows)
    exact = SOLVED["linear"](p | entry, events)
    for tier in ("lanes", "lanes stiff", "general"):
        assert_close(SOLVED[tier](p | entry, events), exact, GLOBAL)


@each_tier
def test_responses_superpose(tier):
    looks = st.lists(times, min_size=5, max_size=5)

    @examples
    @given(near(TYPICAL), st.lists(amounts, min_size=2, max_size=2), gaps, looks)
    def check(p, amount, gap, samples):
        a, b = Dose(0.0, amount[0], 0, 2, gap), Dose(2 * gap, amount[1], 1, rate=amount[1] / gap)
        none = (a._replace(amount=0.0), b._replace(amount=0.0, rate=0.0, duration=gap))
        both, first, second = (
            SOLVED[tier](p, event_table([*rows, *samples]))["concentration"]
            for rows in ((a, b), (a, none[1]), (none[0], b))
        )
        assert_close({"sum": first + second}, {"sum": both}, EXACT[tier])

    check()


TRAINS = {
    "bolus": Dose(0.0, 100.0, 0, interval=12.0),
    "infusion": Dose(0.0, 100.0, 1, interval=12.0, rate=30.0),
    "long infusion": Dose(0.0, 100.0, 1, interval=12.0, duration=31.0),
    "modelled duration": Dose(0.0, 100.0, 1, interval=12.0, rate=-2),
    "modelled rate": Dose(0.0, 100.0, 2, interval=12.0, rate=-1),
}
LATER = np.linspace(0.0, 36.0, 7).tolist()
TRAINED = 60  # doses: the slowest rate is above 0.03/h, so that what is left of the first is below exp(-20)


@pytest.mark.parametrize("kind", TRAINS)
@pytest.mark.parametrize("tier", ["linear", "lanes"])
def test_a_steady_state_is_a_long_train(tier, kind):
    """Newton's method ends within 10 rtol of the fixed point of the numerical solution."""
    dose = TRAINS[kind]
    steady = event_table([dose._replace(steady=1, additional=2), *LATER], states=3)
    train = event_table([dose._replace(additional=TRAINED + 2), *(TRAINED * 12.0 + np.array(LATER))])

    @examples
    @given(near(TYPICAL, 1.4), st.floats(0.2, 11.0), st.floats(2.0, 30.0), st.floats(0.3, 1.0))
    def check(p, lag, length, part):
        p |= {f"ALAG_{state}": lag for state in MODEL.states} | {f"F_{state}": part for state in MODEL.states}
        p |= {"D_central": length, "R_peripheral": 100.0 / length}
        assert_close(SOLVED[tier](p, steady), SOLVED["linear"](p, train), max(EXACT[tier], 1e-8))

    check()


@each_tier
def test_a_second_steady_state_is_added(tier):
    """SS 2: what was there stays; in a linear model the two superpose."""
    first, second = Dose(0.0, 100.0, 0), Dose(5.0, 40.0, 1, 1, 8.0, rate=20.0, steady=2)
    empty = [first._replace(amount=0.0), second]
    p = TYPICAL | {"ALAG_central": 0.7}
    later = [5.0, 6.0, 9.0, 20.0]
    both, one, other = (
        SOLVED[tier](p, event_table([*rows, *later], states=3))["concentration"]
        for rows in ([first, second], [first], empty)
    )
    assert_close({"sum": one + other}, {"sum": both}, 10 * EXACT[tier])


@each_tier
def test_a_constant_infusion_reaches_input_over_clearance(tier):
    events = event_table([Dose(0.0, 0.0, 1, rate=9.0, steady=1), 0.0, After(0.0)], states=3)

    @examples
    @given(near(TYPICAL))
    def check(p):
        found = SOLVED[tier](p, events)["concentration"]
        np.testing.assert_allclose(found, 9.0 / p["CL"], rtol=10 * EXACT[tier])

    check()


@each_tier
def test_only_time_since_the_doses_counts(tier):
    looks = st.lists(times, min_size=5, max_size=5)

    @examples
    @given(near(TYPICAL), entering, doses(), looks, st.floats(-50.0, 500.0))
    def check(p, entry, rows, samples, shift):
        moved = [row._replace(time=row.time + shift) for row in rows]
        now = SOLVED[tier](p | entry, event_table([*rows, *samples]))
        later = SOLVED[tier](p | entry, event_table([*moved, *(t + shift for t in samples)]))
        # Times are kept to 12 digits: an infusion is shorter or longer by up to 1e-9 h, a part of 4e-9.
        assert_close(later, now, max(EXACT[tier], 1e-8))

    check()


@each_tier
def test_what_enters_is_bioavailability_times_amount(tier):
    """NONMEM's rule: F scales a bolus, the duration of an infusion of given rate, the rate of one of given duration."""
    solve = solved(TIERS[tier], Collected())

    @examples
    @given(near({"KA": 1.0, "KE": 0.3}), st.floats(0.1, 2.0), amounts, st.floats(1.0, 6.0))
    def check(p, part, amount, length):
        rows = [Dose(0.0, amount, 0), Dose(10.0, amount, 1, rate=amount / length)]
        rows += [Dose(40.0, amount, 1, duration=length)]
        at = [5.0, 10.0 + 0.5 * part * length, 35.0, 40.0 + 0.5 * length, 60.0]
        total = solve(p | {"F_depot": part, "F_central": part}, event_table([*rows, *at]))["total"]
        given_rate = amount / length * 0.5 * part * length
        expected = np.array([1.0, 1.0 + given_rate / (amount * part), 2.0, 2.5, 3.0]) * part * amount
        np.testing.assert_allclose(total, expected, rtol=10 * RTOL)

    check()


@each_tier
def test_bioavailability_two_is_twice_the_bolus(tier):
    once = event_table([Dose(0.0, 100.0, 0, 2, 9.0), *LATER])
    twice = event_table([Dose(0.0, 200.0, 0, 2, 9.0), *LATER])
    found = SOLVED[tier](TYPICAL | {"F_depot": 2.0}, once)
    np.testing.assert_array_equal(
        found["concentration"], SOLVED[tier](TYPICAL | {"F_depot": 1.0}, twice)["concentration"]
    )


@each_tier
def test_looking_more_often_changes_nothing(tier):
    extra = st.lists(times, min_size=9, max_size=9)

    @examples
    @given(near(TYPICAL), entering, doses(), extra)
    def check(p, entry, rows, more):
        few = SOLVED[tier](p | entry, event_table([*rows, *LATER]))["concentration"]
        kept = dict(zip(sorted(more + LATER), range(99), strict=False))
        many = SOLVED[tier](p | entry, event_table([*rows, *LATER, *more]))["concentration"]
        assert_close({"c": many[[kept[t] for t in LATER]]}, {"c": few}, max(EXACT[tier] / 10, 1e-12))

    check()


@pytest.mark.parametrize("carried", ["locf", "nocb"])
def test_a_mark_that_changes_no_parameter_changes_nothing(carried):
    """Clearance doubles from row to row; a row in between has the value that holds there anyway."""
    rows = [0.0, Dose(0.0, 100.0, 0), 6.0, Dose(12.0, 50.0, 1, rate=10.0), 20.0, 30.0]
    marked = [*rows[:3], Mark(9.0), *rows[3:]]
    clearance = 4.5 * 2.0 ** np.arange(6)
    more = np.insert(clearance, 3, clearance[2 if carried == "locf" else 3])
    for tier in COMPILED:
        plain, split = (
            SOLVED[tier](TYPICAL | {"CL": jnp.asarray(cl)}, event_table(table, carried=carried))
            for table, cl in ((rows, clearance), (marked, more))
        )
        assert_close(split, plain, EXACT[tier])
    assert_close(
        SOLVED["lanes"](TYPICAL | {"CL": jnp.asarray(clearance)}, event_table(rows, carried=carried)), plain, GLOBAL
    )


@each_tier
def test_units_of_time_and_amount_change_nothing(tier):
    """In minutes instead of hours and grams instead of milligrams, say; absolute tolerances go with the amounts."""
    rows = [Dose(0.0, 100.0, 0, 2, 9.0), Dose(7.0, 50.0, 1, rate=20.0), Dose(30.0, 10.0, 2, reset=True)]

    @examples
    @given(near(TYPICAL), st.floats(0.01, 100.0), st.floats(0.01, 100.0))
    def check(p, hour, milligram):
        other = [
            r._replace(
                time=r.time * hour,
                interval=r.interval * hour,
                amount=r.amount * milligram,
                rate=r.rate * milligram / hour,
            )
            for r in rows
        ]
        rates = {name: value / hour if name in ("CL", "Q", "KA") else value for name, value in p.items()}
        found = SOLVED[tier](rates, event_table([*other, *(np.array(LATER) * hour)]))["concentration"]
        expected = SOLVED[tier](p, event_table([*rows, *LATER]))
        assert_close({"concentration": found / milligram}, expected, EXACT[tier])

    check()
