"""Analyses against SciPy and in thousands of trials: type I error, coverage, and bias where it is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vtrial.design import revealed
from vtrial.errors import UserError
from vtrial.statistics.multiplicity import Bonferroni
from vtrial.trial import (
    Adjusted,
    Ancova,
    BayesianMeans,
    BorrowedMeans,
    Logistic,
    Means,
    Mmrm,
    MultipleImputation,
    ReferenceBased,
)


def within(share, expected, trials):
    """Whether a share of trials is within four Monte-Carlo errors."""
    return abs(float(share) - expected) < 4 * np.sqrt(expected * (1 - expected) / trials)


def test_ancova_without_covariates_is_the_t_test():
    draw = np.random.default_rng(2)
    a, b = draw.normal(size=9), draw.normal(0.5, 1, 14)
    seen = revealed(jnp.repeat(jnp.arange(2), jnp.array([9, 14])), jnp.asarray(np.r_[a, b]))
    analyses = Ancova("a", robust=False), Adjusted(Ancova("a", robust=False), Bonferroni())
    found, twice = jax.jit(lambda: [analysis.compare(seen, 2, 0) for analysis in analyses])()
    expected = stats.ttest_ind(b, a)
    assert found.p[1] == pytest.approx(expected.pvalue, rel=1e-9)
    np.testing.assert_allclose((found.lower[1], found.upper[1]), expected.confidence_interval(), rtol=1e-8)
    assert twice.p[1] == pytest.approx(expected.pvalue, rel=1e-9)


def test_a_covariate_is_known_by_name_and_named_once():
    seen = revealed(jnp.array([0, 1]), jnp.zeros(2), covariates={"baseline": jnp.zeros(2)})
    with pytest.raises(UserError, match="Did you mean 'baseline'"):
        Ancova("a", ["basline"]).compare(seen, 2, 0)
    with pytest.raises(UserError, match="twice"):
        Mmrm("a", ["x", "x"])


def test_logistic_without_covariates_is_the_difference_of_shares():
    outcome = jnp.asarray(np.r_[np.arange(20) < 5, np.arange(30) < 18].astype(float))
    seen = revealed(jnp.repeat(jnp.arange(2), jnp.array([20, 30])), outcome)
    analyses = Logistic("a"), Logistic("a", firth=True)
    for found in jax.jit(lambda: [analysis.compare(seen, 2, 0) for analysis in analyses])():
        np.testing.assert_allclose(found.estimate, [5 / 20, 18 / 30], rtol=1e-8)


def test_a_prognostic_score_saves_what_it_should_and_noise_costs_nothing():
    """Of variance 0.64 is left at r = 0.6; no analysis errs more often than 5 %."""
    trials, arms, draw = 4000, 100, np.random.default_rng(4)
    score = draw.normal(size=(trials, 2 * arms))
    outcome = 0.6 * score + 0.8 * draw.normal(size=score.shape)
    arm, noise = jnp.arange(2 * arms) % 2, draw.normal(size=score.shape)
    calibrated = float(2 * stats.norm.sf(stats.t.isf(0.025, 2 * arms - 2)))
    analyses = (Means("a"), Ancova("a", ["score"]), Ancova("a", ["noise"]), BayesianMeans("a", alpha=calibrated))

    @jax.jit
    @jax.vmap
    def compare(outcome, score, noise):
        seen = revealed(arm, outcome, covariates={"score": score, "noise": noise})
        found = [analysis.compare(seen, 2, 0) for analysis in analyses]
        return jnp.stack([f.difference[1] for f in found]), jnp.stack([f.p[1] for f in found])

    difference, p = compare(jnp.asarray(outcome), jnp.asarray(score), jnp.asarray(noise))
    for i, analysis in enumerate(analyses):
        assert within((p[:, i] < analysis.alpha).mean(), 0.05, trials), analysis.describe()
    ratio = float(difference[:, 1].var() / difference[:, 0].var())
    # The error of a ratio of variances of two normal variables of correlation 0.8.
    assert ratio == pytest.approx(0.64, abs=4 * 0.64 * np.sqrt(4 * 0.36 / trials))


def longitudinal(key, trials, effect, random, patients=100):
    """Return arms, outcomes and who left: by the last value they saw (at random), or by the one they would have had."""
    root = jnp.linalg.cholesky(0.6 + 0.4 * jnp.eye(3))
    arm = jnp.arange(patients) % 2
    noise = jax.random.normal(key, (trials, patients, 3)) @ root.T
    outcome = noise + (arm[:, None] * effect * jnp.array([[0.3, 0.6, 1.0]]))[None]
    cause = outcome[..., :-1] if random else outcome[..., 1:]
    uniform = jax.random.uniform(jax.random.fold_in(key, 1), cause.shape)
    left = jnp.cumsum(uniform < jax.nn.sigmoid(1.5 * cause - 1.5), axis=-1) > 0
    known = jnp.concatenate([jnp.ones((trials, patients, 1), bool), ~left], axis=-1)
    return arm, jnp.where(known, outcome, jnp.nan)


@partial(jax.jit, static_argnums=0)
def analysed(analysis, arm, outcome):
    """Analyse every trial, some at a time."""
    found = jax.lax.map(lambda y: analysis.compare(revealed(arm, y), 2, 0), outcome, batch_size=50)
    return found.difference[:, 1], found.lower[:, 1], found.upper[:, 1], found.p[:, 1], found.code[:, 1]


@pytest.mark.slow
def test_mmrm_holds_at_random_and_is_biased_downwards_if_the_well_leave_unseen():
    trials = 2000
    error = {}
    for effect, random in ((0.0, True), (0.8, True), (0.8, False)):
        arm, outcome = longitudinal(jax.random.key(7), trials, effect, random)
        difference, lower, upper, p, code = analysed(Mmrm("a"), arm, outcome)
        assert (code == 0).all()
        mcse = float(difference.std()) / np.sqrt(trials)
        error[effect, random] = float(difference.mean() - effect) / mcse
        if random:
            assert within(((lower <= effect) & (effect <= upper)).mean(), 0.95, trials)
        if effect == 0:
            assert within((p < 0.05).mean(), 0.05, trials)
    assert abs(error[0.0, True]) < 4
    assert abs(error[0.8, True]) < 4
    # Those with high outcomes leave, and the treated have more of them.
    assert error[0.8, False] < -4


@pytest.mark.slow
def test_multiple_imputation_at_random_is_mmrm_with_noise():
    trials = 400
    arm, outcome = longitudinal(jax.random.key(8), trials, 0.0, True)
    mixed, *_ = analysed(Mmrm("a"), arm, outcome)
    imputed, _, _, p, code = analysed(MultipleImputation("a"), arm, outcome)
    assert (code == 0).all()
    assert within((p < 0.05).mean(), 0.05, trials)
    assert float(jnp.corrcoef(mixed, imputed)[0, 1]) > 0.95
    shifted, *_ = analysed(MultipleImputation("a", shift=-1.0), arm, outcome)
    # The shift lowers the treated mean by the share that is imputed.
    share = float(jnp.isnan(outcome[:, arm == 1, -1]).mean())
    np.testing.assert_allclose(jnp.mean(shifted - imputed), -share, rtol=1e-6)


@pytest.mark.slow
def test_jackknife_errors_of_jump_to_reference_are_those_of_repeated_trials():
    trials = 300
    arm, outcome = longitudinal(jax.random.key(9), trials, 0.8, True, patients=40)
    difference, lower, upper, _, code = analysed(ReferenceBased("a"), arm, outcome)
    assert (code == 0).all()
    error = (upper - lower) / (2 * stats.norm.isf(0.025))
    # The standard deviation of 300 values is known to 1 / sqrt(600).
    assert float(error.mean() / difference.std()) == pytest.approx(1, abs=4 / np.sqrt(2 * trials))
    # It loses effect where patients left: less than at random, more than none.
    assert 0 < float(difference.mean()) < float(analysed(Mmrm("a"), arm, outcome)[0].mean())


def test_borrowing_moves_the_control_towards_history_unless_they_disagree():
    draw = np.random.default_rng(3)
    analysis = BorrowedMeans("a", [0.0, 0.1, -0.1], [0.1, 0.1, 0.1], 1.0)

    def control(shift):
        outcome = jnp.asarray(draw.normal(size=40) + shift)
        found = analysis.compare(revealed(jnp.arange(40) % 2, outcome), 2, 0)
        square = float(outcome[::2].var(ddof=1)) / 20
        return float(found.estimate[0]), float(outcome[::2].mean()), float(found.error[0]), square

    near, mean, error, _ = control(0.2)
    assert abs(near) < abs(mean)
    assert error < 1 / np.sqrt(20)
    # Far off only the vague component counts, which is worth one patient: N(0, 1).
    far, mean, _, square = control(4.0)
    assert far == pytest.approx(mean / (1 + square), rel=1e-3)
