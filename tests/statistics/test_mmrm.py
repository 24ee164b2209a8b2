"""The repeated-measures model against SAS PROC MIXED and R's nlme, and against itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistics.data import visits
from vtrial.statistics import mmrm, reml

fit_groups = jax.jit(lambda *tables: mmrm.fit(reml.each(*tables)))
fit_crossed = jax.jit(lambda *tables: mmrm.fit(mmrm.crossed(*tables)))


@pytest.mark.external
def test_fev_against_sas():
    # SAS PROC MIXED, unstructured covariance, ddfm=satterthwaite: FEV1 = arm + sex.
    outcome, known = visits(
        "fev.csv", "USUBJID", "FEV1", "AVISIT", {"ARMCD": lambda v: v == "TRT", "SEX": lambda v: v == "Female"}
    )
    one = np.ones_like(outcome)
    design = np.stack([one, one * known["ARMCD"][:, None], one * known["SEX"][:, None]], -1)
    fit = fit_groups(jnp.asarray(design), jnp.asarray(outcome), jnp.asarray(np.isfinite(outcome)))
    found = np.array([reml.satterthwaite(fit, jnp.eye(3)[k]) for k in range(3)])
    assert bool(fit.converged)
    # SAS's own answer is 5e-4 from the maximum in the intercept: it stops earlier.
    np.testing.assert_allclose(found[:, 0], [41.0762, 3.8265, -0.1404], atol=6e-4)
    np.testing.assert_allclose(found[:, 1], [0.5504, 0.6422, 0.6434], atol=6e-5)
    np.testing.assert_allclose(found[:, 2], [156, 161, 161], atol=0.5)
    assert float(fit.deviance) == pytest.approx(3667.0, abs=0.05)


ORTHODONT = {
    "orthodont.csv": (
        [22.875, -1.6931818182, 0.9375, 2.84375, 4.59375, 0.10795454545, -0.93465909091, -1.6846590909],
        [
            0.5817783558,
            0.9114715121,
            0.5103055341,
            0.5031616720,
            0.5579389999,
            0.7994951208,
            0.7883028398,
            0.8741224195,
        ],
        -207.0174004985,
    ),
    "orthodont_missing.csv": (
        [22.875, -1.6931818182, 0.9375, 2.0938561209, 3.8398844978, 0.10795454545, -0.18476521179, -0.89262709909],
        [
            0.58177861092,
            0.91147191187,
            0.51030916141,
            0.46255560122,
            0.57166352528,
            0.79950080368,
            0.71194233615,
            0.85732134878,
        ],
        -170.3358065776,
    ),
}
"""R's nlme::gls: distance ~ sex * age, coefficients, errors (square roots of vcov), restricted log likelihood."""
SIGMA = [
    [5.4154568835, 2.7168224352, 3.9102215662, 2.7102305603],
    [2.7168224352, 4.1847757976, 2.9271559961, 3.3171610174],
    [3.9102215662, 2.9271559961, 6.4557329387, 4.1307388706],
    [2.7102305603, 3.3171610174, 4.1307388706, 4.9857390794],
]
"""Its covariance of the complete data."""
MEANS = [22.875, 21.1818181818, 23.8125, 22.2272727273, 25.71875, 23.0909090909, 27.46875, 24.0909090909]
MEAN_ERRORS = [0.58177835575, 0.70165109715, 0.51141811402, 0.6167934528]
MEAN_ERRORS += [0.63520336009, 0.76608407672, 0.55821921542, 0.67323770484]
"""R's emmeans of it: boys and girls at 8, 10, 12 and 14 years."""


@pytest.mark.external
@pytest.mark.parametrize("name", ORTHODONT)
def test_orthodont_against_nlme(name):
    expected, error, likelihood = ORTHODONT[name]
    outcome, known = visits(name, "Subject", "distance", "age", {"Sex": lambda v: v == "Female"})
    regressor = jnp.asarray(np.stack([np.ones(27), known["Sex"]], 1))
    fit = fit_crossed(regressor, jnp.asarray(outcome), jnp.asarray(np.isfinite(outcome)), jnp.ones(27))
    # nlme's columns are differences from the first visit; ours are visit by visit.
    change = np.kron(np.array([[1, 0, 0, 0], [-1, 1, 0, 0], [-1, 0, 1, 0], [-1, 0, 0, 1]]), np.eye(2))
    order = np.array([0, 1, 2, 4, 6, 3, 5, 7])
    np.testing.assert_allclose((change @ fit.coefficient)[order], expected, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(change @ fit.covariance @ change.T))[order], error, rtol=2e-5)
    assert float(fit.deviance) == pytest.approx(-2 * likelihood, abs=1e-6)
    if name == "orthodont.csv":
        np.testing.assert_allclose(mmrm.unpack(fit.theta, 4), SIGMA, atol=1e-4)
        at = np.kron(np.eye(4), [[1, 0], [1, 1]])
        np.testing.assert_allclose(at @ fit.coefficient, MEANS, atol=1e-6)
        np.testing.assert_allclose(np.sqrt(np.diag(at @ fit.covariance @ at.T)), MEAN_ERRORS, rtol=2e-5)


def small(key: int = 0) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    draw = np.random.default_rng(key)
    regressor = np.c_[np.arange(30) % 2, 1 - np.arange(30) % 2, draw.normal(size=30)]
    outcome = draw.normal(size=(30, 3)) @ np.array([[1.0, 0.6, 0.3], [0, 1, 0.7], [0, 0, 1.5]]) + regressor[:, :1]
    outcome[draw.random((30, 3)) < 0.2] = np.nan
    return jnp.asarray(regressor), jnp.asarray(outcome), jnp.asarray(np.isfinite(outcome)), jnp.ones(30)


def test_derivatives_are_those_of_the_deviance():
    groups = mmrm.crossed(*small())

    def at(theta):
        return reml.profile(jnp.broadcast_to(mmrm.unpack(theta, 3), (8, 3, 3)), groups)

    @jax.jit
    def both(theta):
        return jax.grad(lambda t: at(t).deviance)(theta), mmrm._derivatives(theta, at(theta), groups)[0]

    theta = mmrm.begin(groups) + 0.1
    gradient, found = both(theta)
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-9)
    step = 1e-5 * np.eye(6)
    slope = [(both(theta + h)[1].gradient - both(theta - h)[1].gradient) / 2e-5 for h in step]
    np.testing.assert_allclose(found.observed, np.array(slope), rtol=1e-7, atol=1e-6)
    assert np.linalg.eigvalsh(found.safe).min() > 0


def test_patterns_weights_and_trials_at_once_change_nothing():
    regressor, outcome, known, weight = small()
    design = jnp.einsum("st,na->nsta", jnp.eye(3), regressor).reshape(30, 3, 9)
    one = fit_crossed(regressor, outcome, known, weight)
    np.testing.assert_allclose(one.coefficient, fit_groups(design, outcome, known).coefficient, rtol=1e-9)
    left = fit_crossed(regressor, outcome, known & (jnp.arange(30) > 4)[:, None], weight)
    weighed = fit_crossed(regressor, outcome, known, weight * (jnp.arange(30) > 4))
    np.testing.assert_allclose(left.coefficient, weighed.coefficient, rtol=1e-9)
    np.testing.assert_allclose(left.deviance, weighed.deviance, rtol=1e-12)


def test_failure_is_a_value():
    regressor, outcome, known, weight = small()
    alike = fit_crossed(regressor, jnp.zeros_like(outcome), known, weight)
    assert not bool(alike.converged)
    # Nobody of the first arm is seen at the last visit: that coefficient, and no other, cannot be estimated.
    unseen = fit_crossed(regressor, outcome, known.at[:, 2].set(known[:, 2] & (regressor[:, 0] == 0)), weight)
    assert unseen.estimable.tolist() == [True] * 6 + [False, True, True]
    assert bool(unseen.converged)
