"""Expected information and optimal sampling times against PopED and NONMEM."""

import jax
import numpy as np
import pytest

from tests.optimise.warfarin import AS_SD, OMEGA, TIMES, TYPICAL, ground
from vtrial.errors import UserError
from vtrial.optimise import SamplingSearch
from vtrial.optimise.information import Information

SEARCH = {"arm": "once", "times": [f"{t} h" for t in TIMES], "lower": "0.000001 h", "upper": "121 h"}


def information(known):
    return Information(known, "once", (), 32, 0)


def test_determinant_is_that_of_poped():
    """PopED's own test: reduced FIM, determinant 5.996147e22 (its tests/testthat, evaluate.fim with type 1)."""
    found = information(ground()).value(TIMES) - AS_SD
    assert found == pytest.approx(np.log(5.996147e22), abs=1e-5)


@pytest.fixture(scope="module")
def told():
    return information(ground(additive=0.01))


@pytest.fixture(scope="module")
def optimum():
    return SamplingSearch(**SEARCH)(jax.random.key(0), ground(additive=0.01))


def test_errors_are_those_of_nonmem_at_its_optimum(told):
    """NONMEM 7.5, $DESIGN FIMDIAG=1, additive variance 0.0001: its errors, to three digits, and its objective."""
    times = np.array([0.058404742, 6.6629639, 6.6707055, 6.7474578, 6.7788621, 6.8884733, 6.9152923, 120.99999])
    error = [*np.array([7.13e-3, 2.09e-1, 1.38e-1]) / list(TYPICAL.values())]
    error += [*np.array([1.81e-2, 5.46e-3, 1.53e-1]) / [0.07, 0.02, 0.6] / 2, 1.12e-3 / 0.01 / 2]
    np.testing.assert_allclose(told.relative_errors(times), 100 * np.array(error), rtol=5e-3)
    assert told.value(times) - AS_SD == pytest.approx(52.7693816585190, abs=1e-4)
    assert told.names == (*TYPICAL, *(f"{n}_iiv" for n in OMEGA), "concentration_sigma_prop")


def test_gradient_is_that_of_differences(told):
    _, gradient = told.with_gradient(TIMES, 0.0, 121.0)
    for i in range(len(TIMES)):
        step = 1e-4 * np.eye(len(TIMES))[i]
        difference = (told.value(TIMES + step) - told.value(TIMES - step)) / 2e-4
        assert gradient[i] == pytest.approx(difference, rel=1e-5, abs=1e-8)


@pytest.mark.slow
def test_optimum_is_at_least_nonmems(optimum):
    """NONMEM 7.5's random search ends at 52.76938: one sample at 0.058 h, six near 6.8 h, one at 121 h."""
    assert optimum.attrs["criterion"] - AS_SD >= 52.7693816585190 - 1e-6
    times = optimum["time_optimum"].to_numpy()
    np.testing.assert_allclose(times[[0, -1]], [0.058, 121.0], rtol=0.1)
    np.testing.assert_allclose(times[1:-1], 6.8, rtol=0.05)


@pytest.mark.slow
def test_no_time_on_a_fine_grid_is_better(told, optimum):
    best = optimum["time_optimum"].to_numpy()
    for i in range(len(best)):
        for t in np.geomspace(1e-3, 121.0, 40):
            assert told.value(np.where(np.arange(len(best)) == i, t, best)) <= optimum.attrs["criterion"] + 1e-9


@pytest.mark.slow
def test_draws_are_averaged():
    known = ground(draws=3)
    each = [Information(_only(known, i), "once", (), 32, 0).value(TIMES) for i in range(3)]
    assert Information(known, "once", (), 32, 3).value(TIMES) == pytest.approx(np.mean(each), rel=1e-9)


def _only(known, draw):
    posterior = {n: v[draw : draw + 1] for n, v in known.posterior.items()}
    return type(known)(known.statistical, known.data, posterior, known.cohort, known.arms)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arm": "twice"}, "no arm"),
        ({"times": ["200 h"]}, "within"),
        ({"outputs": ["amount"]}, "no residual error"),
    ],
)
def test_refusals(change, said):
    with pytest.raises(UserError, match=said):
        SamplingSearch(**SEARCH | change)(jax.random.key(0), ground())
