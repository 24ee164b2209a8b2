"""Power scaling against a conjugate normal model, whose scaled posterior is known, and against ArviZ."""

import numpy as np
import pytest
import xarray as xr
from arviz_stats import psense
from scipy.stats import norm

from tests.diagnose import conjugate
from vtrial.diagnose.sensitivity import log_prior, power_scaling

CASES = {  # prior mean and SD, SD of the mean of the data, which is 0
    "prior says nothing": (0.0, 30.0, 1.0),
    "prior and data conflict": (4.0, 1.0, 1.0),
    "data say nothing": (0.0, 1.0, 30.0),
}


def scaled(m, s, e, prior=1.0, likelihood=1.0):
    """Posterior mean and SD with prior and likelihood raised to these powers."""
    precision = prior / s**2 + likelihood / e**2
    return prior * m / s**2 / precision, 1 / np.sqrt(precision)


def exact(case, low, high, **which):
    """The cumulative Jensen-Shannon distance per doubling of the power, by quadrature from the least to the greatest
    draw: beyond, the distance divided by its bound would depend on where one stops."""
    grid = np.linspace(low, high, 40_001)
    step = grid[1] - grid[0]

    def divergence(p, q):
        half = 0.5 * (p + q)
        ratio = np.log2(np.where(p > 0, p, 1.0)) - np.log2(np.where(half > 0, half, 1.0))
        return (p * ratio).sum() * step + 0.5 / np.log(2) * (q - p).sum() * step

    def distance(side, power):
        p, q = (
            norm.cdf(side * grid, side * m, s) for m, s in (scaled(*case), scaled(*case, **{k: power for k in which}))
        )
        p, q = (x if side > 0 else x[::-1] for x in (p, q))
        return np.sqrt((divergence(p, q) + divergence(q, p)) / ((p + q).sum() * step))

    rates = [max(distance(s, a) for s in (1, -1)) / abs(np.log2(a)) for a in (0.99, 1.01)]
    return np.mean(rates)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param, CASES[request.param]


def test_distances_are_those_of_the_closed_form(case):
    _, (m, s, e) = case
    mean, sd = scaled(m, s, e)
    draws = np.random.default_rng(0).normal(mean, sd, (4, 20_000))
    for density, which in ((norm.logpdf(draws, m, s), "prior"), (norm.logpdf(draws, 0, e), "likelihood")):
        found, chance = power_scaling(draws[..., None], density)
        wanted = exact((m, s, e), draws.min(), draws.max(), **{which: True})
        assert found[0] == pytest.approx(wanted, rel=0.02, abs=2 * chance[0])


def test_the_direction(case):
    name, (m, s, e) = case
    mean, sd = scaled(m, s, e)
    draws = np.random.default_rng(1).normal(mean, sd, (4, 1000))
    prior, _ = power_scaling(draws[..., None], norm.logpdf(draws, m, s))
    likelihood, _ = power_scaling(draws[..., None], norm.logpdf(draws, 0, e))
    assert (prior[0] > 0.05) == (name != "prior says nothing")
    assert (likelihood[0] > 0.05) == (name != "data say nothing")


def test_it_is_the_psense_of_arviz():
    random = np.random.default_rng(2)
    draws = random.normal(size=(4, 500))
    density = norm.logpdf(draws, 1.0, 0.7)
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"x": (("chain", "draw"), draws)}),
            "log_prior": xr.Dataset({"x": (("chain", "draw"), density)}),
        }
    )
    found, chance = power_scaling(draws[..., None], density)
    assert found[0] == pytest.approx(float(psense(tree, group="prior")["x"]), rel=1e-6)
    assert chance[0] < found[0]


def test_chance_is_all_there_is_where_nothing_depends():
    random = np.random.default_rng(3)
    found, chance = power_scaling(random.normal(size=(4, 500, 5)), 4 * random.normal(size=(4, 500)))
    assert (found < 2 * chance).all()
    assert (chance > 0).all()


def test_the_log_prior_is_that_of_the_parameters_that_vary():
    values = conjugate.observations((3, 4))
    posterior = conjugate.posterior(values, draws=50)
    found = log_prior(posterior, conjugate.statistical())
    p = posterior["P"].to_numpy()
    wanted = norm.logpdf(np.log(p), conjugate.CENTRE, conjugate.SPREAD) - np.log(p)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
