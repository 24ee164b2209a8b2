"""Correlations of etas: fixed, and known with uncertainty, against SciPy's normal and Fisher's law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from scipy import stats

from tests.helpers import half
from vtrial.errors import UserError
from vtrial.population import FixedCorrelation, KnownCorrelation, LKJCorrelation, LogNormalPrior, Parameter, Population
from vtrial.population import effects as random_effects
from vtrial.population.centring import Centred

NAMES = ("CL", "VC", "VP")
PAIRS = {"VP": {"CL": 0.43}, "CL": {"VC": 0.73}, "VC": {"VP": 0.65}}
"""In another order than the parameters."""
MATRIX = np.array([[1.0, 0.73, 0.43], [0.73, 1.0, 0.65], [0.43, 0.65, 1.0]])


def population(*blocks, **change):
    return Population({n: Parameter("L", LogNormalPrior(3.0, 0.3), half(0.5)) for n in NAMES}, blocks=blocks, **change)


def trace(p, values, subjects=4, centring=()):
    """Every site of the population level and of subjects, at stated values; drawn where they have none."""
    levels = random_effects.levels(p, {}, subjects)

    def model():
        draw, factor = p.sample()
        return random_effects.sample_effects(p, draw, factor, levels, centring)

    return handlers.trace(handlers.seed(handlers.substitute(model, values), 0)).get_trace()


@pytest.mark.parametrize("centring", [(), (Centred(NAMES),)])
def test_a_fixed_correlation_is_the_multivariate_normal(centring):
    """The density of the etas is SciPy's, over the Jacobian where they are sampled standardised; nothing is sampled."""
    p, omega = population(FixedCorrelation(PAIRS)), np.array([0.3, 0.35, 0.28])
    assert np.allclose(p.blocks[0].centre(), MATRIX)
    covariance = omega[:, None] * MATRIX * omega
    eta = np.random.default_rng(1).normal(size=(4, 3)) @ np.linalg.cholesky(covariance).T
    values = {f"{n}_iiv": o for n, o in zip(NAMES, omega, strict=True)} | dict.fromkeys(NAMES, 3.0)
    values["CL_VC_VP_phi"] = np.log(3.0) + eta
    values["eta_raw"] = np.linalg.solve(np.linalg.cholesky(covariance), eta.T).T
    sites = trace(p, {n: jnp.asarray(v) for n, v in values.items()}, centring=centring)
    assert not [n for n, site in sites.items() if site["type"] == "sample" and n.startswith("iiv_")]
    np.testing.assert_allclose(sites["iiv_correlation"]["value"], MATRIX, rtol=1e-12)
    for i, name in enumerate(NAMES):
        np.testing.assert_allclose(sites[f"{name}_eta"]["value"], eta[:, i], rtol=1e-9)
    etas = [s for n, s in sites.items() if s["type"] == "sample" and n.endswith(("_phi", "_raw"))]
    found = sum(float(s["fn"].log_prob(s["value"]).sum()) for s in etas)
    wanted = stats.multivariate_normal(cov=covariance).logpdf(eta).sum()
    jacobian = 0.0 if centring else 4 * np.log(np.diagonal(np.linalg.cholesky(covariance))).sum()
    assert found == pytest.approx(wanted + jacobian, rel=1e-10)


def test_people_are_drawn_with_a_fixed_correlation():
    p = population(FixedCorrelation({"CL": {"VP": -0.6}}))
    draw = {"CL_iiv": jnp.asarray(0.3), "VC_iiv": jnp.asarray(0.4), "VP_iiv": jnp.asarray(0.5)}
    factor = p.factor(draw)
    np.testing.assert_allclose(factor @ factor.T, [[0.09, 0, -0.09], [0, 0.16, 0], [-0.09, 0, 0.25]], atol=1e-15)
    assert p.correlated_pairs() == (("CL", "VP"),)
    assert p.correlated_pairs(estimated=True) == ()
    assert p.describe_correlation() == "fixed: CL and VP -0.6"


def test_a_known_correlation_of_two_has_the_law_of_one_estimated_in_so_many_people():
    """Fisher's z is normal with SD 1 / sqrt(n - 3): and so is that of correlations of simulated etas, but for its bias.

    The bias of an estimate is r / (2 (n - 1)), Hotelling 1953; the SD of 4,000 has a relative error of 1.1 %.
    """
    r, n = 0.6, 40
    law = KnownCorrelation({"CL": {"VC": r}}, n).distribution()
    z = np.arctanh(np.asarray(law.sample(jax.random.key(1), (4000,)))[:, 1, 0])
    etas = np.random.default_rng(2).multivariate_normal([0, 0], [[1, r], [r, 1]], size=(4000, n))
    other = np.arctanh([np.corrcoef(one.T)[0, 1] for one in etas])
    error = np.hypot(z.std(), other.std()) / np.sqrt(4000)
    assert abs(z.mean() - np.arctanh(r)) < 4 * error
    assert abs(z.mean() - (other.mean() - r / (2 * (n - 1)))) < 4 * error
    assert z.std() == pytest.approx(other.std(), rel=4 * np.sqrt(2 / (2 * 4000)))


def test_a_known_correlation_of_three():
    """Draws are correlation matrices around the published one: their partial correlations have Fisher's law."""
    law = KnownCorrelation(PAIRS, 60).ordered(NAMES).distribution()
    factor = np.asarray(law.sample(jax.random.key(3), (4000,)))
    matrix = factor @ np.swapaxes(factor, 1, 2)
    assert np.linalg.eigvalsh(matrix).min() > 0
    np.testing.assert_allclose(np.diagonal(matrix, axis1=1, axis2=2), 1.0, rtol=1e-12)
    # Of VC and VP given CL, by the textbook's formula.
    given = [
        (m[1, 2] - m[0, 1] * m[0, 2]) / np.sqrt((1 - m[0, 1] ** 2) * (1 - m[0, 2] ** 2)) for m in [MATRIX, *matrix]
    ]
    z = np.arctanh(given[1:])
    assert abs(z.mean() - np.arctanh(given[0])) < 4 / np.sqrt(56 * 4000)
    assert z.std() == pytest.approx(1 / np.sqrt(60 - 3 - 1), rel=4 / np.sqrt(2 * 4000))
    for i, j in ((0, 1), (0, 2)):
        assert abs(np.arctanh(matrix[:, i, j]).mean() - np.arctanh(MATRIX[i, j])) < 4 / np.sqrt(57 * 4000)


@pytest.mark.parametrize("block", [LKJCorrelation(NAMES, 3.0), KnownCorrelation(PAIRS, 60).ordered(NAMES)])
def test_log_priors_differ_as_the_densities_do(block):
    """That of Fisher's z is the density of the factor times the Jacobian of the transform, which NumPyro knows."""
    law, etas = block.distribution(), np.random.default_rng(4).normal(size=(5, 3, 20))
    factor = np.linalg.cholesky([np.corrcoef(one) for one in etas])
    wanted = np.asarray(law.log_prob(jnp.asarray(factor)))
    if isinstance(block, KnownCorrelation):
        (transform,) = law.transforms
        wanted = wanted + np.asarray(transform.log_abs_det_jacobian(transform.inv(factor), factor))
    else:  # the density is that of the matrix: NumPyro's is of its factor
        wanted = wanted - np.log(np.diagonal(factor, axis1=1, axis2=2)) @ np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(np.diff(block.log_prior(factor)), np.diff(wanted), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FixedCorrelation({}), "needs pairs"),
        (lambda: FixedCorrelation({"CL": {"VC": 1.0}}), "CL and VC must be between -1 and 1, not 1"),
        (lambda: FixedCorrelation({"CL": {"VC": 0.2}, "VC": {"CL": 0.3}}), "CL and VC more than once"),
        (lambda: FixedCorrelation({"CL": {"VC": 0.9, "VP": 0.9}, "VC": {"VP": -0.9}}), "no positive definite matrix"),
        (lambda: KnownCorrelation(PAIRS, 4), "at least 5 subjects, not 4"),
        (lambda: population(FixedCorrelation({"CL": {"VCC": 0.2}})), "'VCC', which has no iiv. Did you mean 'VC'"),
        (lambda: population(FixedCorrelation({"CL": {"VC": 0.2}}), KnownCorrelation(PAIRS, 9)), "'CL' twice"),
        (lambda: population(["CL", "CL"], correlation=2.0), "'CL' twice"),
        (lambda: population(FixedCorrelation(PAIRS), correlation=2.0), "has no block to act on"),
        (lambda: population(["CL", "VC"]), "list CL, VC, which needs population.correlation"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
