"""Sample sizes, combination tests and adaptive allocation against rpact and closed forms."""

import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from vtrial.errors import UserError
from vtrial.statistics.adaptive import best_of_betas, best_of_normals, tempered
from vtrial.statistics.boundaries import Spending, WangTsiatis
from vtrial.statistics.combination import (
    fisher_bounds,
    fisher_full_bound,
    fisher_product,
    inverse_normal,
    stage_statistic,
)
from vtrial.statistics.conditional import conditional_power, needed_information, second_critical
from vtrial.statistics.futility import inflation, plan
from vtrial.statistics.sample_size import (
    assurance,
    event_probability,
    events_needed,
    for_means,
    for_means_t,
    for_rates,
    patients_for_events,
    time_of_events,
)
from vtrial.statistics.spending import OBrienFlemingSpending

GOLD = json.loads((Path(__file__).parent / "data" / "rpact.json").read_text())
MONTHLY = math.log(2) / 12
"""Hazard of a median of 12 months."""
DROPOUT = -math.log(0.95) / 12
"""5 % in a year."""


@pytest.mark.parametrize(
    ("found", "gold", "accuracy"),
    [
        (lambda: for_means(0.5, 1.0), "ss_means_z", 1e-8),
        (lambda: for_means_t(0.5, 1.0), "ss_means_t", 5e-6),
        (lambda: for_rates(0.4, 0.25), "ss_rates", 1e-8),
    ],
)
def test_sizes(found, gold, accuracy):
    assert found() == pytest.approx(GOLD[gold], abs=accuracy)


def test_survival():
    gold, hazards = GOLD["ss_surv"], (0.7 * MONTHLY, MONTHLY)
    events = events_needed(0.7)
    assert events == pytest.approx(gold["events"], abs=1e-8)
    patients = patients_for_events(events, hazards, accrual=12, follow_up=12, dropout=DROPOUT)
    assert patients == pytest.approx(gold["n"], abs=1e-7)


def test_survival_with_an_interim_look():
    """60 % of the events, O'Brien-Fleming-type spending, no dropout."""
    gold, hazards = GOLD["ss_surv_gsd"], (0.7 * MONTHLY, MONTHLY)
    looks = plan((0.6, 1.0), Spending(OBrienFlemingSpending()), 0.025)
    events = events_needed(0.7) * inflation(looks, 0.025, 0.9)
    assert events == pytest.approx(gold["maxEvents"], abs=1e-5)
    patients = patients_for_events(events, hazards, accrual=12, follow_up=12)
    assert patients == pytest.approx(gold["maxN"], abs=1e-5)
    for number, share in enumerate((0.6, 1.0)):
        time = time_of_events(share * events, patients, hazards, accrual=12)
        assert time == pytest.approx(gold["analysisTime"][number][0], abs=1e-6)
    assert time_of_events(patients + 1, patients, hazards, accrual=12) == math.inf


def test_event_probability_is_the_integral_over_entry():
    entry = np.linspace(0, 10, 20_001)
    exposure = np.clip(15.0 - entry, 0, None)
    each = 0.1 / 0.12 * (1 - np.exp(-0.12 * exposure))
    assert event_probability(0.1, 15.0, 10.0, 0.02) == pytest.approx(np.trapezoid(each, entry) / 10, abs=1e-8)


def test_assurance():
    assert assurance(0.3, 0.15, math.sqrt(0.02), norm.ppf(0.975)) == pytest.approx(0.54407, abs=5e-6)
    assert assurance(0.3, 0.0, math.sqrt(0.02), norm.ppf(0.975)) == pytest.approx(0.56409, abs=5e-6)


def test_combination_bounds():
    assert fisher_bounds(0.025) == pytest.approx(GOLD["Fisher2"]["crit"], abs=1e-11)
    np.testing.assert_allclose(WangTsiatis(0.0).bounds((0.5, 1.0), 0.025), GOLD["INVN_OF2"]["crit"], atol=5e-8)
    # The rejection region has the level as its area.
    full = fisher_full_bound(0.025, 0.0102, 0.5)
    p = (jnp.arange(4000) + 0.5) / 4000
    first, second = jnp.meshgrid(p, p)
    rejected = (first <= 0.0102) | ((first < 0.5) & (fisher_product(first, second) <= full))
    assert float(rejected.mean()) == pytest.approx(0.025, abs=3e-4)


def test_stage_statistics_add_up():
    """The statistic of two stages pooled has the weights of their information."""
    second = stage_statistic(jnp.asarray(1.2), jnp.asarray(30.0), jnp.asarray(2.0), jnp.asarray(80.0))
    assert inverse_normal(jnp.asarray(1.2), second, 30 / 80) == pytest.approx(2.0)
    assert np.isnan(stage_statistic(jnp.asarray(1.2), jnp.asarray(30.0), jnp.asarray(1.2), jnp.asarray(30.0)))


def test_needed_information_gives_the_conditional_power():
    critical, effect = 1.97, 0.3
    second = second_critical(1.1, 0.5, critical)
    information = needed_information(second, effect, 0.9)
    assert ndtr(effect * np.sqrt(information) - second) == pytest.approx(0.9)
    # As planned (half the information to come) it is the conditional power of the group-sequential test.
    planned = conditional_power(1.1, 0.5, critical, effect * np.sqrt(2 * 25.0))
    assert planned == pytest.approx(float(ndtr(effect * 5.0 - second)))
    assert needed_information(second, -0.1, 0.9) == jnp.inf


@pytest.mark.parametrize(
    ("a", "b", "probability"),
    [
        ((8, 5), (14, 17), 0.847118104),
        ((13, 5), (9, 17), 0.994563896),
        ((1, 1), (1, 1), 0.5),
        ((0.5, 0.5), (0.5, 0.5), 0.5),
    ],
)
def test_probability_of_a_greater_rate(a, b, probability):
    found = best_of_betas(jnp.asarray(a, float), jnp.asarray(b, float))
    assert found[0] == pytest.approx(probability, abs=2e-9)
    assert found.sum() == pytest.approx(1.0, abs=1e-6)


def test_probability_of_a_greater_mean():
    found = best_of_normals(jnp.asarray([0.0, 0.3]), jnp.asarray([0.1, 0.2]))
    assert found[1] == pytest.approx(norm.cdf(0.3 / np.hypot(0.1, 0.2)), abs=1e-10)
    three = best_of_normals(jnp.asarray([0.2, 0.2, 0.2]), jnp.asarray([0.1, 0.1, 0.1]))
    np.testing.assert_allclose(three, 1 / 3, atol=1e-10)


def test_tempered_allocation():
    np.testing.assert_allclose(tempered(jnp.asarray([0.8, 0.2]), 0.5), [2 / 3, 1 / 3])  # sqrt 4 : 1
    np.testing.assert_allclose(tempered(jnp.asarray([0.9, 0.1]), 0.0), [0.5, 0.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: for_means(0.0, 1.0), "too small"),
        (lambda: for_means(0.5, 0.0), "standard deviation"),
        (lambda: for_means(0.5, 1.0, share=1.0), "share"),
        (lambda: for_rates(1.2, 0.3), "rate"),
        (lambda: events_needed(-1.0), "hazard ratio"),
        (lambda: for_means(0.5, 1.0, power=1.0), "Power"),
        (lambda: patients_for_events(10.0, (0.1, 0.0), accrual=1.0, follow_up=1.0), "positive"),
        (lambda: fisher_bounds(0.6, 0.5), "needs"),
        (lambda: fisher_full_bound(0.025, 0.03), "needs"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
