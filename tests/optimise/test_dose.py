"""Optimal doses against closed forms, differences and a fine grid."""

import equinox as eqx
import jax
import numpy as np
import pytest

from tests.optimise.warfarin import ground
from vtrial.cohort import recruit
from vtrial.design import Arm
from vtrial.dosing import Monitor, Proportional
from vtrial.endpoint import Schedule, Window
from vtrial.errors import UserError
from vtrial.optimise import DoseSearch, NearTarget, ShareInside

KEY = jax.random.key(5)
LATE = Schedule("concentration", ["24 h"])
SIZE = {"replicates": 20, "subjects": 30}
RANGE = {"lower": "3 mg/L", "upper": "5 mg/L"}


@pytest.fixture(scope="module")
def known():
    return ground(draws=20)


@pytest.fixture(scope="module")
def near(known):
    return DoseSearch("once", NearTarget(LATE, "4 mg/L"), **SIZE)(KEY, known)


def levels(known):
    """Return the log concentration of each patient of the search at 24 h, by the textbook's formula."""
    from vtrial import keys
    from vtrial.cohort import Recruitment

    who = Recruitment(20, 30, known.cohort.covariates)
    people = recruit(keys.named(KEY, "recruit"), who, known.posterior, known.statistical, known.data)
    cl, v, ka = (np.asarray(people.parameters[n]) for n in ("CL", "VC", "KA"))
    k = cl / v
    return np.log(70 * ka / (v * (ka - k)) * (np.exp(-24 * k) - np.exp(-24 * ka)))


def test_of_a_linear_model_the_optimum_is_a_mean(known, near):
    """The least squared log deviation is at the mean log: factor = target / geometric mean, and so is its error."""
    log = levels(known)
    expected = np.log(4.0) - log.mean()
    assert np.log(near["factor"].item()) == pytest.approx(expected, abs=1e-6)
    error = log.mean(1).std(ddof=1) / np.sqrt(20)
    assert near["factor_mcse"].item() == pytest.approx(np.exp(expected) * error, rel=1e-4)
    assert near["utility"].to_numpy().mean() == pytest.approx(-np.mean((log - log.mean()) ** 2), rel=1e-6)


def test_gradient_is_that_of_differences_and_no_grid_is_better(known):
    search = DoseSearch("once", ShareInside(LATE, **RANGE), **SIZE)
    utilities, free = search.utilities(KEY, known)
    place, step = np.full(free, 0.1), np.full(free, 1e-5)
    value, slope = utilities(place)
    difference = (utilities(place + step)[0] - utilities(place - step)[0]) / 2e-5
    np.testing.assert_allclose(slope[:, 0], difference, rtol=1e-5, atol=1e-8)
    found = search(KEY, known)
    best = np.log(found["factor"].to_numpy())
    grid = [utilities(best + d)[0].mean() for d in np.linspace(-0.3, 0.3, 61)]
    assert found["utility"].to_numpy().mean() >= max(grid) - 1e-9
    # With soft edges the share is that of the concentrations themselves, blurred.
    inside = levels(known) + best
    blurred = 1 / (1 + np.exp(-(inside - np.log(3)) / 0.05)) / (1 + np.exp(-(np.log(5) - inside) / 0.05))
    assert found["utility"].to_numpy().mean() == pytest.approx(blurred.mean(), rel=1e-6)
    assert value.shape == (20,)


def test_a_loading_dose_apart(known):
    """Two doses, two times just after them, two targets that a linear model can hit on average in log."""
    from vtrial.design import Arm
    from vtrial.dosing import Regimen

    twice = Arm(Regimen(dose="70 mg", every="24 h", doses=2, into="depot"))
    known = type(known)(known.statistical, known.data, known.posterior, known.cohort, {"twice": twice})
    flat = Schedule("concentration", ["24 h", "48 h"])
    found = DoseSearch("twice", NearTarget(flat, "6 mg/L"), doses=[1, 1], **SIZE)(KEY, known)
    first, second = found["factor"].to_numpy()
    assert first > second  # the second dose comes onto what is left of the first
    assert np.abs(found["gradient"].to_numpy()).max() < 1e-6


def test_refusals(known):
    with pytest.raises(UserError, match="makes 3"):
        DoseSearch("once", NearTarget(LATE, "4 mg/L"), doses=[1, 2], **SIZE)(KEY, known)
    with pytest.raises(UserError, match="no arm"):
        DoseSearch("other", NearTarget(LATE, "4 mg/L"), **SIZE)(KEY, known)
    policy = Proportional(Monitor("concentration", ["24 h"], measured=False), "4 mg/L")
    adapted = eqx.tree_at(lambda g: g.arms, known, {"once": Arm(known.arms["once"].regimen, policy=policy)})
    with pytest.raises(UserError, match="has a policy"):
        DoseSearch("once", NearTarget(LATE, "4 mg/L"), **SIZE)(KEY, adapted)
    with pytest.raises(UserError, match="width"):
        ShareInside(Window("concentration", "24 h"), "3 mg/L", "5 mg/L", 0.0)
    with pytest.raises(UserError, match="factors"):
        DoseSearch("once", NearTarget(LATE, "4 mg/L"), lower=2.0, upper=1.0)
