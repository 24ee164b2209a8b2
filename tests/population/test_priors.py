"""Every prior, found by listing, against SciPy."""

import inspect

import jax
import numpy as np
import pytest
from scipy import special, stats

from vtrial import population
from vtrial.errors import UserError
from vtrial.population import (
    AbstractPrior,
    BetaPrior,
    Fixed,
    GammaPrior,
    HalfNormalPrior,
    HalfStudentTPrior,
    LogitNormalPrior,
    LogNormalPrior,
    NormalPrior,
    StudentTPrior,
    UniformPrior,
)


def logit_normal(x):
    """Density of a logit-normal on 0 to 4 with median 1, logit SD 0.5."""
    share = x / 4
    return stats.norm(special.logit(0.25), 0.5).logpdf(special.logit(share)) - np.log(4 * share * (1 - share))


CASES = [
    (LogNormalPrior(2.8, 0.3), stats.lognorm(0.3, scale=2.8).logpdf),
    (HalfNormalPrior(0.5), stats.halfnorm(scale=0.5).logpdf),
    (HalfStudentTPrior(0.5, 3.0), lambda x: np.log(2) + stats.t(3, scale=0.5).logpdf(x)),
    (GammaPrior(2.0, 0.5), stats.gamma(4.0, scale=0.5).logpdf),
    (NormalPrior(0.75, 0.2), stats.norm(0.75, 0.2).logpdf),
    (StudentTPrior(0.75, 0.2, 4.0), stats.t(4, 0.75, 0.2).logpdf),
    (LogitNormalPrior(1.0, 0.5, 0.0, 4.0), logit_normal),
    (UniformPrior(0.1, 2.5), stats.uniform(0.1, 2.4).logpdf),
    (BetaPrior(3.0, 1.0), stats.beta(4, 2).logpdf),
]


def test_every_prior_is_here():
    known = {c for _, c in inspect.getmembers(population, inspect.isclass) if issubclass(c, AbstractPrior)}
    assert known == {type(prior) for prior, _ in CASES} | {AbstractPrior, Fixed}


@pytest.mark.parametrize(("prior", "density"), CASES, ids=lambda c: type(c).__name__)
def test_density_median_and_sign(prior, density):
    law, value = prior.distribution(), np.array([0.3, 0.62, 0.9])
    np.testing.assert_allclose(law.log_prob(value), density(value), rtol=1e-9)
    sample = np.asarray(law.sample(jax.random.key(0), (20_000,)))
    below = np.mean(sample < prior.centre())
    assert abs(below - 0.5) < 4 * 0.5 / np.sqrt(20_000)
    assert (sample.min() > 0) == prior.positive()
    assert prior.describe("L/h")


@pytest.mark.parametrize("prior", [c for c, _ in CASES if not isinstance(c, BetaPrior)], ids=lambda c: type(c).__name__)
def test_another_unit_has_the_same_probabilities(prior):
    """The density of a number in a unit 1000 times smaller is a thousandth."""
    scaled = prior.scaled(1000.0)
    assert scaled.centre() == pytest.approx(1000.0 * prior.centre())
    one, other = prior.distribution().log_prob(0.7), scaled.distribution().log_prob(700.0)
    assert float(one) - float(other) == pytest.approx(np.log(1000.0))


def test_fixed():
    assert Fixed(2.0).centre() == 2.0
    assert Fixed(2.0).scaled(10.0).value == 20.0
    assert Fixed(2.0).describe("L") == "fixed at 2 L"
    assert BetaPrior(3.0, 1.0).scaled(1.0) == BetaPrior(3.0, 1.0)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: HalfStudentTPrior(-1.0), "scale > 0"),
        (lambda: GammaPrior(0.0, 1.0), "mean > 0"),
        (lambda: NormalPrior(0.0, 0.0), "write Fixed"),
        (lambda: StudentTPrior(0.0, 1.0, 0.0), "degrees > 0"),
        (lambda: LogitNormalPrior(2.0, 0.5), "lower < median < upper"),
        (lambda: UniformPrior(1.0, 1.0), "lower < upper"),
        (lambda: BetaPrior(-2.0, 1.0), "above -1"),
        (lambda: BetaPrior(1.0, 1.0).scaled(10.0), "between 0 and 1"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
