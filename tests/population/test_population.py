import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import half
from vtrial.errors import UserError
from vtrial.population import (
    CappedPowerEffect,
    CategoricalEffect,
    ExponentialEffect,
    FactorEffect,
    HalfNormalPrior,
    LinearEffect,
    LogNormalPrior,
    Parameter,
    Population,
    PowerEffect,
    SigmoidEffect,
    check_observed,
)

MODEL = OneCompartmentOral()


def population(correlation=2.0, **change):
    parameters = {
        "CL": Parameter("L/h", LogNormalPrior(2.8, 0.3), half(0.5), {"WT": PowerEffect("WT", "kg", 70.0, 0.75)}),
        "VC": Parameter("L", LogNormalPrior(32.0, 0.3)),
        "KA": Parameter("1/h", LogNormalPrior(1.5, 0.5), half(0.5)),
    }
    return Population(parameters | change, correlation)


@pytest.mark.parametrize("prior", [LogNormalPrior(2.8, 0.3), HalfNormalPrior(0.5)])
def test_centre_is_the_median_and_scaling_scales(prior):
    law, scaled = prior.distribution(), prior.scaled(1000.0).distribution()
    assert float(law.cdf(prior.centre())) == pytest.approx(0.5, abs=1e-12)
    assert float(scaled.cdf(1000.0 * prior.centre())) == pytest.approx(0.5, abs=1e-12)


def test_priors_are_those_of_scipy():
    value = np.array([0.5, 2.0, 5.0])
    np.testing.assert_allclose(
        LogNormalPrior(2.8, 0.3).distribution().log_prob(value), stats.lognorm(0.3, scale=2.8).logpdf(value)
    )
    np.testing.assert_allclose(half(0.5).distribution().log_prob(value), stats.halfnorm(scale=0.5).logpdf(value))


@pytest.mark.parametrize(
    ("effect", "factor"),
    [
        (PowerEffect("WT", "kg", 70.0, 0.75), (140 / 70) ** 0.75),
        (LinearEffect("WT", "kg", 70.0, 0.01), 1.7),
        (CappedPowerEffect("WT", "kg", 70.0, 0.75, cap=105.0), 1.5**0.75),
        (ExponentialEffect("WT", "kg", 70.0, 0.01), np.exp(0.7)),
        (SigmoidEffect("WT", "kg", 70.0, half=70.0, hill=3.0), 2 * 140**3 / (70**3 + 140**3)),
        (SigmoidEffect("WT", "kg", 70.0, half=70.0, hill=-3.0), 2 * 140**-3 / (70**-3 + 140**-3)),
        (FactorEffect("WT", "kg", 1.01, reference=70.0), 1.01**70),
        (CategoricalEffect("WT", "kg", 70.0, {70: 1.0, 140: 0.7}), 0.7),
    ],
)
def test_covariate_effects(effect, factor):
    """Each formula at 140, and 1 at its reference 70; all are hashable, so that `jit` can hold them."""
    assert effect.factor(jnp.asarray(140.0), {}) == pytest.approx(factor)
    assert effect.factor(jnp.asarray(70.0), {}) == 1.0
    assert "WT" in effect.describe()
    assert hash(effect) == hash(effect)


def test_a_category_without_a_factor_has_none():
    assert np.isnan(CategoricalEffect("CYP", "", 0, {0: 1.0, 1: 0.5}).factor(jnp.asarray(2.0), {}))


def test_individual_is_typical_times_eta_times_covariates():
    p = population()
    typical = {"CL": jnp.asarray(2.0), "VC": jnp.asarray(30.0), "KA": jnp.asarray(1.0)}
    found = p.individual(typical, jnp.asarray([0.1, -0.2]), {"WT": jnp.asarray(35.0)})
    assert found["CL"] == pytest.approx(2.0 * np.exp(0.1) * 0.5**0.75)
    assert found["VC"] == pytest.approx(30.0)  # no variability asked for
    assert found["KA"] == pytest.approx(np.exp(-0.2))


def test_new_subjects_have_the_omega_they_were_drawn_from():
    p, correlation, omega = population(), -0.6, np.array([0.3, 0.7])
    cholesky = np.linalg.cholesky(np.array([[1, correlation], [correlation, 1]]))
    draw = {"CL_iiv": jnp.asarray(omega[0]), "KA_iiv": jnp.asarray(omega[1]), "iiv_cholesky": jnp.asarray(cholesky)}
    factor = p.factor(draw)
    np.testing.assert_allclose(
        factor @ factor.T, np.outer(omega, omega) * np.array([[1, correlation], [correlation, 1]])
    )
    typical = {"CL": jnp.asarray(2.0), "VC": jnp.asarray(30.0), "KA": jnp.asarray(1.0)}
    keys = jax.random.split(jax.random.key(0), 20_000)
    found = jax.vmap(lambda k: p.new_subject(k, typical, factor, {"WT": jnp.asarray(70.0)}))(keys)
    eta = np.log(np.stack([found["CL"] / 2.0, found["KA"]]))
    # Four standard errors: of an SD it is omega / sqrt(2n), of a correlation (1 - r^2) / sqrt(n).
    np.testing.assert_array_less(np.abs(eta.std(1) - omega), 4 * omega / np.sqrt(2 * 20_000))
    assert abs(np.corrcoef(eta)[0, 1] - correlation) < 4 * (1 - correlation**2) / np.sqrt(20_000)


def test_units_and_order_become_the_models():
    p = population(CL=Parameter("mL/min", LogNormalPrior(46.6667, 0.3), half(0.5))).for_model(MODEL)
    assert p.names == tuple(MODEL.parameters)
    assert p.parameters[0].prior.centre() == pytest.approx(2.8, rel=1e-5)
    assert p.effects == ("CL", "KA")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: population(VCC=Parameter("L", LogNormalPrior(1.0, 1.0))), "has 'VCC'.*Did you mean 'VC'"),
        (lambda: Population({"CL": Parameter("L/h", LogNormalPrior(1.0, 1.0))}), "lacks 'VC'"),
        (lambda: population(VC=Parameter("L/h", LogNormalPrior(1.0, 1.0))), "Parameter VC is given in 'L/h'"),
        (lambda: population(correlation=-1.0), "LKJ"),
        (lambda: LogNormalPrior(-1.0, 0.3), "median > 0"),
        (lambda: HalfNormalPrior(0.0), "scale > 0"),
        (lambda: PowerEffect("WT", "kg", 0.0, 1.0), "reference > 0"),
        (lambda: CappedPowerEffect("CRCL", "mL/min", 120.0, 0.8, cap=100.0), "reference <= cap"),
        (lambda: SigmoidEffect("PMA", "week", 0.0, half=46.0, hill=3.0), "reference > 0 and half > 0"),
        (lambda: FactorEffect("DIAL", "", 0.0), "ratio > 0"),
        (lambda: CategoricalEffect("CYP", "", 2, {0: 1.0, 1: 0.5}), "factor 1 at its reference 2"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make().for_model(MODEL)


@pytest.mark.parametrize(
    ("units", "values", "said"),
    [
        ({"WT": "kg"}, {"WT": np.array([70.0, -99.0])}, "Covariate WT of ID B is -99, which makes its CL nan times"),
        ({"WT": "kg"}, {"WT": np.array([0.0, 70.0])}, "of ID A is 0"),
        ({"WT": "lb"}, {"WT": np.array([150.0, 170.0])}, "is in 'lb' in the data, but its effect on CL takes 'kg'"),
        ({"WT": "h"}, {"WT": np.array([70.0, 70.0])}, "cannot be converted to 'kg'"),
        ({"AGE": "yr"}, {"AGE": np.array([30.0, 40.0])}, "uses covariate WT, which is not in the data"),
    ],
)
def test_covariates_that_cannot_be_used(units, values, said):
    with pytest.raises(UserError, match=said):
        check_observed(population(), units, values, ("A", "B"))
