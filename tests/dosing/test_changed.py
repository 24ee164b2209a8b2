"""Tables changed inside a traced program: the steps are those of a table written that way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from vtrial.dosing import Dose, divided, event_table, given_only, joined, moved, resolve, sampled

MODEL = OneCompartmentOral()
SAMPLES = [0.0, 5.0, 11.0, 24.0, 40.0]
PLAIN = {"CL": jnp.asarray(2.8), "VC": jnp.asarray(32.0), "KA": jnp.asarray(1.5)}
LAGGED = PLAIN | {f"ALAG_{state}": jnp.asarray(0.7) for state in MODEL.states}


def steps(table, p=PLAIN):
    return resolve(MODEL, p, table, lambda train, q: (jnp.zeros(2), jnp.asarray(True)), jnp.zeros(2))


def same(found, expected):
    """What happens is the same, entries that do nothing apart; and each sample comes after as much of it."""
    for one in ("time", "amount", "rate", "state"):
        pair = [np.asarray(getattr(x, one))[np.asarray((x.amount != 0) | (x.rate != 0))] for x in (found, expected)]
        np.testing.assert_allclose(*pair, rtol=1e-14)
    np.testing.assert_array_equal(found.sample_time, expected.sample_time)
    given = [np.cumsum(np.asarray(x.amount))[np.asarray(x.sample_after)] for x in (found, expected)]
    np.testing.assert_allclose(*given, rtol=1e-14)


DOSES = {
    "bolus": lambda times: [Dose(t, 100.0, 0) for t in times],
    "infusion by duration": lambda times: [Dose(t, 100.0, 1, duration=2.0) for t in times],
    "infusion by rate": lambda times: [Dose(t, 100.0, 1, rate=40.0) for t in times],
}


@pytest.mark.parametrize("p", [PLAIN, LAGGED], ids=["as it is", "with a lag"])
@pytest.mark.parametrize("make", DOSES.values(), ids=DOSES)
def test_doses_moved_are_doses_at_other_times(make, p):
    """The second dose moves past a sample, the third before one."""
    due, later = np.array([0.0, 10.0, 25.0]), np.array([0.0, 1.5, -2.0])
    table = event_table([*SAMPLES, *make(due)])
    by = later[np.searchsorted(due, table.start).clip(0, 2)]
    same(steps(moved(table, jnp.asarray(by)), p), steps(event_table([*SAMPLES, *make(due + later)]), p))
    unmoved, zero = steps(table, p), steps(moved(table, jnp.zeros(len(by))), p)
    for one, other in zip(jax.tree.leaves(unmoved), jax.tree.leaves(zero), strict=True):
        np.testing.assert_array_equal(one, other)


def test_doses_added_and_left_out():
    own, added = [Dose(t, 100.0, 0) for t in (0.0, 12.0)], [Dose(5.0, 60.0, 1, duration=3.0), Dose(24.0, 10.0, 1)]
    table = joined(event_table([*SAMPLES, *own]), [event_table(added)])
    same(steps(table), steps(event_table([*SAMPLES, *own, *added])))
    assert (table.dosed, table.infused) == ((0, 1), (1,))
    fewer = given_only(table, (jnp.asarray(table.start) < 10.0).astype(float))
    same(steps(fewer), steps(event_table([*SAMPLES, own[0], added[0]])))


def test_samples_moved_keep_their_place():
    table = event_table([*SAMPLES, *(Dose(t, 100.0, 0) for t in (0.0, 12.0))])
    time = jnp.asarray([0.0, 13.0, 11.0, 24.0, 3.0])
    found, place = sampled(table, time)
    np.testing.assert_array_equal(np.asarray(found.sample_time)[np.asarray(place)], time)
    same(steps(found), steps(event_table([*sorted(time.tolist()), *(Dose(t, 100.0, 0) for t in (0.0, 12.0))])))


@pytest.mark.parametrize("changes", [[8.0], [8.0, 30.0], [8.0, 20.0, 35.0]], ids=str)
def test_parameters_change_in_between(changes):
    table = divided(event_table([*SAMPLES, Dose(0.0, 100.0, 0), Dose(12.0, 100.0, 0)]), jnp.asarray(changes))
    found = steps(table, PLAIN | {"CL": 2.8 + 0.1 * jnp.arange(len(changes) + 1.0)})

    def span(times):
        return [sum(t > change for change in changes) for t in times]

    assert found.span.tolist() == span(np.asarray(found.time).tolist())
    np.testing.assert_array_equal(found.sample_span, span(SAMPLES))
    np.testing.assert_array_equal(found.sample_interval, span(SAMPLES))
