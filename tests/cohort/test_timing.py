"""Doses off their hour, doses made up for, visits off their day."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from vtrial.models.oral_1cpt import OneCompartmentOral

from vtrial.cohort import DoseTiming, NormalDeviation, Treatment, UniformDeviation
from vtrial.dosing import Dose, event_table
from vtrial.errors import UserError

MODEL = OneCompartmentOral()
KEYS = jax.random.split(jax.random.key(3), 2000)
DUE = np.array([0.0, 12.0, 24.0, 30.0])
ALL = jnp.ones(4, bool)


def off(timing, taken=ALL, due=DUE):
    found = jax.vmap(lambda k: timing.taken(k, due, taken, MODEL))(KEYS)
    return tuple(np.asarray(x) for x in found)


def test_errors_are_cut_normals_that_keep_the_order():
    """SD 2 h: half the way to the nearest dose is 6 h, then 3 h on both sides of the short gap."""
    error, taken = off(DoseTiming("2 h"))
    assert taken.all()
    assert (error[:, 0] == 0).all()  # the dose at entry
    for dose, room in ((1, 6.0), (2, 3.0), (3, 3.0)):
        assert stats.kstest(error[:, dose], stats.truncnorm(-room / 2, room / 2, scale=2.0).cdf).pvalue > 1e-4
    assert (np.diff(DUE + error, axis=1) > 0).all()
    assert np.abs(np.corrcoef(error[:, 1:].T)[np.triu_indices(3, 1)]).max() < 4 / np.sqrt(2000)


def test_an_error_belongs_to_the_hour_the_dose_is_due():
    error, _ = off(DoseTiming("1 h"))
    other, _ = off(DoseTiming("1 h"), ALL[:3], np.array([0.0, 12.0, 24.0]))
    np.testing.assert_array_equal(error[:, 1], other[:, 1])


def test_missed_doses_are_made_up_for():
    """A quarter of them, up to 4 h late, and up to half the way to the next dose, 3 h, before the short gap."""
    later, taken = off(DoseTiming("0 h", 0.25, "4 h"), jnp.array([True, False, False, False]))
    for dose, most in ((1, 4.0), (2, 3.0), (3, 4.0)):
        late = later[taken[:, dose], dose]
        assert abs(taken[:, dose].mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2000)
        assert stats.kstest(late, stats.uniform(0, most).cdf).pvalue > 1e-4


def test_without_error_nothing_moves():
    """Neither by errors of SD 0, nor where nothing is said."""
    table = event_table([0.0, 30.0, *(Dose(t, 100.0, 0) for t in DUE)])
    assert Treatment().taken(KEYS[0], table, MODEL) is table
    found = Treatment(timing=DoseTiming("0 h")).taken(KEYS[0], table, MODEL)
    for name in ("time", "start", "amount"):
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name))


VISITS = np.array([0.0, 24.0, 48.0])


@pytest.mark.parametrize(
    ("deviation", "law"),
    [
        (UniformDeviation("3 h", "6 h"), stats.uniform(-3, 9)),
        (NormalDeviation("4 h", "3 h", "6 h"), stats.truncnorm(-3 / 4, 6 / 4, scale=4)),
    ],
    ids=["uniform", "normal"],
)
def test_visits_come_in_their_window(deviation, law):
    deviation.check(VISITS, MODEL)
    time = np.asarray(jax.vmap(lambda k: deviation.times(k, VISITS, MODEL))(KEYS))
    assert (time[:, 0] == 0).all()
    for visit in (1, 2):
        assert stats.kstest(time[:, visit] - VISITS[visit], law.cdf).pvalue > 1e-4
    other = jax.vmap(lambda k: deviation.times(k, VISITS[1:], MODEL))(KEYS)
    np.testing.assert_array_equal(time[:, 1:], other)  # whatever other visits there are
    assert deviation.describe()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DoseTiming("-1 h").check(MODEL), "not negative"),
        (lambda: DoseTiming("1 h", 0.5).check(MODEL), "say how late"),
        (lambda: DoseTiming("1 h", 2.0, "1 h").check(MODEL), "is a probability"),
        (lambda: DoseTiming("1 h", 0.5, "0 h").check(MODEL), "must be positive"),
        (lambda: UniformDeviation("13 h", "11 h").check(VISITS, MODEL), "overlap"),
        (lambda: UniformDeviation("25 h", "0 h").check(VISITS[1:], MODEL), "before entry"),
        (lambda: UniformDeviation("0 h", "0 h").check(VISITS, MODEL), "one is positive"),
        (lambda: NormalDeviation("0 h", "1 h", "1 h").times(KEYS[0], VISITS, MODEL), "must be positive"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
