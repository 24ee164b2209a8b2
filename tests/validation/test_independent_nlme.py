"""Maximum likelihood and log-likelihoods against R's nlme 3.1-162 (theophylline, indomethacin).

nlme maximises a linearised likelihood in alternating steps. At its own estimates the two log-likelihoods are the same
number, for FOCE with interaction is that linearisation where the residual error does not depend on the prediction.
"""

import numpy as np
import pytest
from vtrial.models.iv_2cpt_macro import TwoCompartmentMacro

from tests.helpers import half, table, theophylline
from tests.validation.fitting import at, log_likelihood, maximum, with_parameters
from vtrial._resources import directory
from vtrial.inference.marginal import Marginal
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Additive
from vtrial.population import Fixed, LogNormalPrior, Normal, Parameter, Population, PowerEffect
from vtrial.solve import Auto


def stated(statistical, data, values):
    objective = Marginal(statistical, data, "interaction").objective(at(statistical, **values)).sum()
    return log_likelihood(objective, data)


@pytest.fixture(scope="module")
def theoph():
    """Random effects of KA and CL alone, KE = CL/VC shared: F scales CL and VC together, exp(-eta) being its factor."""
    weight = {"WT": PowerEffect("WT", "kg", 1.0, 1.0)}  # nlme's doses and clearances are per kg
    statistical = with_parameters(
        theophylline(weight=False, correlation=None),
        CL=Parameter("L/h", LogNormalPrior(0.04, 0.3), None, weight),
        VC=Parameter("L", LogNormalPrior(0.45, 0.3), None, weight),
        KA=Parameter("1/h", LogNormalPrior(1.5, 0.5), half(0.5)),
        F_depot=Parameter("", Fixed(1.0), half(0.5)),
    )
    return StatisticalModel(
        statistical.model, statistical.population, statistical.solver, {"concentration": Additive(half(1.0))}
    )


LOG_KE, LOG_KA, LOG_CL = -2.45470438, 0.46573628963, -3.2272228859
SD_KA, SD_CL, SIGMA, LOG_LIKELIHOOD = 0.6435747, 0.1669282, 0.70925444329, -177.0214169605


def test_theophylline_log_likelihood(theoph, data):
    values = {"CL": np.exp(LOG_CL), "VC": np.exp(LOG_CL - LOG_KE), "KA": np.exp(LOG_KA)}
    values |= {"KA_iiv": SD_KA, "F_depot_iiv": SD_CL, "concentration_sigma_add": SIGMA}
    assert stated(theoph, data, values) == pytest.approx(LOG_LIKELIHOOD, abs=0.01)


@pytest.mark.parametrize("curvature", ["interaction", pytest.param("laplace", marks=pytest.mark.slow)])
def test_theophylline_estimates(theoph, data, curvature):
    """Fixed effects within 5 %, standard deviations within 25 %, the log-likelihood within 2."""
    found = maximum(theoph, data, curvature)
    draw = found.draw
    assert np.log(draw["CL"]) == pytest.approx(LOG_CL, abs=0.05)
    assert np.log(draw["CL"] / draw["VC"]) == pytest.approx(LOG_KE, abs=0.05)
    assert np.log(draw["KA"]) == pytest.approx(LOG_KA, abs=0.05)
    assert draw["KA_iiv"] == pytest.approx(SD_KA, rel=0.25)
    assert draw["F_depot_iiv"] == pytest.approx(SD_CL, rel=0.25)
    assert draw["concentration_sigma_add"] == pytest.approx(SIGMA, rel=0.25)
    assert log_likelihood(found.objective, data) == pytest.approx(LOG_LIKELIHOOD, abs=2.0)


INDOMETHACIN = {
    "A": 2.8275630999 / 25,
    "A_iiv": 0.57138699 / 25,
    "ALPHA": np.exp(0.77347641942),
    "ALPHA_iiv": 0.15809505,
    "B": 0.46129315184 / 25,
    "B_iiv": 0.11157062 / 25,
    "BETA": np.exp(-1.3444588287),
    "concentration_sigma_add": 0.081494538202,
}


@pytest.fixture(scope="module")
def indomethacin():
    """A, log ALPHA and B vary, normally and alone."""
    model = TwoCompartmentMacro()
    path = directory("studies") / "data" / "indometh.csv"
    data = table(path, compartments={1: "central"}, covariates=()).read(model)
    population = Population(
        {
            "A": Parameter("1/L", LogNormalPrior(0.1, 1.0), half(0.03), scale=Normal()),
            "ALPHA": Parameter("1/h", LogNormalPrior(2.0, 1.0), half(0.3)),
            "B": Parameter("1/L", LogNormalPrior(0.02, 1.0), half(0.01), scale=Normal()),
            "BETA": Parameter("1/h", LogNormalPrior(0.3, 1.0)),
        }
    )
    noise = {"concentration": Additive(half(0.1))}
    return StatisticalModel(model, population.for_model(model), Auto(), noise), data


def test_indomethacin_log_likelihood(indomethacin):
    assert stated(*indomethacin, INDOMETHACIN) == pytest.approx(54.5949901875, abs=0.01)


def test_indomethacin_maximum_is_no_lower(indomethacin):
    """nlme stops at a point that is no maximum of it: there is a better one, 1.5 higher, with hardly any eta of ALPHA.

    What the data determine well is the same at both: A, its SD and sigma within nlme's tolerance, 10 % and 40 %.
    """
    found = maximum(*indomethacin, **INDOMETHACIN)
    assert log_likelihood(found.objective, indomethacin[1]) > 54.595 + 1.0
    assert found.draw["A"] == pytest.approx(INDOMETHACIN["A"], rel=0.1)
    assert found.draw["A_iiv"] == pytest.approx(INDOMETHACIN["A_iiv"], rel=0.4)
    assert found.draw["concentration_sigma_add"] == pytest.approx(INDOMETHACIN["concentration_sigma_add"], rel=0.4)
