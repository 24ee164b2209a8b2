"""Two arms have closed forms: the log odds ratio, Firth's as if half a patient were added to every cell."""

import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.statistics import logistic


def arms(events, number):
    outcome = np.concatenate([np.arange(n) < r for r, n in zip(events, number, strict=True)]).astype(float)
    arm = np.repeat(np.arange(2), number)
    return jnp.asarray(np.c_[np.ones(len(arm)), arm]), jnp.asarray(outcome), jnp.asarray(np.eye(2, dtype=bool)[arm])


@pytest.mark.parametrize(
    ("events", "added", "firth"), [((3, 9), 0.0, False), ((3, 9), 0.5, True), ((3, 12), 0.5, True)]
)
def test_two_arms(events, added, firth):
    design, outcome, member = arms(events, (10, 12))
    fit = logistic.fit(design, outcome, member.any(1), firth)
    odds = [np.log((r + added) / (n - r + added)) for r, n in zip(events, (10, 12), strict=True)]
    assert bool(fit.converged)
    np.testing.assert_allclose(fit.coefficient, [odds[0], odds[1] - odds[0]], rtol=1e-9)
    if not firth:
        variance = 1 / 3 + 1 / 7 + 1 / 9 + 1 / 3
        assert float(fit.covariance[1, 1]) == pytest.approx(variance, rel=1e-9)


def test_separation_has_no_estimate():
    design, outcome, member = arms((3, 12), (10, 12))
    assert not bool(logistic.fit(design, outcome, member.any(1)).converged)


def test_standardised_risk_without_covariates_is_the_share():
    design, outcome, member = arms((3, 9), (10, 12))
    fit = logistic.fit(design, outcome, member.any(1))
    given = jnp.stack([jnp.tile(jnp.array([[1.0, a]]), (22, 1)) for a in (0, 1)])
    found = logistic.standardise(fit, given, member, outcome)
    np.testing.assert_allclose(found.risk, [0.3, 0.75], rtol=1e-9)
    # p (1 - p) / n of each arm, times n / (n - columns) for the columns that are estimated.
    np.testing.assert_allclose(np.diag(found.covariance), np.array([0.021, 0.1875 / 12]) * 22 / 20, rtol=1e-9)
    assert float(found.covariance[0, 1]) == pytest.approx(0, abs=1e-12)
