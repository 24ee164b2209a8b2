"""Times of events simulated for `sbc` and `recover`, against a constant hazard in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.noise.test_joined import Hazardous, dataset
from vtrial import diagnose, keys
from vtrial.diagnose import Calibration
from vtrial.errors import UserError
from vtrial.inference import CrossChain, Repeated
from vtrial.inference.event_times import seen_event, watch
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Additive, RepeatedEvents, TimeToEvent
from vtrial.population import Fixed, LogNormalPrior, Parameter, Population
from vtrial.rehearsal import refitted
from vtrial.solve import Linear

H, END = 0.1, 20.0
SMALL = CrossChain(chains=4, warmup=150, draws=150)


def statistical(noise=None):
    prior = LogNormalPrior(H, 0.5)
    population = Population({"CL": Parameter("L/h", Fixed(1.0)), "H": Parameter("1/h", prior)})
    noise = {"concentration": Additive(Fixed(0.5)), "risk": noise or TimeToEvent("hazard")}
    return StatisticalModel(Hazardous(), population.for_model(Hazardous()), Linear(compiled=False), noise)


def log_likelihood(data, made):
    draw = {"CL": jnp.asarray(1.0), "H": jnp.asarray(H), "concentration_sigma_add": jnp.asarray(0.5)}
    predicted, _ = made.predict(made.same_subjects(draw, data), data)
    found = made.log_likelihood(predicted, draw, data)
    by_subject = jnp.zeros(len(data.subjects)).at[data.observations["risk"].subject].add(found["risk"])
    return by_subject, found["concentration"]


EXACT = "ID,TIME,DV,AMT,DVID,CENS\n" + "".join(
    f"{i},0,.,100,.,.\n{i},1,9,.,1,0\n{i},6,5,.,1,0\n{i},10,0,.,2,0\n{last}{i},18,2,.,1,0\n{end}"
    for i, last, end in [(1, "1,12,1,.,2,0\n", ""), (2, "", "2,20,0,.,2,0\n"), (3, "", "3,20,0,.,2,0\n")]
)
"""Two people watched for 20 h without an event, and one with it at 12 h, who would have been watched as long."""
BETWEEN = EXACT.replace("1,12,1,.,2,0", "1,12,1,.,2,1")
TIMES = np.array([4.0, 15.0, 99.0])
SEEN = {
    EXACT: np.log([H, H, 1.0]) - H * np.array([4.0, 15.0, 20.0]),
    BETWEEN: [np.log(-np.expm1(-H * 10)), np.log(np.exp(-H * 10) - np.exp(-H * 20)), -H * 20],
}


@pytest.mark.parametrize("rows", SEEN, ids=["exact", "between rows"])
def test_what_is_seen_of_an_event_has_its_likelihood(rows, tmp_path):
    """Before the first row, after it, and not at all; concentrations stay what they were."""
    data, made = dataset(tmp_path, rows), statistical()
    watched = watch(data, "risk")
    found = jax.jit(lambda time: log_likelihood(seen_event(data, "risk", watched, time), made))
    risk, concentration = found(jnp.asarray(TIMES))
    np.testing.assert_allclose(risk, SEEN[rows], rtol=1e-12)
    f = 10 * np.exp(-0.1 * np.array([1.0, 6.0, 18.0] * 3))
    np.testing.assert_allclose(concentration, stats.norm(f, 0.5).logpdf([9.0, 5.0, 2.0] * 3), rtol=1e-9)


def test_times_are_those_of_the_hazard(tmp_path):
    """The mean of the time watched, (1 - exp(-20 H)) / H, and the share without event, within 4 standard errors."""
    repeated = Repeated(SMALL, statistical(), dataset(tmp_path, EXACT))
    each = keys.numbered(jax.random.key(3), 2000)
    time = repeated.simulate(each, {"H": np.asarray(H)}).values["risk"].ravel()
    assert time.shape == (6000,)
    free = np.exp(-H * END)
    assert (time > END).mean() == pytest.approx(free, abs=4 * np.sqrt(free * (1 - free) / 6000))
    watched = np.minimum(time, END)
    assert watched.mean() == pytest.approx((1 - free) / H, abs=4 * watched.std() / np.sqrt(6000))


def test_times_of_events_that_come_back_are_refused(tmp_path):
    with pytest.raises(UserError, match="have another number of rows"):
        Repeated(SMALL, statistical(RepeatedEvents("hazard")), dataset(tmp_path, EXACT))
    mixed = dataset(tmp_path, EXACT.replace("2,20,0,.,2,0", "2,20,1,.,2,1"))
    with pytest.raises(UserError, match="events of known times and events between two rows"):
        Repeated(SMALL, statistical(), mixed)


@pytest.mark.slow
def test_a_hazard_is_calibrated(tmp_path):
    settings = Calibration(replicates=200)
    repeated = Repeated(SMALL, statistical(), dataset(tmp_path, EXACT))
    judged = diagnose.calibration(refitted(jax.random.key(4), repeated, settings, tmp_path / "fits"), settings)
    assert judged.attrs["used"] >= 190
    assert (judged["p"] > 0.01).all()
    assert judged.attrs["calibrated"]
