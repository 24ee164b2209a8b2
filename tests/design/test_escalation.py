"""Dose escalation: against exact probabilities, against the rules programmed a second time, and at its edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from scipy.stats import beta, binom

from vtrial.design import (
    BOIN,
    CRM,
    Arm,
    Ascending,
    DesignState,
    LogisticModel,
    Look,
    PowerModel,
    ThreePlusThree,
    revealed,
)
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.statistics import three_plus_three
from vtrial.trial import AtOnce, Clock, Closest, Potential, Proportions, Rules, conduct

NAMES = ("d1", "d2", "d3", "d4", "d5")
ARMS = dict.fromkeys(NAMES, Arm(Regimen("300 mg", "12 h", 4, "depot")))
TOXICITY = np.array([0.05, 0.1, 0.2, 0.3, 0.5])


def conducted(design, value, reference="d1"):
    rules = Rules(design, Proportions(reference), Closest(0.3), AtOnce(), Clock(np.asarray(21.0), "value"), "day")
    return conduct(jax.random.key(1), rules, Potential(value, np.full(value.shape[:3], np.inf), value, {}))


def patients(replicates, toxicity=TOXICITY, seed=0):
    """Each patient has a tolerance: toxic at one dose, toxic at all above."""
    tolerance = np.random.default_rng(seed).uniform(size=(replicates, 40, 1))
    return (tolerance < toxicity).astype(float)


UNKNOWN = np.stack([np.full((40, 5), np.nan), np.full((40, 5), np.inf)])


def counts(found, doses=5):
    """Patients and toxicities of each dose [replicate dose]."""
    given = np.asarray(found.arm)[..., None] == np.arange(doses)
    return given.sum(1), (given & (np.asarray(found.outcome)[..., None] > 0.5)).sum(1)


def test_three_plus_three_against_its_exact_probabilities():
    """And patients who are not known are replaced, as long as there are looks."""
    one_missing = np.zeros((1, 40, 5))
    one_missing[:, 1] = np.nan
    found = conducted(ThreePlusThree(ARMS), np.concatenate([patients(4000), one_missing, UNKNOWN]))
    exact, selected = three_plus_three.exact(TOXICITY), np.asarray(found.selected)
    for dose, p in zip(range(-1, 5), [exact.none, *exact.selected], strict=True):
        assert abs((selected[:4000] == dose).mean() - p) < 4 * np.sqrt(p * (1 - p) / 4000)
    given, toxic = counts(found)
    for number, expected in ((given[:4000], exact.patients), (toxic[:4000], exact.toxicities)):
        assert (np.abs(number.mean(0) - expected) < 4 * number.std(0) / np.sqrt(4000)).all()
    assert set(np.asarray(found.reason)[:4000][selected[:4000] == -1].tolist()) == {3}
    assert given[4000].tolist() == [4, 3, 3, 3, 3]
    assert selected[4000:].tolist() == [4, -1, -1]
    assert found.reason[4000:].tolist() == [0, 4, 4]


def boin(toxic, target=0.3, cohort=3, cohorts=10):
    """BOIN's rules a second time, for one trial [patient dose]: doses given, and the dose selected."""
    low, high = np.log(0.82 / 0.7) / np.log(0.3 * 0.82 / (0.18 * 0.7)), 0.35851946
    n, y, dose, open_, given = np.zeros(5, int), np.zeros(5, int), 0, 5, []
    for c in range(cohorts):
        n[dose] += cohort
        y[dose] += int(toxic[c * cohort : (c + 1) * cohort, dose].sum())
        given += [dose] * cohort
        if beta.sf(target, 1 + y[dose], 1 + n[dose] - y[dose]) > 0.95:
            open_ = min(open_, dose)
        if open_ == 0:
            return given, -1
        rate = y[dose] / n[dose]
        if rate <= low and dose + 1 < open_:
            dose += 1
        elif rate >= high and dose > 0:
            dose -= 1
        dose = min(dose, open_ - 1)
    used = [d for d in range(open_) if n[d]]
    a, b = y[used] + 0.05, n[used] - y[used] + 0.05
    smooth = isotonic_regression(a / (a + b), weights=1 / beta.var(a, b)).x + 1e-10 * np.array(used)
    return given, used[int(np.abs(smooth - target).argmin())]


def test_boin_against_a_second_program():
    toxic = patients(20, np.array([0.4, 0.5, 0.6, 0.7, 0.8]), 3)
    value = np.concatenate([patients(40), toxic, UNKNOWN])
    found = conducted(BOIN(ARMS, 0.3), value)
    for i in range(60):
        given, selected = boin(value[i])
        assert [a for a in np.asarray(found.arm[i]) if a >= 0] == given
        assert found.selected[i] == selected
        assert (found.reason[i] == 3) == (selected == -1)
    # What is not known changes nothing.
    assert found.selected[60:].tolist() == [-1, -1]
    assert (np.asarray(found.arm)[60:, :30] == 0).all()


def look(arm, outcome, number):
    seen = revealed(jnp.asarray(arm), jnp.asarray(outcome, float))
    compared = Proportions("d1").compare(seen, 6, 0)
    return Look(jnp.asarray(number), jnp.asarray(1.0), seen, compared, compared.statistic, 0.05, compared.estimate)


def test_boin_ends_when_a_dose_has_enough_patients():
    design = BOIN(ARMS | {"d6": ARMS["d1"]}, 0.3, enough=6)
    for count, stopped in ((3, False), (6, True)):
        after = design.decide(jax.random.key(0), design.init(), look([0] * count, [1, 0, 0] * (count // 3), 1))
        assert (after.memory.dose, after.stopped, after.reason) == (0, stopped, 4 * stopped)


@pytest.mark.parametrize("model", [PowerModel(), LogisticModel()])
def test_crm_follows_dfcrms_example(model):
    """Documentation of dfcrm: after ten patients the next dose is the second, by both working models."""
    skeleton = [0.05, 0.1, 0.2, 0.35, 0.5, 0.7]
    design = CRM(ARMS | {"d6": ARMS["d1"]}, 0.2, skeleton=skeleton, model=model, cohort=1, cohorts=20)
    start = design.init()
    state = DesignState(start.selected, start.stopped, start.rejected, start.reason, jnp.asarray(1))
    level, toxic = [2, 3, 3, 2, 2, 3, 2, 1, 1, 1], [0, 0, 1, 0, 0, 1, 1, 0, 0, 0]
    after = design.decide(jax.random.key(0), state, look(level, toxic, 9))
    assert (after.memory, after.selected, after.stopped) == (1, 1, False)


def test_crm_skips_no_dose_and_ends_for_toxicity():
    value = np.concatenate([patients(400), np.ones((1, 40, 5)), np.zeros((1, 40, 5)), UNKNOWN])
    found = conducted(CRM(ARMS, 0.3), value)
    arm, selected = np.asarray(found.arm), np.asarray(found.selected)
    assert (np.diff(arm[:400, :30])[arm[:400, 1:30] >= 0] <= 1).all()
    share = [(selected[:400] == d).mean() for d in range(5)]
    assert np.argmax(share) == 3  # the dose at the target
    assert sum(share[2:]) > 0.85
    assert selected[400:].tolist() == [-1, 4, -1, -1]
    assert found.reason[400:].tolist() == [3, 0, 0, 0]
    assert (arm[400] >= 0).sum() < 10
    assert arm[401, :18].tolist() == np.repeat([0, 1, 2, 3, 4, 4], 3).tolist()
    assert (arm[402:, :30] == 0).all()


ASCENDING = {"placebo": ARMS["d1"], "low": ARMS["d1"], "middle": ARMS["d1"], "high": ARMS["d1"]}


@pytest.mark.parametrize("harmful", [0.1, pytest.param(0.3, marks=pytest.mark.slow)])
def test_ascending_stops_for_nothing_as_often_as_the_binomial_says(harmful):
    """Every dose as placebo is: each cohort of six ends the trial with P(X > 1), X binomial, whichever came before."""
    value = (np.random.default_rng(9).uniform(size=(4000, 40, 4)) < harmful).astype(float)
    found = conducted(Ascending(ASCENDING, placebo="placebo"), value, "placebo")
    stop, selected = binom.sf(1, 6, harmful), np.asarray(found.selected)
    for dose, p in ((-1, stop), (1, (1 - stop) * stop), (2, (1 - stop) ** 2 * stop), (3, (1 - stop) ** 3)):
        assert abs((selected == dose).mean() - p) < 4 * np.sqrt(p * (1 - p) / 4000)
    assert not np.asarray(found.rejected).any()  # it claims no effect of any dose


def test_ascending_stops_by_its_rule():
    toxic = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], float)
    value = np.repeat(toxic[:, None, :], 40, axis=1)
    value[4, 8:16, 2] = np.nan  # nothing known of the second dose
    value[5, 8, 2] = 1.0  # one patient of it at most: tolerated
    found = conducted(Ascending(ASCENDING, placebo="placebo"), value, "placebo")
    assert found.selected.tolist() == [3, 3, 1, -1, 1, 3]
    assert found.reason.tolist() == [0, 0, 3, 3, 4, 0]
    for given, cohorts in zip(counts(found, 4)[0].tolist(), (3, 3, 2, 1, 2, 3), strict=True):
        assert given == [2 * cohorts, *[6] * cohorts, *[0] * (3 - cohorts)]


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: ThreePlusThree({}), "arms is empty"),
        (lambda: ThreePlusThree(ARMS, spare=-1), "spare"),
        (lambda: BOIN(ARMS, 0.3, cohort=0), "1 or more"),
        (lambda: BOIN(ARMS, 0.3, start="d9"), "no arm of the design"),
        (lambda: BOIN(ARMS, 0.3, high=0.2), "low < target"),
        (lambda: BOIN(ARMS, 0.3, enough=0), "design.enough"),
        (lambda: CRM(ARMS, 0.3, skeleton=[0.1, 0.3]), "2 guesses for 5 doses"),
        (lambda: CRM(ARMS, 1.3), "design.target"),
        (lambda: PowerModel(0.0), "must be positive"),
        (lambda: Ascending(ASCENDING, placebo="plcebo"), "Did you mean 'placebo'"),
        (lambda: Ascending({"placebo": ARMS["d1"]}, placebo="placebo"), "at least one dose"),
        (lambda: Ascending(ASCENDING, active=0), "1 or more"),
    ],
)
def test_mistakes(mistake, words):
    with pytest.raises(UserError, match=words):
        mistake()
