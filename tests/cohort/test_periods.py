"""Events in designs with periods: they run on between periods, and spare who has none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.cohort.test_outcomes import ENDPOINTS, HIGH, KEY, LOW, posterior
from tests.cohort.test_recruit import draws
from vtrial.cohort import (
    Adherence,
    Bootstrap,
    Cohort,
    Die,
    Event,
    Leave,
    Recruitment,
    Rescue,
    Stop,
    Switch,
    Treatment,
    recruit,
    simulate,
)

SPACING = 168.0
ENDS = {"sample": ENDPOINTS["sample"]}
EVENTS = {
    "stop": Event("0.004 1/h"),
    "rescue": Event("0.006 1/h", "concentration", 0.2, then=Rescue(factors={"CL": 2})),
}


@pytest.fixture(scope="module")
def run(statistical, data):
    """Return a function from arms and a course to outcomes of two periods, which differ in CL."""
    cohort = recruit(jax.random.key(0), Recruitment(4, 60, Bootstrap()), draws(), statistical, data)
    twice = {name: jnp.stack([v, v * (0.8 if name == "CL" else 1.0)], -1) for name, v in cohort.parameters.items()}
    both = Cohort(cohort.draw, twice, cohort.covariates)

    def outcomes(course, names=("low", "high"), spacing=SPACING):
        arms = tuple({"low": LOW, "high": HIGH}[name] for name in names)
        own = (ENDS, posterior(0.5), statistical)
        return simulate(KEY, both, arms, *own, course=course, names=names, spacing=spacing)

    return outcomes


@pytest.fixture(scope="module")
def found(run):
    return run(Treatment(events=EVENTS))


def test_who_has_no_event_in_a_period_is_as_without_events(found):
    """Bit for bit, whatever happened in the period before."""
    plain = found.fate["hypothetical_sample"]
    spared = np.isinf([found.fate[f"event_{name}"] for name in EVENTS]).all(0)
    assert found.values["sample"].shape == spared.shape == (4, 60, 2, 2)
    assert (spared[..., 1] & ~spared[..., 0]).any()
    np.testing.assert_array_equal(found.values["sample"][spared], plain[spared])
    early = np.min([found.fate[f"event_{name}"] for name in EVENTS], axis=0) < 36.0  # the last dose
    assert (found.values["sample"][early] != plain[early]).all()


def test_hazards_run_on_to_the_next_period_and_end_with_the_last(found):
    """A constant hazard: 1 - exp(-rate t), t the time to the next period, or to the end of the last."""
    stop = found.fate["event_stop"]
    assert (np.isfinite(stop) & np.isfinite(found.fate["event_rescue"])).any((0, 1, 2)).all()
    assert np.nanmax(np.where(np.isfinite(stop), stop, 0.0)[..., 0]) > 100.0
    times = np.min([stop, found.fate["event_rescue"]], axis=0)
    assert (times[np.isfinite(times)] <= SPACING).all()
    assert (times[..., 1][np.isfinite(times[..., 1])] <= 48.0).all()


@pytest.mark.slow
def test_shares_are_the_closed_form(run):
    found = run(Treatment(events={"leave": Event("0.004 1/h", then=Leave())}))
    left = np.isfinite(found.fate["event_leave"][:, :, 0])
    for period, time in enumerate((SPACING, 48.0)):
        p = 1 - np.exp(-0.004 * time)
        assert abs(left[..., period].mean() - p) < 4 * np.sqrt(p * (1 - p) / 240)
    # One period does not tell of another: they are independent.
    both = left.all(-1).mean(), left[..., 0].mean() * left[..., 1].mean()
    assert abs(both[0] - both[1]) < 4 * 0.25 / np.sqrt(240)
    np.testing.assert_array_equal(found.fate["event_leave"][:, :, 0], found.fate["event_leave"][:, :, 1])


@pytest.mark.slow
def test_the_order_of_arms_changes_nothing(run, found):
    turned = run(Treatment(events=EVENTS), ("high", "low"))
    for name, value in (found.values | dict(found.fate)).items():
        other = (turned.values | dict(turned.fate))[name]
        np.testing.assert_allclose(other[:, :, ::-1], value, rtol=1e-12, err_msg=name)


@pytest.mark.slow
def test_what_cannot_happen_changes_nothing(run, found):
    """Bit for bit."""
    plain = run(None).values["sample"]
    never = {name: Event("0 1/h", then=event.then) for name, event in EVENTS.items()}
    nothing = run(Treatment(events=never))
    np.testing.assert_array_equal(nothing.values["sample"], plain)
    assert np.isinf(nothing.fate["event_stop"]).all()
    np.testing.assert_array_equal(found.fate["hypothetical_sample"], plain)


@pytest.mark.parametrize(
    ("then", "finishes"),
    [
        (Stop(), True),
        (Stop(resumes=True), False),
        ((Stop(resumes=True), Leave()), True),
        (Leave(), True),
        (Die(), True),
        (Rescue(factors={"CL": 2.0}), False),
        (Switch("high"), False),
    ],
)
def test_what_ends_a_patients_part_in_the_trial(then, finishes):
    assert Event("1 1/h", then=then).finishes == finishes


@pytest.mark.slow
def test_a_patients_level_of_adherence_is_one_in_all_periods(run):
    """Doses of two periods go together by it; what is missed is drawn anew in each."""
    course = Treatment(Adherence(0.6, 0.6, variation=3.0))
    missed = run(course).values["sample"][:, :, 0] / run(None).values["sample"][:, :, 0]
    taken = missed.reshape(-1, 2) > 0.9
    both = taken.astype(float)
    assert np.corrcoef(both[:, 0], both[:, 1])[0, 1] > 4 / np.sqrt(240)
    assert (taken[:, 0] != taken[:, 1]).any()
