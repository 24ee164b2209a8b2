"""Outcomes missing at random, by what was measured, and not at random, by what nobody sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.design.simulated import arms
from vtrial.cohort import Event, Leave
from vtrial.design import Parallel
from vtrial.errors import UserError
from vtrial.trial import AtOnce, Clock, Greatest, Mmrm, Potential, Rules, conduct

MODEL, KEY, VISITS = OneCompartmentOral(), jax.random.key(4), np.array([1.0, 2.0, 3.0])
GRID = np.linspace(0.0, 3.0, 31)


def test_a_hazard_by_what_was_seen_is_constant_between_visits():
    """None before the first visit, then exp(value): the shares by a time are 1 - exp(-sum of hazard x length)."""
    event, seen = Event("0.2 1/h", slope=1.0, endpoint="score"), jnp.array([0.5, -1.0, 2.0])
    hazard = event.hazard(GRID, {}, {}, MODEL, {"score": (VISITS, seen)})
    time = np.asarray(jax.vmap(hazard.reaches)(jax.random.exponential(KEY, (4000,))))
    for t, total in ((0.7, 0.14), (1.5, 0.2 + 0.1 * np.exp(0.5)), (2.9, 0.2 + 0.2 * np.exp(0.5) + 0.18 * np.exp(-1.0))):
        p = 1 - np.exp(-total)
        assert abs((time <= t).mean() - p) < 4 * np.sqrt(p * (1 - p) / 4000)


def test_an_event_is_driven_by_one_thing():
    with pytest.raises(UserError, match="leave one of them out"):
        Event("0.2 1/h", "concentration", 1.0, endpoint="score")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("random", "event"),
    [
        (True, Event("0.15 1/h", slope=1.0, endpoint="score", then=Leave())),
        (False, Event("0.15 1/h", "score", 1.0, then=Leave())),
    ],
)
def test_mmrm_is_unbiased_where_outcomes_are_missing_at_random(random, event):
    """Three correlated visits, 0.5 more under b at each next one; who has great values leaves.

    Completers are then biased either way. By the last measured value MMRM is not; by the present one, which is not
    measured any more, it is.
    """
    replicates, needed, rng = 400, 200, np.random.default_rng(6)
    people = rng.normal(size=(replicates, needed + 1, 1, 1)) + rng.normal(size=(replicates, needed + 1, 1, 3))
    value = people + np.array([[0.0, 0.0, 0.0], [0.5, 1.0, 1.5]])

    def leaves(key, own):
        path = {"score": jnp.interp(GRID, VISITS, own)}
        return event.hazard(GRID, path, {}, MODEL, {"score": (VISITS, own)}).reaches(jax.random.exponential(key))

    keys = jax.random.split(KEY, value[..., 0].size)
    until = np.asarray(jax.vmap(leaves)(keys, value.reshape(-1, 3))).reshape(value.shape[:3])
    rules = Rules(Parallel(arms("a", "b"), 100), Mmrm("a"), Greatest(), AtOnce(), Clock(VISITS, "visits"), "h")
    trials = conduct(KEY, rules, Potential(value, until, value, {}))
    assert (np.asarray(trials.comparison.code) == 0).all()
    bias = np.asarray(trials.comparison.difference)[:, 1] - 1.5
    last, arm = np.asarray(trials.outcome)[..., 2], np.asarray(trials.arm)
    mean = [np.nanmean(np.where(arm == a, last, np.nan), axis=1) for a in (0, 1)]
    completers = mean[1] - mean[0] - 1.5
    z, naive = (x.mean() / (x.std(ddof=1) / np.sqrt(replicates)) for x in (bias, completers))
    assert abs(naive) > 8
    assert abs(z) < 4 if random else abs(z) > 8
