"""Scales of random effects, against SciPy and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from vtrial.errors import UserError
from vtrial.population import (
    BoxCox,
    LogitNormal,
    LogNormal,
    LogNormalPrior,
    Normal,
    NormalPrior,
    Parameter,
    ProbitNormal,
)

EFFECT = np.array([-3.0, -0.4, 0.0, 0.7, 3.0])


@pytest.mark.parametrize(
    ("scale", "typical", "expected"),
    [
        (LogNormal(), 2.0, 2.0 * np.exp(EFFECT)),
        (Normal(), -2.0, -2.0 + EFFECT),
        (LogitNormal(0.0, 1.0), 0.3, special.expit(special.logit(0.3) + EFFECT)),
        (LogitNormal(-1.0, 3.0), 0.0, -1.0 + 4.0 * special.expit(special.logit(0.25) + EFFECT)),
        (ProbitNormal(-1.0, 3.0), 0.0, -1.0 + 4.0 * stats.norm.cdf(stats.norm.ppf(0.25) + EFFECT)),
        (BoxCox(0.5), 2.0, 2.0 * np.exp(special.boxcox(np.exp(EFFECT), 0.5))),
        (BoxCox(-0.5), 2.0, 2.0 * np.exp(special.boxcox(np.exp(EFFECT), -0.5))),
    ],
)
def test_value(scale, typical, expected):
    found = scale.value(jnp.full(5, typical), jnp.asarray(EFFECT))
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert found[2] == pytest.approx(typical)  # no effect, the typical value
    assert scale.allows(typical)
    assert "eta_X" in scale.describe("X", "eta_X")


@pytest.mark.parametrize("scale", [LogNormal(), Normal(), LogitNormal(0.0, 10.0), ProbitNormal(0.0, 10.0)])
def test_location_is_where_the_effect_is_added(scale):
    """A subject with effect e has the location of the typical value plus e."""
    typical, effect = jnp.asarray(2.0), jnp.asarray(0.3)
    assert scale.location(scale.value(typical, effect)) == pytest.approx(float(scale.location(typical) + effect))


@pytest.mark.parametrize("scale", [LogNormal(), Normal(), LogitNormal(0.0, 10.0), ProbitNormal(0.0, 10.0), BoxCox(0.3)])
def test_the_unit_does_not_matter(scale):
    """In a unit 1000 times smaller the same subject has a number 1000 times greater."""
    effect = jnp.asarray(0.3)
    once = scale.value(jnp.asarray(2.0), effect * (1000.0 if scale.omega_unit("L") else 1.0) / 1000.0**0)
    other = scale.converted(1000.0).value(jnp.asarray(2000.0), effect * (1e6 if scale.omega_unit("L") else 1.0))
    assert other == pytest.approx(1000.0 * float(once))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LogitNormal(1.0, 1.0), "lower < upper"),
        (lambda: ProbitNormal(2.0, 1.0), "lower < upper"),
        (lambda: BoxCox(0.0), "is the log-normal"),
        (lambda: Parameter("", LogNormalPrior(2.0, 0.1), scale=LogitNormal()), "no typical value that LogitNormal"),
        (lambda: Parameter("L", NormalPrior(-2.0, 0.1)), "no typical value that LogNormal allows"),
        (lambda: Parameter("L", LogNormalPrior(2.0, 0.1), NormalPrior(0.3, 0.1)), "iiv is the prior of a standard dev"),
        (lambda: Parameter("L", LogNormalPrior(2.0, 0.1), degrees=4.0), "needs iiv"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
