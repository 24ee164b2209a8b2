"""What happens during treatment: adherence, events with hazards, and the same patient with and without them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.cohort.test_outcomes import ENDPOINTS, HIGH, KEY, LOW, posterior
from tests.cohort.test_recruit import draws
from tests.helpers import bateman
from vtrial.cohort import Adherence, Bootstrap, Die, Event, Leave, Recruitment, Treatment, fates, recruit, simulate
from vtrial.cohort.course import draw
from vtrial.errors import UserError

MODEL = OneCompartmentOral()
ARMS = {"low": LOW, "high": HIGH}
GRID = np.linspace(0.0, 20.0, 41)


def test_doses_follow_a_markov_chain():
    """Its long-run share is p01 / (p01 + p10), and a run of missed doses is 1 / p01 long on average."""
    chain = Adherence(after_taken=0.9, after_missed=0.6)
    taken = np.asarray(jax.vmap(lambda k: chain.taken(k, 60))(jax.random.split(KEY, 2000)))
    before, after = taken[:, :-1], taken[:, 1:]
    for state, p in ((True, 0.9), (False, 0.6)):
        n = (before == state).sum()
        assert abs(after[before == state].mean() - p) < 4 * np.sqrt(p * (1 - p) / n)
    share = 0.6 / (0.6 + 0.1)
    for dose in (0, 59):  # the first dose is as likely as any
        assert abs(taken[:, dose].mean() - share) < 4 * np.sqrt(share * (1 - share) / 2000)
    assert np.asarray(Adherence(1.0, 1.0).taken(KEY, 5)).all()


def test_a_patients_own_level_correlates_the_doses_far_apart():
    chain = Adherence(0.8, 0.8, variation=1.5)
    taken = np.asarray(jax.vmap(lambda k: chain.taken(k, 40))(jax.random.split(KEY, 2000))).astype(float)
    assert np.corrcoef(taken[:, 0], taken[:, -1])[0, 1] > 4 / np.sqrt(2000)


def times(keys, hazard):
    """Return when patients have an event of that hazard."""
    return np.asarray(jax.vmap(lambda key: hazard.reaches(draw(key, "it")))(keys))


@pytest.mark.parametrize(("slope", "level", "weight"), [(0.0, 0.0, 0.0), (0.7, 2.0, 0.0), (-0.5, 1.0, 0.02)])
def test_a_constant_hazard_is_exponential(slope, level, weight):
    event = Event("0.1 1/h", "concentration" if slope else None, slope, {"WT": weight} if weight else {})
    true = {"concentration": jnp.full(len(GRID), level)}
    keys = jax.random.split(KEY, 4000)
    covariates = {"WT": jnp.asarray(70.0)}
    time = times(keys, event.hazard(GRID, true, covariates, MODEL))
    hazard = 0.1 * np.exp(slope * level + weight * 70.0)
    for t in (1.0, 5.0, 20.0):
        p = 1 - np.exp(-hazard * t)
        assert abs((time <= t).mean() - p) < 4 * np.sqrt(p * (1 - p) / 4000) + 1e-12
    assert np.isinf(time[time > 20]).all()


def test_a_hazard_that_grows_with_the_output_is_its_integral():
    """Hazard 0.05 exp(0.1 t): the share by time t is 1 - exp(-0.5 (exp(0.1 t) - 1))."""
    event, fine = Event("0.05 1/h", "concentration", 0.1), np.linspace(0.0, 20.0, 401)
    keys = jax.random.split(KEY, 4000)
    time = times(keys, event.hazard(fine, {"concentration": jnp.asarray(fine)}, {}, MODEL))
    p = 1 - np.exp(-0.5 * (np.exp(0.1 * 12.0) - 1))
    assert abs((time <= 12.0).mean() - p) < 4 * np.sqrt(p * (1 - p) / 4000)


@pytest.fixture(scope="module")
def cohort(statistical, data):
    return recruit(jax.random.key(0), Recruitment(4, 12, Bootstrap()), draws(), statistical, data)


def test_what_never_happens_changes_nothing(cohort, statistical):
    plain = simulate(KEY, cohort, (LOW,), ENDPOINTS, posterior(0.5), statistical)
    course = Treatment(Adherence(1.0, 1.0), {"stop": Event("0 1/h")})
    found = simulate(KEY, cohort, (LOW,), ENDPOINTS, posterior(0.5), statistical, course=course)
    for name, value in plain.values.items():
        np.testing.assert_array_equal(found.values[name], value)
        for other in ("hypothetical", "on_treatment"):
            np.testing.assert_array_equal(found.fate[f"{other}_{name}"], value)
    assert set(found.fate) == set(fates(ENDPOINTS, course))
    assert np.isinf(found.fate["event_stop"]).all()
    assert not plain.fate


def test_doses_stop_with_the_event_and_not_before(cohort, statistical):
    course = Treatment(events={"stop": Event("0.03 1/h"), "leave": Event("0.01 1/h", then=Leave())})
    found = simulate(KEY, cohort, (LOW,), ENDPOINTS, posterior(), statistical, course=course)
    stop, leave = found.fate["event_stop"][..., 0], found.fate["event_leave"][..., 0]
    assert (np.isfinite(stop) & np.isfinite(leave)).any()  # who has stopped may leave, and the other way round
    np.testing.assert_array_equal(found.fate["until"][..., 0], leave)
    for r, s in np.argwhere(stop < 48.0)[:5].tolist() + np.argwhere(np.isinf(stop))[:2].tolist():
        cl, vc, ka = (float(cohort.parameters[n][r, s]) for n in ("CL", "VC", "KA"))
        taken = [k for k in range(4) if 12.0 * k < stop[r, s]]
        truth = sum(bateman(np.array([48.0 - 12 * k]), 200.0, ka, cl, vc)[0] for k in taken)
        assert found.values["sample"][r, s, 0] == pytest.approx(truth, rel=1e-9)
        whole = sum(bateman(np.array([48.0 - 12 * k]), 200.0, ka, cl, vc)[0] for k in range(4))
        assert found.fate["hypothetical_sample"][r, s, 0] == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Adherence(0.0, 0.5), "after_taken is a probability"),
        (lambda: Adherence(0.5, 0.5, -1.0), "standard deviation"),
        (lambda: Event("0.1 1/h", then=()), "name one in `then`"),
        (lambda: Event("0.1 1/h", then=(Die(), Leave())), "leave only Die"),
        (
            lambda: Treatment(events={"stop": Event("0.1 1/h", "effect")}).check(MODEL, ARMS, ("CL",)),
            "no output of the model",
        ),
        (lambda: Treatment(events={"stop": Event("0.1 mg")}).check(MODEL, ARMS, ("CL",)), "course.events.stop.rate"),
        (lambda: Treatment(events={"stop": Event("-0.1 1/h")}).check(MODEL, ARMS, ("CL",)), "not negative"),
        (lambda: Treatment(changes=0).check(MODEL, ARMS, ("CL",)), "course.changes must be 1 or more"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
