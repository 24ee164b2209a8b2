"""WRES, CWRES and IWRES against formulas written out, and TAD by hand."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.iv_1cpt import OneCompartmentBolus

from tests.helpers import bateman, half, theophylline
from vtrial.data import NonmemTable
from vtrial.diagnose import residuals
from vtrial.diagnose.clock import time_after_dose
from vtrial.dosing import After, Dose, Reset, event_table
from vtrial.dosing.batch import batch
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Autoregressive, Combined, LogNormal
from vtrial.population import Fixed, LogNormalPrior, Normal, NormalPrior, Parameter, Population
from vtrial.solve import Auto, General

P = {"CL": 2.75, "VC": 32.0, "KA": 1.55, "CL_iiv": 0.26, "VC_iiv": 0.17, "KA_iiv": 0.63}
SIGMA = {"concentration_sigma_add": 0.3, "concentration_sigma_prop": 0.12}
OMEGA = np.diag([0.26, 0.17, 0.63]) ** 2
ETA = 0.3 * np.random.default_rng(2).normal(size=(12, 3))


@pytest.fixture(scope="module")
def found():
    draw = {name: jnp.asarray(value) for name, value in (P | SIGMA).items()}
    return residuals.Point(draw, ETA, OMEGA)


@pytest.fixture(scope="module")
def plain():
    return theophylline(weight=False, correlation=None)


def course(eta, subject, time, data):
    """The textbook formula at one subject's etas."""
    cl, vc, ka = np.array([2.75, 32.0, 1.55]) * np.exp(eta)
    return bateman(time, data.doses.amount[data.doses.subject == subject][0], ka, cl, vc)


def by_hand(eta, subject, data):
    """Residuals of one subject whitened by hand: the textbook formula, differences of it, an inverse square root."""
    obs = data.observations["concentration"]
    mine = obs.subject == subject
    time, step = obs.time[mine], 1e-5
    value = course(eta, subject, time, data)
    slope = np.stack(
        [
            (course(eta + step * e, subject, time, data) - course(eta - step * e, subject, time, data)) / (2 * step)
            for e in np.eye(3)
        ],
        axis=-1,
    )
    covariance = slope @ OMEGA @ slope.T + np.diag(0.3**2 + (0.12 * value) ** 2)
    size, axes = np.linalg.eigh(covariance)
    residual = obs.value[mine] - value + slope @ eta
    return mine, axes @ np.diag(size**-0.5) @ axes.T @ residual


def test_wres_and_cwres_by_hand_on_theophylline(plain, data, found):
    dv = data.observations["concentration"].value
    table = residuals.population_residuals(plain, data, found, dv)
    for subject in range(12):
        for name, eta in (("CWRES", ETA[subject]), ("WRES", np.zeros(3))):
            mine, expected = by_hand(eta, subject, data)
            np.testing.assert_allclose(table[name][mine], expected, atol=2e-7)


def test_every_solver_gives_the_same_slopes(plain, data, found):
    one = residuals.linearised(plain, data, found.draw)(ETA)
    other = residuals.linearised(theophylline(weight=False, correlation=None, solver=General()), data, found.draw)(ETA)
    np.testing.assert_allclose(other.slope, one.slope, atol=1e-6)


def test_iwres_is_its_formula(plain, data, found):
    obs = data.observations["concentration"]
    individual = np.array([course(ETA[s], s, t, data) for s, t in zip(obs.subject, obs.time, strict=True)])
    seen = residuals.individual_residuals(plain, data, found, {"concentration": individual})
    expected = (obs.value - individual) / np.sqrt(0.3**2 + (0.12 * individual) ** 2)
    np.testing.assert_allclose(seen["concentration"], expected, rtol=1e-12)


@pytest.fixture(scope="module")
def occasions(tmp_path_factory):
    """Two people with a dose and two samples on each of two occasions; CL and VC vary between occasions."""
    rows = ["ID,TIME,DV,AMT,OCC"]
    for who, values in (("1", (8.0, 6.5, 12.0, 9.0)), ("2", (9.5, 7.0, 11.0, 7.5))):
        rows += [f"{who},0,.,100,1", f"{who},1,{values[0]},.,1", f"{who},5,{values[1]},.,1"]
        rows += [f"{who},12,.,100,2", f"{who},13,{values[2]},.,2", f"{who},20,{values[3]},.,2"]
    file = tmp_path_factory.mktemp("occasions") / "two.csv"
    file.write_text("\n".join(rows) + "\n")
    units = {"TIME": "h", "AMT": "mg", "DV": "mg/L", "OCC": ""}
    table = NonmemTable(str(file), units, {"concentration": 1}, {"": "central"}, ("OCC",)).read(OneCompartmentBolus())
    population = Population(
        {
            "CL": Parameter("L/h", LogNormalPrior(1.0, 0.3), half(0.5), iov=half(0.3)),
            "VC": Parameter("L", NormalPrior(10.0, 1.0), half(1.0), scale=Normal(), iov=half(1.0)),
        },
        correlation=2.0,
    )
    model = OneCompartmentBolus()
    noise = {"concentration": Combined(half(1.0), half(0.5))}
    return StatisticalModel(model, population.for_model(model), Auto(), noise), table


def two_occasions(random, obs):
    """The closed form: the first dose is eliminated by what the first occasion has, then by what the second has."""
    eta, kappa = random[:2], random[2:].reshape(2, 2)
    cl, vc = np.exp(eta[0] + kappa[:, 0]), 10.0 + eta[1] + kappa[:, 1]
    rate = cl / vc
    after = 100 * np.exp(-12 * rate[0]) + 100
    first, second = 100 * np.exp(-rate[0] * obs) / vc[0], after * np.exp(-rate[1] * (obs - 12)) / vc[1]
    return np.where(obs < 12, first, second)


def test_cwres_with_occasions_by_hand(occasions):
    """Kappas are random effects beside the etas: OMEGA is block-diagonal, a block for the etas and one an occasion."""
    statistical, table = occasions
    random, count = np.random.default_rng(4), 50
    draws = {n: np.full(count, v) for n, v in {"CL": 1.0, "VC": 10.0, "CL_iiv": 0.4, "VC_iiv": 1.5}.items()}
    draws |= {"CL_iov": np.linspace(0.1, 0.3, count), "VC_iov": np.full(count, 0.8)}
    draws |= {"concentration_sigma_add": np.full(count, 0.3), "concentration_sigma_prop": np.full(count, 0.1)}
    draws["iiv_cholesky"] = np.broadcast_to(np.linalg.cholesky([[1, 0.5], [0.5, 1]]), (count, 2, 2))
    draws |= {f"{n}_eta": 0.2 * random.normal(size=(count, 2)) for n in ("CL", "VC")}
    draws |= {f"{n}_kappa": 0.1 * random.normal(size=(count, 2, 2)) for n in ("CL", "VC")}
    found = residuals.point(draws, statistical, table)
    omega = np.zeros((6, 6))
    omega[:2, :2] = [[0.16, 0.3], [0.3, 2.25]]
    omega[2:, 2:] = np.diag([np.mean(draws["CL_iov"] ** 2), 0.64] * 2)
    np.testing.assert_allclose(found.omega, omega, atol=1e-12)
    np.testing.assert_allclose(found.eta[1, 4], draws["CL_kappa"][:, 1, 1].mean())  # CL on the second occasion
    seen = table.observations["concentration"]
    white = residuals.population_residuals(statistical, table, found, seen.value)
    for who in range(2):
        mine = seen.subject == who
        for name, at in (("CWRES", found.eta[who]), ("WRES", np.zeros(6))):
            value, step = two_occasions(at, seen.time[mine]), 1e-5
            sides = [[two_occasions(at + s * step * e, seen.time[mine]) for s in (1, -1)] for e in np.eye(6)]
            slope = np.stack([(up - down) / (2 * step) for up, down in sides], -1)
            covariance = slope @ omega @ slope.T + np.diag(0.3**2 + (0.1 * value) ** 2)
            size, axes = np.linalg.eigh(covariance)
            residual = seen.value[mine] - value + slope @ at
            np.testing.assert_allclose(white[name][mine], axes @ ((axes.T @ residual) / np.sqrt(size)), atol=1e-6)


def test_residuals_of_a_log_normal_error_are_of_logarithms(plain, data, found):
    """By hand: the logarithm of the textbook formula with a floor, and a constant error."""
    noise = {"concentration": LogNormal(half(0.5), least=0.01)}
    statistical = StatisticalModel(plain.model, plain.population, plain.solver, noise)
    draw = {**found.draw, "concentration_sigma_log": jnp.asarray(0.25)}
    obs, step = data.observations["concentration"], 1e-5
    measured = np.maximum(obs.value, 0.02)
    white = residuals.population_residuals(statistical, data, found._replace(draw=draw), measured)
    for name, at in (("WRES", np.zeros(3)), ("CWRES", ETA[3])):
        mine = obs.subject == 3

        def log(eta, time=obs.time[mine]):
            return np.log(np.maximum(course(eta, 3, time, data), 0.01))

        slope = np.stack([(log(at + step * e) - log(at - step * e)) / (2 * step) for e in np.eye(3)], axis=-1)
        size, axes = np.linalg.eigh(slope @ OMEGA @ slope.T + 0.25**2 * np.eye(mine.sum()))
        residual = np.log(measured[mine]) - log(at) + slope @ at
        expected = axes @ np.diag(size**-0.5) @ axes.T @ residual
        np.testing.assert_allclose(white[name][mine], expected, atol=1e-6)


@pytest.mark.parametrize("batch", [16, 2])
def test_a_population_that_does_not_vary_has_weighted_residuals(occasions, monkeypatch, batch):
    """Also where a subject has more observations than a batch of derivatives takes."""
    monkeypatch.setattr(residuals, "_BATCH", batch)
    _, table = occasions
    model = OneCompartmentBolus()
    fixed = {"CL": Parameter("L/h", Fixed(1.0)), "VC": Parameter("L", LogNormalPrior(10.0, 0.3))}
    noise = {"concentration": Combined(half(1.0), half(0.5))}
    statistical = StatisticalModel(model, Population(fixed).for_model(model), Auto(), noise)
    draws = {"CL": np.ones(5), "VC": np.full(5, 10.0)}
    draws |= {"concentration_sigma_add": np.full(5, 0.3), "concentration_sigma_prop": np.full(5, 0.1)}
    found, seen = residuals.point(draws, statistical, table), table.observations["concentration"]
    value = np.concatenate([two_occasions(np.zeros(6), seen.time[seen.subject == who]) for who in range(2)])
    white = residuals.population_residuals(statistical, table, found, seen.value)
    expected = (seen.value - value) / np.sqrt(0.3**2 + (0.1 * value) ** 2)
    np.testing.assert_allclose(white["CWRES"], expected, rtol=1e-6)
    np.testing.assert_allclose(white["WRES"], expected, rtol=1e-6)


def test_residuals_of_a_linear_gaussian_model_are_standard_normal():
    """The linearised model is exact there: whitened residuals are independent with variance 1."""
    random = np.random.default_rng(3)
    slope, spread = random.normal(size=(1200, 2)), random.uniform(0.5, 2, 1200)
    omega, subject = np.array([[1.0, 0.4], [0.4, 0.5]]), np.repeat(np.arange(300), 4)
    eta = random.multivariate_normal(np.zeros(2), omega, size=300)[subject]
    y = np.sum(slope * eta, 1) + spread * random.normal(size=1200)
    white = residuals.weighted(y, slope, omega, spread, subject)
    assert abs(white.mean()) < 4 / np.sqrt(1200)
    assert abs(white.var() - 1) < 4 * np.sqrt(2 / 1200)
    # Their sum of squares is the quadratic form of the multivariate normal density.
    mine = subject == 7
    covariance = slope[mine] @ omega @ slope[mine].T + np.diag(spread[mine] ** 2)
    assert np.sum(white[mine] ** 2) == pytest.approx(y[mine] @ np.linalg.solve(covariance, y[mine]))


def test_observations_without_a_deviation_have_no_weighted_residual():
    white = residuals.weighted(np.ones(3), np.zeros((3, 1)), np.eye(1), np.array([1.0, np.nan, 2.0]), np.zeros(3, int))
    np.testing.assert_allclose(white, [1.0, np.nan, 0.5])


def test_the_point_is_medians_and_means(data):
    random = np.random.default_rng(0)
    plain = theophylline(correlation=None)
    draws = {n: random.uniform(1, 2, 100) for n in plain.priors()}
    draws |= {f"{n}_eta": random.normal(size=(100, 12)) for n in ("CL", "VC", "KA")}
    found = residuals.point(draws, plain, data)
    assert float(found.draw["CL"]) == np.median(draws["CL"])
    np.testing.assert_allclose(found.eta[:, 1], draws["VC_eta"].mean(0))
    np.testing.assert_allclose(found.omega, np.diag([np.mean(draws[f"{n}_iiv"] ** 2) for n in ("CL", "VC", "KA")]))


ROWS = {
    "one dose": ([Dose(1.0, 5.0, 0), 0.5, 1.0, 3.0], [np.nan, 0.0, 2.0]),
    "a sample before the dose of its time": ([1.0, Dose(1.0, 5.0, 0), 2.0], [np.nan, 1.0]),
    "additional doses; a trough comes before": (
        [Dose(0.0, 5.0, 0, additional=2, interval=12.0), 11.0, 12.0, After(12.0), 13.5, 24.0, 40.0],
        [11.0, 12.0, 0.0, 1.5, 12.0, 16.0],
    ),
    "an infusion counts from its start": ([Dose(2.0, 5.0, 0, rate=1.0), 3.0, 9.0], [1.0, 7.0]),
    "steady state": ([Dose(4.0, 5.0, 0, interval=12.0, steady=1), 4.0, 6.0], [0.0, 2.0]),
    "a reset cancels additional doses": (
        [Dose(0.0, 5.0, 0, additional=3, interval=10.0), Reset(15.0), 35.0],
        [25.0],
    ),
}


@pytest.mark.parametrize("case", list(ROWS))
def test_time_after_dose_by_hand(case, data):
    """A lag is a parameter and not in the records: TAD counts from the record, however late the dose enters."""
    rows, expected = ROWS[case]
    seen = [r.time if isinstance(r, After) else r for r in rows if isinstance(r, After | float)]
    settings = {f: getattr(data, f) for f in data.__dataclass_fields__}
    kind, count = type(data.observations["concentration"]), len(seen)
    other = batch([event_table([Dose(0.0, 1.0, 0), 7.0], states=2), event_table(rows, states=2)])
    unknown, place = np.full(count, np.nan), np.arange(count)
    obs = kind(np.zeros(count), unknown, unknown, np.array(seen), np.ones(count, int), place, place - 1)
    changed = type(data)(**settings | {"events": other, "observations": {"concentration": obs}})
    np.testing.assert_allclose(time_after_dose(changed)["concentration"], expected)


def test_errors_correlated_in_time_are_weighed_by_their_covariance():
    """AR(1): the sum of squares of a subject is the quadratic form of its joint normal density."""
    random = np.random.default_rng(4)
    time, spread = np.array([0.0, 1.0, 3.0, 3.5]), np.array([1.0, 0.5, 2.0, 1.0])
    slope, omega, y = random.normal(size=(4, 2)), np.eye(2), random.normal(size=4)
    correlation = np.exp(-np.abs(time[:, None] - time) / 2.0)
    covariance = slope @ omega @ slope.T + spread[:, None] * correlation * spread
    white = residuals.weighted(y, slope, omega, spread, np.zeros(4, int), lambda mine: correlation[np.ix_(mine, mine)])
    assert np.sum(white**2) == pytest.approx(y @ np.linalg.solve(covariance, y))


def test_correlation_of_errors_is_that_of_their_law(data):
    plain = theophylline()
    ar = Autoregressive(plain.noise["concentration"], half(3.0))
    statistical = eqx.tree_at(lambda s: s.noise["concentration"], plain, ar)
    draw = {name: jnp.asarray(value) for name, value in (SIGMA | {"concentration_tau": 2.0}).items()}
    mine = np.flatnonzero(residuals.subjects_of(data) == 3)
    time = data.coordinates()["time"][mine]
    expected = np.exp(-np.abs(time[:, None] - time) / 2.0)
    np.testing.assert_allclose(residuals.error_correlation(statistical, data, draw)(mine), expected)
    assert (residuals.error_correlation(plain, data, draw)(mine) == np.eye(len(mine))).all()
