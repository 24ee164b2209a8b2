"""Noise in its place: from a file to likelihood, replicates, measured courses and the visual predictive check."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import stats

from tests.helpers import half
from tests.noise.cases import CATEGORIES, CONTINUOUS, COUNTS, EVENTS
from vtrial.cohort import Cohort, simulate
from vtrial.data import NonmemTable
from vtrial.design import Arm
from vtrial.diagnose import VisualCheck
from vtrial.diagnose.goodness import goodness_of_fit
from vtrial.diagnose.limits import limits
from vtrial.diagnose.replicate import population_predictions, replicated
from vtrial.dosing import Regimen
from vtrial.endpoint import Maximum, Measured, Window
from vtrial.errors import UserError
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel
from vtrial.noise import AbstractContinuous, Additive, TimeToEvent
from vtrial.population import LogNormalPrior, Parameter, Population
from vtrial.solve import Linear

UNITS = {"TIME": "h", "AMT": "mg", "DV": {"concentration": "mg/L", "risk": ""}}


class Hazardous(AbstractModel):
    """A drug in one compartment, with a constant hazard beside it: linear, so that all is known in closed form."""

    time: ClassVar = "h"
    states: ClassVar = {"central": "mg"}
    parameters: ClassVar = {"CL": "L/h", "H": "1/h"}
    outputs: ClassVar = {"concentration": "mg/L", "risk": "", "hazard": "1/h"}
    linear: ClassVar = True

    def initial(self, p):
        return {"central": 0.0}

    def rates(self, t, y, p):
        return {"central": -p["CL"] / 10.0 * y["central"]}

    def observe(self, t, y, p):
        return {"concentration": y["central"] / 10.0, "risk": p["H"] * t, "hazard": p["H"]}


ROWS = """ID,TIME,DV,AMT,DVID,CENS
1,0,.,100,.,.
1,1,9,.,1,0
1,4,5,.,1,0
1,9,3,.,1,1
1,9,1,.,2,0
2,0,.,100,.,.
2,2,8,.,1,0
2,12,2,.,1,1
2,12,0,.,2,0
3,0,.,100,.,.
3,8,3,.,1,1
3,10,1,.,2,1
"""


def dataset(tmp_path, rows=ROWS, outputs=("concentration", "risk")):
    file = tmp_path / "d.csv"
    numbers = {o: i for i, o in enumerate(("concentration", "risk"), start=1) if o in outputs}
    kept = {"DVID", ".", *(str(i) for i in numbers.values())}
    file.write_text("".join(row + "\n" for row in rows.splitlines() if row.split(",")[4] in kept))
    return NonmemTable(str(file), UNITS, numbers, {"": "central"}, censored="use").read(Hazardous())


def statistical(noise):
    prior = {"CL": LogNormalPrior(1.0, 0.3), "H": LogNormalPrior(0.1, 0.5)}
    population = Population({"CL": Parameter("L/h", prior["CL"], half(0.3)), "H": Parameter("1/h", prior["H"])}, None)
    return StatisticalModel(Hazardous(), population.for_model(Hazardous()), Linear(compiled=False), noise)


BOTH = {"concentration": Additive(half(1.0)), "risk": TimeToEvent("hazard")}


def test_every_observation_has_its_likelihood(tmp_path):
    data, model = dataset(tmp_path), statistical(BOTH)
    draw = {"concentration_sigma_add": jnp.asarray(0.5)}
    p = {"CL": jnp.full(3, 1.0), "H": jnp.full(3, 0.1)}
    found = model.log_likelihood(model.predict(p, data)[0], draw, data)
    f = 10 * np.exp(-0.1 * np.array([1, 4, 9, 2, 12, 8]))
    law = stats.norm(f, 0.5)
    seen = np.array([9.0, 5, 3, 8, 2, 3])
    blq = np.array([0, 0, 1, 0, 1, 1], bool)
    np.testing.assert_allclose(found["concentration"], np.where(blq, law.logcdf(seen), law.logpdf(seen)), rtol=1e-9)
    np.testing.assert_allclose(found["risk"], [np.log(0.1) - 0.9, -1.2, np.log(-np.expm1(-1.0))], rtol=1e-9)

    def joint(sigma):
        sites = {"CL": 1.0, "H": 0.1, "CL_iiv": 0.3, "concentration_sigma_add": sigma, "eta_raw": jnp.zeros((3, 1))}
        return log_density(model.joint(data), (), {}, jax.tree.map(jnp.asarray, sites))[0]

    value, slope = jax.value_and_grad(joint)(jnp.asarray(0.5))
    assert np.isfinite([value, slope]).all()
    moved = joint(jnp.asarray(0.6)) - value
    other = model.log_likelihood(model.predict(p, data)[0], {"concentration_sigma_add": jnp.asarray(0.6)}, data)
    prior = stats.halfnorm.logpdf(0.6) - stats.halfnorm.logpdf(0.5)
    assert moved == pytest.approx(sum(float((other[o] - found[o]).sum()) for o in found) + prior, rel=1e-9)


def checked(draws, model, data):
    """The visual check in two bins, and the goodness-of-fit table."""
    subjects = {f"{name}_eta": np.zeros((20, len(data.subjects))) for name in model.population.effects}
    simulated = replicated(jax.random.key(0), draws, model, data, 20)
    prediction, censored = population_predictions(draws, model, data), limits(model, data)
    table = goodness_of_fit(
        jax.random.key(1),
        draws | subjects,
        model,
        data,
        censored=censored,
        simulated=simulated,
        prediction=prediction,
        individual=data.long(prediction),
    )
    return VisualCheck(replicates=20, bins=2)(simulated, prediction, data, censored), table


EVERY = {
    "autoregressive": CONTINUOUS["autoregressive"],
    "poisson": COUNTS["poisson"],
    "ordinal": CATEGORIES["ordinal"],
} | EVENTS


@pytest.mark.parametrize("name", EVERY)
def test_predictive_check_and_measured_endpoints(tmp_path, name):
    noise, output = EVERY[name], "risk" if name in EVENTS else "concentration"
    model = statistical({output: noise})
    priors = {site: prior.centre() for site, prior in model.priors().items()}
    draws = {site: np.full(20, value) for site, value in priors.items()}
    data = dataset(tmp_path, outputs=(output,))
    check, table = checked(draws, model, data)
    assert np.isfinite(check[f"{output}_simulated"]).all()
    # Weighted residuals and NPDE are of measurements with a continuous error.
    measured = isinstance(noise, AbstractContinuous) & ~data.observations[output].censored
    for column in ("IWRES", "CWRES"):
        np.testing.assert_array_equal(np.isfinite(table[column]), measured)
    assert np.isfinite(table["NPD"]).all() == isinstance(noise, AbstractContinuous)
    patients = Cohort(jnp.arange(2), {"CL": jnp.ones((2, 3)), "H": jnp.full((2, 3), 0.1)}, {})
    arms = (Arm(Regimen("100 mg", "12 h", 2, "central")),)
    sample, window = Measured(Window(output, "24 h")), Maximum(Window(output, "1 h", "24 h", 4))
    both = simulate(jax.random.key(1), patients, arms, {"end": sample, "top": window}, draws, model)
    assert np.isfinite(both.values["end"]).all()
    alone = simulate(jax.random.key(1), patients, arms, {"end": sample}, draws, model)
    if name not in ("autoregressive", "events"):  # which are drawn from one measurement to the next
        np.testing.assert_allclose(alone.values["end"], both.values["end"], rtol=1e-12)
    if name == "event":
        assert set(np.unique(both.values["end"])) <= {0.0, 1.0}


def test_values_beyond_a_limit_do_not_count_in_the_check(tmp_path):
    model = statistical({"concentration": Additive(half(1.0))})
    draws = {site: np.full(20, prior.centre()) for site, prior in model.priors().items()}
    data = dataset(tmp_path, outputs=("concentration",))
    check, table = checked(draws, model, data)
    # Values 9, 5 and 8 by the bin's last time, then < 3, < 2 and < 3: of these nothing is known but how many they are.
    observed = check["concentration_observed"].to_numpy()
    assert np.isfinite(observed[0]).all()
    assert np.isnan(observed[1]).all()
    np.testing.assert_allclose(check["concentration_below_observed"], [0, 1])
    assert table["CENS"].to_numpy().tolist() == [0, 0, 1, 0, 1, 1]
    assert np.isnan(table["RES"].to_numpy()[[2, 4, 5]]).all()


LIMITS = """ID,TIME,DV,AMT,DVID,CENS,LIMIT
1,0,.,100,.,.,.
1,1,9,.,1,0,.
1,2,20,.,1,-1,.
1,4,2,.,1,1,0
1,9,3,.,1,1,.
"""


def test_limits_are_read_in_one_place(tmp_path):
    """Above 20, in 0 to 2, below 3: the highest lower limit holds for all."""
    data = dataset(tmp_path, LIMITS, outputs=("concentration",))
    found = limits(statistical({"concentration": Additive(half(1.0))}), data)["concentration"]
    assert found.below.tolist() == [False, False, True, True]
    assert found.above.tolist() == [False, True, False, False]
    assert (found.lowest, found.highest) == (3.0, 20.0)
    assert found.under(np.array([2.5, np.nan, 3.0])).tolist() == [True, False, False]


def test_an_interval_of_an_event_is_no_limit(tmp_path):
    found = limits(statistical(BOTH), dataset(tmp_path))["risk"]
    assert not found.censored.any()
    assert found.lowest == -np.inf


HEAD = "ID,TIME,DV,AMT,DVID,CENS\n1,0,.,100,.,.\n"
REFUSED = [
    ("poisson", "1,1,2,.,1,0\n1,2,2.5,.,1,0\n", r"'concentration', ID 1, time 2 h: 2.5: it must be a count"),
    ("poisson", "1,1,2,.,1,0\n1,2,2,.,1,1\n", "a censored value has no meaning here"),
    ("negative_binomial", "1,1,-1,.,1,0\n", "it must be a count"),
    ("ordinal", "1,1,4,.,1,0\n", "it must be a whole number from 0 to 3"),
    ("bernoulli", "1,1,2,.,1,0\n", "it must be a whole number from 0 to 1"),
    ("event", "1,1,2,.,1,0\n", "an event is 1, and its absence 0"),
    ("event", "1,1,1,.,1,0\n1,2,0,.,1,0\n", "time 2 h: 0: the row follows the subject's event"),
    ("event", "1,1,0,.,1,1\n", "needs DV 1 or more"),
    ("events", "1,1,2,.,1,0\n", "with CENS 1 it is a number of events"),
    ("log_normal", "1,1,2,.,1,0\n1,2,0,.,1,0\n", "ID 1, time 2 h: 0: a log-normal error has positive values only"),
    ("positive", "1,1,-2,.,1,0\n", "conditional on a value above 0 has positive values only"),
    ("transform", "1,1,-2,.,1,0\n", "a Box-Cox scale has positive values only"),
    ("autoregressive", "1,1,2,.,1,0\n1,1,3,.,1,0\n", "time 1 h: 3: an error correlated in time .*average replicates"),
    ("combined", "1,1,2,.,1,1\n1,2,2,.,1,1\n", "All 2 observations of output 'concentration' are censored"),
]


@pytest.mark.parametrize(("name", "rows", "said"), REFUSED)
def test_observations_that_the_law_does_not_allow(tmp_path, name, rows, said):
    data = dataset(tmp_path, HEAD + rows, ("concentration",))
    with pytest.raises(UserError, match=said):
        (CONTINUOUS | COUNTS | CATEGORIES | EVENTS)[name].check("concentration", data)


def test_what_is_allowed(tmp_path, caplog):
    data = dataset(tmp_path)
    BOTH["concentration"].check("concentration", data)
    assert "every observation is censored in 1 subject(s): ID 3" in caplog.text
    BOTH["risk"].check("risk", data)
