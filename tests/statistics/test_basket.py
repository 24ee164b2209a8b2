"""Baskets: a quadrature of another program, and limits that are known."""

import numpy as np
import pytest

from vtrial.errors import UserError
from vtrial.statistics.basket import pooled

# Chugh et al. 2009: ten sarcomas.
PATIENTS = np.array([16, 13, 12, 29, 31, 30, 27, 7, 2, 22])
RESPONDERS = np.array([2, 0, 1, 6, 7, 3, 5, 1, 0, 3])
MEAN = [0.1418741204, 0.1243222384, 0.1366579463, 0.1620891927, 0.1682522511]
MEAN += [0.1334389353, 0.1556475180, 0.1460589344, 0.1423049571, 0.1433898782]
PRIOR = {"mean": (-1.386, 2.0), "scale": 1.0}


def sums(spread):
    """Means of each rate and of the spread, by sums over the shared mean and these values of the spread."""
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    mean, spread = np.meshgrid(np.linspace(-5, 2, 141), spread, indexing="ij")
    rate = 1 / (1 + np.exp(-(mean[..., None] + spread[..., None] * node)))
    each = [rate**r * (1 - rate) ** (n - r) for r, n in zip(RESPONDERS, PATIENTS, strict=True)]
    chance = [e @ weight for e in each]
    joint = np.exp(-0.5 * ((mean + 1.386) / 2) ** 2 - 0.5 * spread**2) * np.prod([c / c.max() for c in chance], 0)
    joint = joint / joint.sum()
    rates = [(joint * ((e * rate) @ weight) / c).sum() for e, c in zip(each, chance, strict=True)]
    return np.array(rates), float((joint * spread).sum())


def test_the_hierarchical_model_against_plain_sums():
    rates, spread = sums(0.01 + 0.02 * np.arange(150))
    found = pooled(RESPONDERS, PATIENTS, **PRIOR)
    np.testing.assert_allclose(found.rate, rates, atol=2e-5)
    assert found.spread == pytest.approx(spread, abs=2e-4)
    np.testing.assert_allclose(found.exchangeable, 1.0)


def test_the_reference_leaves_out_the_smallest_spreads():
    """Its mean spread, .3327, and its rates to 1e-5, are those of a sum over spreads .02, .04, ... 3, without what is
    below .02, where the posterior density is greatest; the integral from 0 has .3263, and rates up to 5e-4 away."""
    rates, spread = sums(0.02 * np.arange(1, 151))
    np.testing.assert_allclose(rates[:5], MEAN[:5], atol=1.1e-5)
    assert spread == pytest.approx(0.33272795, abs=2e-4)
    found = pooled(RESPONDERS, PATIENTS, **PRIOR)
    assert np.abs(found.rate - MEAN).max() > 4e-4
    assert spread - found.spread > 6e-3


def test_baskets_apart_are_analysed_alone():
    theta = np.linspace(-14, 12, 20_001)
    found = pooled(RESPONDERS, PATIENTS, **PRIOR, alike=0.0, own=(-1.0, 1.5))
    for r, n, rate in zip(RESPONDERS, PATIENTS, found.rate, strict=True):
        p = 1 / (1 + np.exp(-theta))
        weight = p**r * (1 - p) ** (n - r) * np.exp(-0.5 * ((theta + 1) / 1.5) ** 2)
        assert rate == pytest.approx((weight * p).sum() / weight.sum(), abs=1e-6)


def test_a_basket_that_is_unlike_the_others_is_told_apart():
    patients, responders = np.full(6, 40), np.array([4, 5, 4, 6, 5, 30])
    found = pooled(responders, patients, mean=(-1.4, 2.0), scale=0.5, alike=0.5)
    assert found.exchangeable[5] < 0.2 < 0.5 < found.exchangeable[:5].min()
    alone, shared = 30 / 40, pooled(responders, patients, mean=(-1.4, 2.0), scale=0.5).rate[5]
    assert abs(found.rate[5] - alone) < abs(shared - alone)


def test_mistakes():
    with pytest.raises(UserError, match="positive spreads"):
        pooled(RESPONDERS, PATIENTS, mean=(0.0, 1.0), scale=0.0)
