"""Value of information against the closed forms of two options whose difference is normal."""

import numpy as np
import pytest
from scipy.stats import norm

from vtrial.statistics.information_value import best_now, chosen_after, gain_of_all, gain_of_choice

WORLDS = 20_000


def loss(mean, sd):
    """Expected gain over the better of 0 and the mean: the unit normal loss integral (Raiffa and Schlaifer 1961)."""
    return sd * norm.pdf(mean / sd) - abs(mean) * norm.sf(abs(mean) / sd)


def worlds(mean, sd, error):
    """Worth [world option] of doing nothing and of a treatment, and a trial's estimate of the treatment."""
    draws = np.random.default_rng(3)
    effect = draws.normal(mean, sd, WORLDS)
    return np.stack([np.zeros(WORLDS), effect], 1), (effect + error * draws.normal(size=WORLDS))[:, None]


@pytest.mark.parametrize(("mean", "sd", "error"), [(0.3, 1.0, 0.7), (-0.5, 1.0, 2.0), (0.0, 0.4, 0.4)])
def test_two_actions_with_a_normal_difference(mean, sd, error):
    worth, seen = worlds(mean, sd, error)
    assert best_now(worth) == int(mean > 0) or mean == 0
    gains = gain_of_all(worth), gain_of_choice(worth, chosen_after(worth, seen))
    preposterior = sd**2 / np.hypot(sd, error)  # SD of the posterior mean before the trial
    for gain, expected in zip(gains, (loss(mean, sd), loss(mean, preposterior)), strict=True):
        assert abs(gain.mean() - expected) < 4 * gain.std() / np.sqrt(WORLDS)
    assert (gains[0] >= gains[1]).all()  # in every world, so on average too
    assert gains[0].mean() > gains[1].mean() > 0


def test_a_trial_that_says_nothing_gains_nothing():
    worth, seen = worlds(0.3, 1.0, 0.7)
    noise = np.random.default_rng(5).normal(size=seen.shape)
    for nothing in (noise, np.full_like(seen, np.nan), np.ones_like(seen)):
        assert abs(gain_of_choice(worth, chosen_after(worth, nothing)).mean()) < 1e-12


def test_a_trial_that_says_everything_gains_all():
    worth, _ = worlds(0.3, 1.0, 0.7)
    np.testing.assert_array_equal(gain_of_choice(worth, chosen_after(worth, worth)), gain_of_all(worth))


def test_what_is_not_reported_is_a_report_too():
    """The trial reports nothing in just the worlds where the treatment harms."""
    worth, _ = worlds(0.3, 1.0, 0.7)
    silent = np.where(worth[:, 1:] < 0, np.nan, 1.0)
    np.testing.assert_array_equal(gain_of_choice(worth, chosen_after(worth, silent)), gain_of_all(worth))
