"""Meta-analytic-predictive and other informative priors."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from vtrial.errors import UserError
from vtrial.statistics import borrowing, meta, mixture

NUMBER = np.array([107.0, 44, 51, 39, 139, 20, 78, 35])
EVENTS = np.array([23.0, 12, 19, 9, 39, 6, 9, 10])
"""Responders on placebo in eight trials of ankylosing spondylitis (Baeten et al. 2013)."""


@pytest.fixture(scope="module")
def history():
    return meta.binary(EVENTS, NUMBER, mean=0.0, sd=2.0, scale=1.0)


def test_ankylosing_spondylitis(history):
    # Brute force: every trial's integral by 2,400 equal steps, τ by 300 to 4 and μ by 240.
    mean = history.mass @ history.tau
    assert mean == pytest.approx(0.379465, abs=2e-5)
    assert np.sqrt(history.mass @ history.tau**2 - mean**2) == pytest.approx(0.210690, abs=2e-5)
    theta, mass = meta.predictive(history)
    assert mass @ expit(theta) == pytest.approx(0.258278, abs=2e-5)
    assert np.sqrt(mass @ expit(theta) ** 2 - (mass @ expit(theta)) ** 2) == pytest.approx(0.087414, abs=2e-5)
    # A coarser quadrature of another program, good to 1e-3. Its predictive mean .25879 and SD .08597 are what this one
    # has when logits are cut at -2.8 and 1.5 (.25874, .08592), so that its grid seems to end there; its own check by
    # sampling, .2585 and .0876, agrees with ours.
    found = [expit(meta.quantile(history, share)) for share in (0.025, 0.5, 0.975)]
    np.testing.assert_allclose(found, [0.11082, 0.24862, 0.47153], atol=1e-3)


def test_normal_history_in_closed_form():
    # With τ all but 0 the prior is that of the pooled mean.
    found = meta.normal(np.array([1.0, 2.0]), np.array([0.2, 0.4]), mean=0.0, sd=100.0, scale=1e-4)
    node, mass = meta.predictive(found)
    assert mass @ node == pytest.approx((1 / 0.04 + 2 / 0.16) / (1 / 0.04 + 1 / 0.16), rel=1e-4)
    assert np.sqrt(mass @ node**2 - (mass @ node) ** 2) == pytest.approx((1 / 0.04 + 1 / 0.16) ** -0.5, rel=1e-4)


def test_a_mixture_is_near_what_it_is_fitted_to(history):
    theta, mass = meta.predictive(history)
    prior = mixture.fit_beta(expit(theta), mass, 3)
    mean, sd = mixture.beta_moments(prior)
    assert float(mean) == pytest.approx(mass @ expit(theta), abs=2e-4)
    assert float(sd) == pytest.approx(0.087414, abs=5e-4)
    exact = stats.beta.cdf(0.3, prior.a, prior.b) @ prior.weight
    assert exact == pytest.approx(mass[expit(theta) < 0.3].sum(), abs=5e-3)


def test_one_component_is_found_again():
    node = np.linspace(0.0005, 0.9995, 1000)
    found = mixture.fit_beta(node, stats.beta.pdf(node, 3, 9), 1)
    np.testing.assert_allclose([found.a[0], found.b[0]], [3, 9], rtol=1e-3)
    node = np.linspace(-8, 12, 2000)
    found = mixture.fit_normal(node, stats.norm.pdf(node, 2, 1.5), 1)
    np.testing.assert_allclose([found.mean[0], found.sd[0]], [2, 1.5], rtol=1e-6)


ROBUST = mixture.robust_beta(mixture.BetaMixture(np.ones(1), np.array([6.0]), np.array([18.0])), 0.3)


def test_worth_is_consistent():
    # What data are worth on average is their number (Neuenschwander et al. 2020).
    alone = mixture.BetaMixture(np.ones(1), np.array([3.0]), np.array([9.0]))
    assert mixture.beta_worth(alone) == pytest.approx(12, abs=1e-5)
    one = mixture.NormalMixture(np.ones(1), np.zeros(1), np.array([0.5]))
    assert mixture.normal_worth(one, 2.0) == pytest.approx(16, rel=1e-9)
    number, events = 4, np.arange(5)
    chance = stats.betabinom.pmf(events[:, None], number, ROBUST.a, ROBUST.b) @ ROBUST.weight
    later = [mixture.beta_worth(mixture.update_beta(ROBUST, float(y), float(number))) for y in events]
    assert chance @ later - number == pytest.approx(mixture.beta_worth(ROBUST), abs=1e-3)


def test_updates_by_bayes_rule():
    posterior = mixture.update_beta(ROBUST, 4.0, 10.0)
    p = np.linspace(0.0005, 0.9995, 1000)
    density = (stats.beta.pdf(p[:, None], ROBUST.a, ROBUST.b) @ ROBUST.weight) * stats.binom.pmf(4, 10, p)
    found = stats.beta.pdf(p[:, None], posterior.a, posterior.b) @ np.asarray(posterior.weight)
    np.testing.assert_allclose(found, density / density.mean(), rtol=1e-3, atol=1e-3)
    prior = mixture.robust_normal(mixture.NormalMixture(np.ones(1), np.zeros(1), np.array([0.5])), 0.2, 0.0, 4.0)
    x = np.linspace(-12, 12, 4001)
    density = (stats.norm.pdf(x[:, None], prior.mean, prior.sd) @ prior.weight) * stats.norm.pdf(1.5, x, 0.8)
    after = mixture.update_normal(prior, 1.5, 0.8)
    found = stats.norm.pdf(x[:, None], after.mean, after.sd) @ np.asarray(after.weight)
    np.testing.assert_allclose(found, density / density.sum() / (x[1] - x[0]), atol=1e-8)


def test_power_and_commensurate_priors_at_their_ends():
    own, history = (1.0, 0.4), (2.0, 0.3)
    pooled = (1 / 0.16 + 2 / 0.09) / (1 / 0.16 + 1 / 0.09), (1 / 0.16 + 1 / 0.09) ** -0.5
    np.testing.assert_allclose(borrowing.power_prior_normal(*own, history, 0.0), own)
    np.testing.assert_allclose(borrowing.power_prior_normal(*own, history, 1.0), pooled)
    np.testing.assert_allclose(borrowing.commensurate_normal(*own, history, 0.0), pooled)
    np.testing.assert_allclose(borrowing.commensurate_normal(*own, history, 1e6), own, rtol=1e-9)
    np.testing.assert_allclose(borrowing.power_prior_binary(3.0, 10.0, (20.0, 100.0), 0.5), (1 + 10 + 3, 1 + 40 + 7))
    with pytest.raises(UserError, match="share"):
        borrowing.power_prior_normal(*own, history, 2.0)


def test_exact_type_one_error():
    # A rule that looks at the treated arm alone has a binomial error.
    decided = borrowing.decisions(lambda control, treated: treated > 12, 15, 20)
    assert borrowing.rejection(decided, 0.9, 0.4) == pytest.approx(stats.binom.sf(12, 20, 0.4))
    weighed = borrowing.decisions(
        lambda control, treated: (
            mixture.beta_mixture_below(mixture.update_beta(ROBUST, control, 15.0), 1 + treated, 21 - treated)
            > jnp.asarray(0.975)
        ),
        15,
        20,
    )
    # Borrowing gains where history is right and pays where it is not.
    assert borrowing.rejection(weighed, 0.25, 0.25) < 0.03 < borrowing.rejection(weighed, 0.45, 0.45)
