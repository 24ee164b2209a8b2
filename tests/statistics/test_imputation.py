"""Multiple and reference-based imputation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.statistics.data import visits
from vtrial.statistics import imputation, regression, strategy


def test_rubin():
    # R's mice::pool.scalar with 98 complete-data degrees of freedom.
    q, u = jnp.array([1.2, 1.35, 1.1, 1.28, 1.31]), jnp.array([0.04, 0.05, 0.045, 0.042, 0.047])
    np.testing.assert_allclose(imputation.pool(q, u, 98.0), [1.248, 0.056644, 41.5064350088, 0.2446365374], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.external
def test_antidepressant_jump_to_reference():
    # The vignette of R's rbmi: conditional means, jackknife; its sign is placebo minus drug.
    outcome, known = visits(
        "antidepressant.csv", "PATIENT", "CHANGE", "VISIT", {"THERAPY": lambda v: v == "DRUG", "BASVAL": float}
    )
    drug, base = known["THERAPY"], known["BASVAL"] - known["BASVAL"].mean()
    regressor = jnp.asarray(np.stack([1 - drug, drug, base], 1))
    reference = jnp.asarray(np.stack([np.ones(172), np.zeros(172), base], 1))
    patients = imputation.Patients(regressor, reference, jnp.asarray(outcome), jnp.asarray(np.isfinite(outcome)))

    def effect(filled, count):
        return jax.vmap(
            lambda v: regression.least_squares(regressor, v, count).coefficient @ jnp.array([-1.0, 1, 0]), 1
        )(filled)

    found = jax.jit(
        lambda: imputation.reference_based(patients, jnp.ones(172, bool), strategy.JumpToReference(), effect)
    )()
    np.testing.assert_allclose(found.estimate, [0.092, -1.305, -1.929, -2.126], atol=5e-4)
    np.testing.assert_allclose(found.error, [0.695, 0.878, 0.862, 0.858], atol=5e-4)


OWN, REFERENCE = jnp.array([1.0, 3.0, 6.0]), jnp.array([0.0, 1.0, 1.5])


@pytest.mark.parametrize(
    ("assumed", "last", "expected"),
    [
        (strategy.MissingAtRandom(), 0, [1, 3, 6]),
        (strategy.JumpToReference(), 0, [1, 1, 1.5]),
        (strategy.JumpToReference(), -1, [0, 1, 1.5]),
        (strategy.CopyIncrements(), 0, [1, 2, 2.5]),
        (strategy.CopyIncrements(), -1, [0, 1, 1.5]),
        (strategy.CopyReference(), 1, [0, 1, 1.5]),
    ],
)
def test_strategies(assumed, last, expected):
    np.testing.assert_allclose(assumed.mean(OWN, REFERENCE, jnp.asarray(last)), expected)


def test_a_missing_visit_is_the_regression_on_the_known():
    covariance = jnp.array([[4.0, 2.0], [2.0, 9.0]])
    known = jnp.array([[True, False], [True, True]])
    patients = imputation.Patients(jnp.ones((2, 1)), jnp.ones((2, 1)), jnp.array([[7.0, jnp.nan], [1.0, 2.0]]), known)
    filled = imputation.complete(jnp.array([5.0, 10.0]), covariance, patients, strategy.MissingAtRandom())
    np.testing.assert_allclose(filled, [[7.0, 10.0 + 2 / 4 * (7.0 - 5.0)], [1.0, 2.0]])


def test_tipping_point_in_closed_form():
    # Significance of a normal estimate of 3 with error 1 is lost when a shift takes 3 - 1.96.
    point = imputation.tipping_point(lambda d: 2 * jax.scipy.stats.norm.sf(jnp.abs(3.0 - d)), 0.0, 3.0, 0.05)
    assert float(point) == pytest.approx(3 - stats.norm.isf(0.025), abs=1e-9)
    never = imputation.tipping_point(lambda d: 2 * jax.scipy.stats.norm.sf(3.0 - d), 0.0, 0.5, 0.05)
    assert np.isnan(never)
