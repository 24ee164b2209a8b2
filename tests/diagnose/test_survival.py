"""The Kaplan-Meier check of exact times of events, against exponential times in closed form."""

import jax
import numpy as np
import pytest
import xarray as xr

from tests.noise.test_joined import Hazardous, dataset
from vtrial import schema
from vtrial.diagnose.survival import survival
from vtrial.likelihood import StatisticalModel
from vtrial.noise import TimeToEvent
from vtrial.population import Fixed, Parameter, Population
from vtrial.report import checks
from vtrial.solve import Linear

HAZARD, END, PEOPLE = 0.1, 20.0, 60


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Exponential times of 60 people who are watched for 20 h, five of them for 8 h; of all, and in two strata."""
    random = np.random.default_rng(5)
    end = np.where(np.arange(PEOPLE) < 5, 8.0, END)
    time = random.exponential(1 / HAZARD, PEOPLE)
    rows = ["ID,TIME,DV,AMT,DVID,CENS"]
    for i, (t, e) in enumerate(zip(time, end, strict=True), start=1):
        rows += [f"{i},0,.,100,.,.", f"{i},{min(t, e)},{int(t <= e)},.,2,0"]
    data = dataset(tmp_path_factory.mktemp("survival"), "\n".join(rows), ("risk",))
    population = Population({"CL": Parameter("L/h", Fixed(1.0)), "H": Parameter("1/h", Fixed(HAZARD))})
    noise, solver = {"risk": TimeToEvent("hazard")}, Linear(compiled=False)
    made = StatisticalModel(Hazardous(), population.for_model(Hazardous()), solver, noise)
    draws = {"CL": np.full(400, 1.0), "H": np.full(400, HAZARD)}
    strata = [(np.zeros(PEOPLE, int), [""]), ((np.arange(PEOPLE) < 20).astype(int), ["many", "few"])]
    return [survival(jax.random.key(1), draws, made, data, 400, layers)[0] for layers in strata]


def test_replicates_survive_as_the_hazard_says(found):
    """Their median curve is exp(-H t) within the steps of a curve of 60, and 4 errors of a median of 400."""
    time = found[0]["survival_time_risk"].to_numpy()
    true = np.exp(-HAZARD * time)
    error = np.sqrt(true * (1 - true) / PEOPLE)
    middle = found[0]["risk_survival_simulated"].to_numpy()[1, 0]
    assert (np.abs(middle - true) < 0.5 / PEOPLE + 4 * 1.3 * error / 20 + 1e-9)[time < END].all()


@pytest.mark.parametrize(("which", "stratum", "people"), [(0, 0, PEOPLE), (1, 0, 40), (1, 1, 20)])
def test_their_interval_is_that_of_greenwood(found, which, stratum, people):
    """At 7 h, before anybody leaves, the estimate is a share of them: its 95 % interval by the normal law.

    Of 20 people a curve has steps of 0.05, an eighth of that interval at either end.
    """
    time = found[which]["survival_time_risk"].to_numpy()
    at = int(np.searchsorted(time, 7.0))
    low, _, high = found[which]["risk_survival_simulated"].to_numpy()[:, stratum, at]
    true = np.exp(-HAZARD * time[at])
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(true * (1 - true) / people), rel=0.25)


def test_data_of_the_model_lie_inside_and_are_drawn(found):
    low, _, high = found[0]["risk_survival_simulated"].to_numpy()
    observed = found[0]["risk_survival_observed"].to_numpy()
    assert np.mean((low <= observed) & (observed <= high)) > 0.9
    for group, panels in zip(found, (1, 2), strict=True):
        page = checks.survival(xr.DataTree.from_dict({schema.VPC: group}), "risk")
        assert page.count("free of the event") == 1
        assert page.count("time [h]") == panels
