"""Policies: what a patient shows, and what the patient is given; no simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import finished
from vtrial.dosing import (
    Above,
    AbstractPolicy,
    Adjustable,
    Adjustment,
    Below,
    Monitor,
    Nomogram,
    Past,
    Phases,
    Proportional,
    Regimen,
    RoundDown,
    RoundNearest,
    StepTitration,
)
from vtrial.errors import UserError

MODEL = OneCompartmentOral()
REGIMEN = Regimen("200 mg", "12 h", 4, "depot")
MONITOR = Monitor("concentration", ["12 h", "24 h"])
LADDER = StepTitration(MONITOR, [0.5, 1, 2], Below("5 mg/L"), Above("10 mg/L"), hold=Above("20000 ug/L"))
TARGET = Proportional(MONITOR, "10 mg/L", lower="8 mg/L", upper="12 mg/L", most_change=3.0)
TABLE = Adjustment(MONITOR, ["5 mg/L", "10 mg/L", "20 mg/L"], [1.2, 1, 0.8, 0])
LOADING = Nomogram(MONITOR, ["5 mg/L", "10 mg/L"], [[2, 1, 0.5], [1, 0.5, 0]])


BOTH = Phases(
    [
        Nomogram(Monitor("concentration", ["12 h"]), ["5 mg/L"], [[2, 0]]),
        Adjustment(Monitor("concentration", ["24 h"]), ["5 mg/L"], [1.5, 0.5]),
    ]
)


def past(observed, level=1.0, number=0, held=False):
    """What is known at a decision, the future unknown."""
    known = jnp.arange(2) <= number
    seen, levels = (jnp.where(known, jnp.asarray(x), jnp.nan) for x in (observed, level))
    return Past(jnp.asarray(number), np.array([12.0, 24.0]), seen, levels, jnp.asarray(held))


@pytest.mark.parametrize(
    ("policy", "known", "level", "held"),
    [
        (LADDER, past(4.0), 2.0, False),
        (LADDER, past(4.0, 2.0), 2.0, False),  # the top of the ladder
        (LADDER, past(7.0, 2.0), 2.0, False),
        (LADDER, past(15.0, 2.0), 1.0, False),
        (LADDER, past(25.0, 1.0), 0.5, True),  # 20,000 ug/L are 20 mg/L
        (LADDER, past(15.0, 0.5), 0.5, False),  # its foot
        (TARGET, past(5.0), 2.0, False),
        (TARGET, past(8.0, 1.5), 1.5, False),
        (TARGET, past(40.0, 2.0), 2 / 3, False),  # a third, not a quarter
        (TARGET, past(-1.0), 3.0, False),  # an additive error may take it below 0
        (TABLE, past(4.9, 2.0), 2.4, False),
        (TABLE, past(5.0, 2.0), 2.0, False),  # a limit belongs to the band above it
        (TABLE, past(19.0, 2.0), 1.6, False),
        (TABLE, past(20.0, 2.0), 2.0, True),
        (LOADING, past(3.0), 2.0, False),
        (LOADING, past(3.0, 2.0, number=1), 1.0, False),
        (LOADING, past(30.0, 2.0, number=1), 2.0, True),  # where doses go on
        (BOTH, past(3.0), 2.0, False),
        (BOTH, past(6.0), 1.0, True),
        (BOTH, past(3.0, 2.0, number=1), 3.0, False),
        (BOTH, past(6.0, 2.0, number=1), 1.0, False),
    ],
)
def test_rules(policy, known, level, held):
    found = jax.jit(policy.decide, static_argnums=1)(known, "mg/L")
    assert float(found.level) == pytest.approx(level, rel=1e-15)
    assert bool(found.held) == held


@pytest.mark.parametrize(
    ("doses", "level", "own", "amount"),
    [
        (Adjustable(), 1.37, 200.0, 274.0),
        (Adjustable(rounding=RoundNearest("50 mg")), 1.37, 200.0, 250.0),
        (Adjustable(rounding=RoundNearest("50 mg")), 0.05, 200.0, 50.0),  # never less than a tablet
        (Adjustable(rounding=RoundDown("50 mg")), 1.37, 210.0, 250.0),
        (Adjustable(least="0.1 g", most="300 mg"), 0.3, 200.0, 100.0),
        (Adjustable(least="0.1 g", most="300 mg"), 2.0, 200.0, 300.0),
        (Adjustable(least="100 mg"), 0.0, 200.0, 0.0),  # nothing stays nothing
        (Adjustable(least="100 mg"), 3.0, 0.0, 0.0),  # a placebo stays one
    ],
)
def test_what_can_be_given(doses, level, own, amount):
    order = doses.orders(MODEL, REGIMEN)[0]
    found = doses.possible(jnp.asarray(level), jnp.asarray(own), order)
    assert float(found) * own == pytest.approx(amount, rel=1e-14)


def test_a_delay_says_from_when_on_doses_follow():
    monitor = Monitor("concentration", ["12 h", "1 day"], delay="90 min")
    np.testing.assert_array_equal(monitor.effective(MODEL), [13.5, 25.5])
    assert "followed 90 min later" in monitor.describe()


def test_every_policy_is_tested():
    assert set(finished(AbstractPolicy)) == {type(policy) for policy in (LADDER, TARGET, TABLE, LOADING, BOTH)}


@pytest.mark.parametrize("policy", [LADDER, TARGET, TABLE, LOADING, BOTH])
def test_what_fits_is_said_in_words(policy):
    policy.check(MODEL, REGIMEN, {"concentration"})
    assert policy.describe().startswith("adapted by concentration measured at 12 h, 24 h: ")


def monitored(*at, output="concentration", **other):
    return Proportional(Monitor(output, at, **other), "10 mg/L")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: StepTitration(MONITOR, [0.5, 2], Below("5 mg/L"), Above("10 mg/L")), "have 1 among them"),
        (lambda: StepTitration(MONITOR, [2, 1], Below("5 mg/L"), Above("10 mg/L")), "ascend"),
        (lambda: Proportional(MONITOR, "10 mg/L", lower="8 mg/L"), "give both or none"),
        (lambda: Proportional(MONITOR, "10 mg/L", most_change=1.0), "above 1"),
        (lambda: Adjustment(MONITOR, ["5 mg/L"], [1, 1, 1]), "each of the 2 bands"),
        (lambda: Adjustment(MONITOR, ["5 mg/L"], [1, -1]), "0 or more"),
        (lambda: Nomogram(MONITOR, ["5 mg/L"], [[1, 1]] * 3), "3 rows, but there are 2 decisions"),
        (lambda: Phases([LADDER]), "at least 2 policies"),
        (lambda: Phases([LADDER, monitored("36 h", delay="1 h")]), "see the same output"),
        (lambda: check(Phases([LADDER, TARGET])), "goes up from 0"),
        (lambda: check(Proportional(MONITOR, "20 mg/L", lower="8 mg/L", upper="12 mg/L")), "must lie in"),
        (lambda: check(Proportional(MONITOR, "20 mg")), "cannot be converted"),
        (lambda: check(Adjustment(MONITOR, ["5 mg/L", "4 mg/L"], [1, 1, 1])), "limits ascend"),
        (lambda: check(monitored("12 h", output="effect")), "no output of model"),
        (lambda: check(monitored()), "has at least one time"),
        (lambda: check(monitored("24 h", "12 h")), "goes up from 0"),
        (lambda: check(monitored("12 h", "24 h", delay="12 h")), "shorter than the time between two samples"),
        (lambda: check(monitored("36.5 h")), "take the last sample earlier"),
        (lambda: TARGET.check(MODEL, REGIMEN, {}), "no residual error"),
        (lambda: check(Proportional(MONITOR, "10 mg/L", doses=Adjustable("gut"))), "no state"),
        (lambda: check(Proportional(MONITOR, "10 mg/L", doses=Adjustable("central"))), "gives nothing into it"),
        (lambda: check(Proportional(MONITOR, "10 mg/L", doses=Adjustable(least="2 g", most="1 g"))), "correct these"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()


def check(policy):
    policy.check(MODEL, REGIMEN, {"concentration"})
