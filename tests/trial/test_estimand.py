"""The five strategies of ICH E9(R1): identities, and truths in closed form."""

import contextlib

import numpy as np
import pytest
import xarray as xr

from tests.helpers import finished
from vtrial.design import Arm, Parallel
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.trial import (
    STRATEGIES,
    AbstractEstimand,
    AtOnce,
    Clock,
    Composite,
    Greatest,
    Hypothetical,
    Lived,
    Means,
    PerEvent,
    PrincipalStratum,
    Rules,
    TreatmentPolicy,
    WhileAlive,
    WhileOnTreatment,
    add_estimands,
    add_events,
    estimand_truths,
)
from vtrial.trial.estimand import check_estimand

ARM = Arm(Regimen("300 mg", "12 h", 4, "depot"))
RANDOM = np.random.default_rng(9)
SHAPE = (3, 5000, 2)


def lived(p=0.4, rest=()):
    """Arm 1 is 2 better; an event takes it all away, and ends observation for half of those who have one."""
    base = RANDOM.normal(size=(*SHAPE[:2], 1, *rest))
    effect = np.array([0.0, 2.0]).reshape((2,) + (1,) * len(rest))
    hypothetical = base + effect
    happens = RANDOM.random(SHAPE) < p
    first = np.where(happens, RANDOM.uniform(0, 10, SHAPE), np.inf)
    whom = happens.reshape(SHAPE + (1,) * len(rest))
    actual = np.where(whom, base + 0 * effect, hypothetical)
    until = np.where(happens & (RANDOM.random(SHAPE) < 0.5), first, np.inf)
    return Lived(actual, hypothetical, 0.5 * (actual + hypothetical), actual, until, {"stop": first}, (), ("a", "b"))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("rest", [(), (3,)])
def test_without_events_all_truths_are_equal(strategy, rest):
    same = lived(0.0, rest)
    np.testing.assert_array_equal(strategy.target(same), same.actual)
    np.testing.assert_array_equal(strategy.observed(same), same.actual)
    assert np.isinf(strategy.until(same)).all()
    assert strategy.describe()


def test_all_strategies_are_in_the_table():
    assert {type(s) for s in STRATEGIES} == set(finished(AbstractEstimand)) - {PerEvent}


def test_truths_are_the_closed_forms():
    found = lived(0.4)
    effects = {}
    for strategy in STRATEGIES:
        table = strategy.target(found)
        difference = table[..., 1] - table[..., 0]
        effects[type(strategy).__name__] = (np.nanmean(difference), np.nanstd(difference) / np.sqrt(15000))
    expected = {
        "TreatmentPolicy": 1.2,
        "Hypothetical": 2.0,
        "WhileOnTreatment": 1.6,
        "WhileAlive": 1.2,
        "PrincipalStratum": 2.0,
    }
    for name, value in expected.items():
        effect, error = effects[name]
        assert abs(effect - value) < 4 * error + 1e-9, name
    # Whoever has an event counts as 0: 0.6 x 2 in arm 1, and nothing in arm 0.
    assert abs(effects["Composite"][0] - 1.2) < 4 * effects["Composite"][1]


def test_a_composite_of_certain_events_is_certain_failure():
    assert (Composite(1.0).target(lived(1.0)) == 1.0).all()


def test_the_stratum_is_of_patients_without_events_in_any_arm():
    found = lived(0.4)
    kept = np.isfinite(PrincipalStratum().target(found))
    np.testing.assert_array_equal(kept, np.isinf(found.first()).all(2, keepdims=True) & np.ones(SHAPE, bool))
    assert abs(kept[..., 0].mean() - 0.36) < 4 * np.sqrt(0.36 * 0.64 / 15000)


def deaths(p=0.3):
    """The same patients, some of whom die: what death takes is not there."""
    found = lived(0.4)
    dies = np.where(RANDOM.random(SHAPE) < p, RANDOM.uniform(0, 10, SHAPE), np.inf)
    actual = np.where(np.isfinite(dies), np.nan, found.actual)
    events = {"stop": found.first(), "death": dies}
    alive = np.where(np.isfinite(dies), -5.0, found.actual)
    return Lived(actual, found.hypothetical, found.on_treatment, alive, found.until, events, ("death",), ("a", "b"))


def test_what_counts_after_death_is_said_by_the_strategy():
    found = deaths()
    died, stopped = (np.isfinite(found.events[name]) for name in ("death", "stop"))
    assert (Composite(7.0).target(found)[died | stopped] == 7.0).all()
    only = Composite(7.0, ["death"]).target(found)
    assert (only[died] == 7.0).all()
    np.testing.assert_array_equal(only[~died], found.actual[~died])
    np.testing.assert_array_equal(WhileAlive().target(found), found.alive)
    np.testing.assert_array_equal(Hypothetical().target(found), found.hypothetical)
    assert np.isnan(TreatmentPolicy().target(found)[died]).all()
    kept = np.isfinite(PrincipalStratum("a").target(found))
    np.testing.assert_array_equal(kept[..., 0], np.isinf(found.first())[..., 0])  # died or stopped under b or not
    assert kept.any()
    assert not kept.all()


def test_an_event_is_known_if_it_happens_before_the_patient_leaves():
    """Who leaves and stops afterwards is missing, not a failure; who stops and leaves is one."""
    first, until = np.array([[[2.0, 5.0, np.inf]]]), np.array([[[2.0, 3.0, 4.0]]])
    value = np.ones((1, 1, 3))
    found = Lived(value, value, value, value, until, {"stop": first})
    assert Composite().until(found).tolist() == [[[np.inf, 3.0, 4.0]]]
    assert WhileOnTreatment().until(found).tolist() == [[[np.inf, 3.0, 4.0]]]
    assert WhileAlive().until(found).tolist() == until.tolist()
    assert Hypothetical().until(found).tolist() == [[[2.0, 3.0, 4.0]]]


def test_a_composite_of_times_is_the_first_of_them():
    first, value = np.array([[[2.0, 5.0, np.inf]]]), np.array([[[4.0, 4.0, np.inf]]])
    found = Lived(value, value, value, value, np.full(value.shape, 3.0), {"stop": first}, timed=True)
    assert Composite(0.0).target(found).tolist() == [[[2.0, 4.0, np.inf]]]
    assert (Composite(0.0).until(found) == 3.0).all()
    # What comes after the event is not seen by who asks what were without it.
    assert Hypothetical().observed(found).tolist() == [[[np.inf, 4.0, np.inf]]]


@pytest.mark.parametrize(
    ("estimand", "timed", "said"),
    [
        (TreatmentPolicy(), False, "death is death.*composite"),
        (Composite(only=["stop"]), False, "death is death.*while_alive"),
        (PrincipalStratum("a"), False, "death is death"),
        (TreatmentPolicy(), True, ""),
        (Composite(only=["death"]), False, ""),
        (Composite(), False, ""),
        (WhileAlive(), False, ""),
        (Hypothetical(), False, ""),
        (PrincipalStratum(), False, ""),
        (Composite(only=["rescue"]), True, "no intercurrent event"),
        (PrincipalStratum("c"), True, "no arm of the design"),
        (PerEvent({"stop": TreatmentPolicy(), "death": Composite()}), False, ""),
        (PerEvent({"stop": Composite(), "death": TreatmentPolicy()}), False, "death is death"),
        (PerEvent({"stop": Composite()}), True, "nothing of the intercurrent event 'death'"),
        (PerEvent({"rescue": Composite()}), True, "'rescue', which is no intercurrent event"),
    ],
)
def test_estimands_that_have_no_value_after_death_are_refused(estimand, timed, said):
    with pytest.raises(UserError, match=said) if said else contextlib.nullcontext():
        check_estimand(estimand, ["stop", "death"], ["death"], ["a", "b"], timed=timed)


def test_what_has_no_value_is_reported_as_that():
    design = Parallel({"a": ARM, "b": ARM}, 10)
    rules = Rules(design, Means("a"), Greatest(), AtOnce(), Clock(np.asarray(10.0), "value"), "h")
    oc = xr.Dataset(coords={"arm": ["a", "b"]})
    add_estimands(oc, estimand_truths(deaths(), rules, Composite(7.0)), rules, Composite(7.0), "mg")
    known = np.isfinite(oc["estimand"].to_numpy()).all(1)
    assert dict(zip(oc["strategy"].to_numpy().tolist(), known.tolist(), strict=True)) == {
        type(s).__name__: not isinstance(s, TreatmentPolicy) for s in STRATEGIES
    }


def test_events_are_counted_by_arm():
    happens = np.array([[[1.0, np.inf], [2.0, 3.0]], [[np.inf, np.inf], [2.0, np.inf]]])
    table = xr.Dataset({"event_stop": (("replicate", "subject", "arm"), happens)})
    oc = xr.Dataset(coords={"arm": ["a", "b"]})
    add_events(oc, table)
    np.testing.assert_allclose(oc["happened"].sel(happening="stop"), [0.75, 0.25])
    np.testing.assert_allclose(oc["happened_mcse"].sel(happening="stop"), 0.25)  # SD of (1, .5), and of (.5, 0), / 2^.5


def test_the_studys_own_composite_is_the_one_reported():
    """Not the one with the value of failure that a composite has unless told."""
    design = Parallel({"a": ARM, "b": ARM}, 10)
    rules = Rules(design, Means("a"), Greatest(), AtOnce(), Clock(np.asarray(10.0), "value"), "h")
    found, oc = lived(0.4), xr.Dataset(coords={"arm": ["a", "b"]})
    add_estimands(oc, estimand_truths(found, rules, Composite(7.0)), rules, Composite(7.0), "mg")
    expected = Composite(7.0).target(found)[:, 20:].mean((0, 1))
    np.testing.assert_allclose(oc["estimand"].sel(strategy="Composite"), expected, rtol=1e-12)
    assert oc["estimand"].attrs["units"] == "mg"
