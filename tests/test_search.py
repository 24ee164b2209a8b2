"""Sizes and thresholds found by search, against closed forms."""

import jax
import numpy as np
import pytest
from scipy.stats import norm

from vtrial.design import Arm, GroupSequential, Parallel
from vtrial.dosing import Regimen
from vtrial.errors import UserError
from vtrial.search import Search, search
from vtrial.statistics.boundaries import WangTsiatis
from vtrial.statistics.crossing import crossing, falls
from vtrial.statistics.futility import inflation, plan
from vtrial.statistics.sample_size import for_means, for_means_t
from vtrial.trial import AtOnce, Clock, Greatest, Means, Potential, Rules, conduct

NOISE = np.random.default_rng(1).normal(size=4000)
ARMS = {"control": Arm(Regimen("300 mg", "12 h", 4, "depot")), "drug": Arm(Regimen("300 mg", "12 h", 4, "depot"))}


def settings(between=(10.0, 300.0), target=None, **rest):
    return Search("design.per_arm", between, target or {"power": 0.8}, **rest)


def power(n, effect=0.5):
    """Each trial of a z test with n patients an arm; the same noise at every size."""
    return (NOISE + effect * np.sqrt(n / 2) > norm.isf(0.025)).astype(float)


def test_the_size_of_a_z_test():
    found = search(power, settings(), whole=True)
    exact = for_means(0.5, 1.0, power=0.8) / 2
    # The size moves with the power by its slope; the power's error is that of 4,000 trials.
    slope = norm.pdf(norm.isf(0.8)) * 0.5 / (2 * np.sqrt(2 * exact))
    error = np.sqrt(0.8 * 0.2 / 4000) / slope
    assert found.crossing.error == pytest.approx(error, rel=0.2)
    assert abs(found.value - exact) < 4 * error + 1
    assert found.crossing.lower < exact < found.crossing.upper
    assert found.value == np.ceil(found.crossing.at)
    assert len(found.tried) <= 9


def test_a_threshold_at_which_errors_are_few_enough():
    """A falling characteristic: 5 % of standard normal statistics are above 1.645."""
    given = Search("design.bound", (0.0, 4.0), {"type_one_error": 0.05}, evaluations=16)
    found = search(lambda bound: (NOISE > bound).astype(float), given, whole=False)
    assert abs(found.value - norm.isf(0.05)) < 4 * np.sqrt(0.05 * 0.95 / 4000) / norm.pdf(norm.isf(0.05))
    assert found.least  # greater bounds have fewer errors still


def test_the_interval_of_the_answer_covers_the_truth():
    """Of 100 searches 95 % cover, within four standard errors."""
    draws, places, hits = np.random.default_rng(2), np.array([0.0, 0.5, 1.0, 1.5, 2.0]), 0
    for _ in range(100):
        noise = draws.normal(size=300)
        found = crossing(places, np.stack([(noise < x) * 1.0 for x in places]), norm.cdf(0.75), rising=True)
        # Between places the curve is taken as straight.
        straight = 0.5 + 0.5 * (norm.cdf(0.75) - norm.cdf(0.5)) / (norm.cdf(1.0) - norm.cdf(0.5))
        hits += found.lower <= straight <= found.upper
    assert abs(hits / 100 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 100)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: search(power, settings((100.0, 300.0)), whole=True), "does not enclose the target"),
        (
            lambda: search(lambda n: power(100 - abs(n - 100)), settings((5.0, 180.0), {"power": 0.25}), whole=True),
            "goes up and down",
        ),
        (lambda: Search(), "calibrate.vary names the key"),
        (lambda: Search("x", (2.0, 1.0), {"power": 0.8}), "the lesser first"),
        (lambda: Search("x", (1.0, 2.0), {"powr": 0.8}), "Did you mean 'power'"),
        (lambda: Search("x", (1.0, 2.0), {"power": 80.0}), "between 0 and 1, not 80"),
        (lambda: Search("x", (1.0, 2.0), {"power": 0.8}, evaluations=2), "3 or more"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()


def test_a_fall_within_noise_is_none():
    noise = np.random.default_rng(4).normal(size=(2, 400))
    assert falls(noise) is None
    assert falls(np.array([[1.0], [0.0]]) + 0.1 * noise) == (0, 1)


def conducted(make, patients, replicates=3000):
    """Return what finds the power of a design of any size, on the same patients."""
    value = np.random.default_rng(7).normal(size=(replicates, patients + 4, 2)) + np.array([0.0, 0.5])
    table = Potential(value, np.full(value.shape, np.inf), value, {})

    def evaluate(n):
        rules = Rules(make(int(n)), Means("control"), Greatest(), AtOnce(), Clock(np.asarray(1.0), "value"), "week")
        return np.asarray(conduct(jax.random.key(1), rules, table).rejected)[:, 1].astype(float)

    return evaluate


@pytest.mark.slow
def test_trials_of_patients_have_the_size_of_the_t_test():
    found = search(conducted(lambda n: Parallel(ARMS, n), 300), settings((20.0, 140.0)), whole=True)
    assert abs(found.crossing.at - for_means_t(0.5, 1.0, power=0.8) / 2) < 4 * found.crossing.error


@pytest.mark.slow
def test_sequential_trials_need_more_by_the_inflation_factor():
    """Pocock's bounds at five looks; n is the size of a stage in both arms."""
    bounds, fifths = WangTsiatis(0.5), np.arange(1, 6) / 5

    def make(n):
        return GroupSequential(ARMS, (n,) * 5, "control", bounds)

    found = search(conducted(make, 300), settings((12.0, 56.0)), whole=True)
    exact = for_means(0.5, 1.0, power=0.8) * inflation(plan(fifths, bounds, 0.025), 0.025, 0.8) / 5
    assert abs(found.crossing.at - exact) < 4 * found.crossing.error + 1
