"""Variance by level: closed forms of a normal model, on arrays and from the posterior to the outcomes."""

import jax
import numpy as np
import pytest
from vtrial.models.iv_1cpt import OneCompartmentBolus

from tests.helpers import half
from vtrial.cohort import Levels, Recruitment, recruit, simulate
from vtrial.cohort.covariates import Bootstrap
from vtrial.cohort.outcomes import MOMENTS
from vtrial.design import Arm
from vtrial.dosing import Regimen
from vtrial.endpoint import Maximum, Measured, Window
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Additive
from vtrial.population import Fixed, Normal, NormalPrior, Parameter, Population
from vtrial.solve import Linear
from vtrial.trial import decompose

TRUE = {"parameters": 0.3**2, "subjects": 0.6**2, "residual": 0.9**2}
MODEL = OneCompartmentBolus()


def test_components_of_normal_draws():
    """800 replicates of 20 patients: each component within four standard errors, which the jackknife gives rightly."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(40):
        level = rng.normal(0, 0.3, (200, 1)) + rng.normal(0, 0.6, (200, 20))
        one, two = (level + rng.normal(0, 0.9, level.shape) for _ in range(2))
        count = np.full(200, 20.0)
        found.append(decompose(count, one.mean(1), one.var(1, ddof=1), ((one - two) ** 2).mean(1) / 2))
    parts = np.array([one.component for one in found])
    errors = np.array([one.component_error for one in found])
    assert (np.abs(parts.mean(0) - list(TRUE.values())) < 4 * parts.std(0) / np.sqrt(40)).all()
    # The SD of 40 results has a relative standard error of 1 / sqrt(78).
    assert (np.abs(errors.mean(0) / parts.std(0, ddof=1) - 1) < 4 / np.sqrt(78)).all()
    np.testing.assert_allclose([one.total for one in found], parts.sum(1), rtol=1e-12)


def statistical():
    """Concentration after a bolus of 100 mg x F into 10 L, F normal: linear in F, so that all levels are normal."""
    parameters = {
        "CL": Parameter("L/h", Fixed(1.0)),
        "VC": Parameter("L", Fixed(10.0)),
        "F_central": Parameter("", NormalPrior(1.0, 0.3), half(0.5), scale=Normal()),
    }
    population = Population(parameters).for_model(MODEL)
    return StatisticalModel(MODEL, population, Linear(compiled=False), {"concentration": Additive(half(1.0))})


@pytest.fixture(scope="module")
def draws():
    mean = np.random.default_rng(2).normal(1.0, 0.03, 4000)
    fixed = {"CL": np.ones(4000), "VC": np.full(4000, 10.0), "concentration_sigma_add": np.full(4000, 0.9)}
    return {"F_central": mean, "F_central_iiv": np.full(4000, 0.06)} | fixed


ENDS = {
    "sample": Measured(Window("concentration", "0.000001 h")),
    "peak": Maximum(Window("concentration", "0.000001 h", "1 h", 2)),
}


def outcomes(levels, draws, data, replicates=300):
    cohort = recruit(jax.random.key(3), Recruitment(replicates, 40, Bootstrap(), levels), draws, statistical(), data)
    arm = Arm(Regimen("100 mg", "12 h", 1, "central"))
    return cohort, simulate(jax.random.key(4), cohort, (arm,), ENDS, draws, statistical(), levels)


@pytest.mark.parametrize("off", [(), ("parameters",), ("iiv",), ("residual",), ("parameters", "iiv", "residual")])
def test_components_from_the_posterior_to_the_outcomes(off, draws, data):
    """10 mg/L x F + error: 0.3^2 between draws, 0.6^2 between patients, 0.9^2 of measuring; what is off has none."""
    cohort, found = outcomes(Levels(**dict.fromkeys(off, False)), draws, data)
    assert ((np.asarray(cohort.draw) == -1) == ("parameters" in off)).all()
    named = {"parameters": "parameters", "subjects": "iiv", "residual": "residual"}
    for endpoint, measured in (("sample", 1.0), ("peak", 0.0)):
        moments = found.moments[endpoint]
        parts = decompose(*(moments[..., i] for i in range(len(MOMENTS))))
        wanted = {level: value * (named[level] not in off) for level, value in TRUE.items()}
        wanted["residual"] *= measured
        for i, value in enumerate(wanted.values()):
            assert abs(parts.component[i, 0] - value) <= 4 * parts.component_error[i, 0] + 1e-12, (endpoint, i)
    if len(off) == 3:
        # The typical patient: 10 mg/L times the mean F, for everybody.
        np.testing.assert_allclose(found.values["sample"], 10 * draws["F_central"].mean(), rtol=1e-6)


def test_a_level_that_is_off_leaves_the_others_as_they_are(draws, data):
    """Common random numbers: without residual error the same patients, measured truly."""
    (one, with_error), (two, without) = (outcomes(Levels(residual=on), draws, data, 20) for on in (True, False))
    for name, value in one.parameters.items():
        np.testing.assert_array_equal(value, two.parameters[name])
    np.testing.assert_array_equal(with_error.values["peak"], without.values["peak"])
    np.testing.assert_allclose(without.values["sample"], without.values["peak"], rtol=1e-6)
