"""Random effects against R's nlme."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistics.data import TRIALS, visits
from vtrial.statistics import reml


def lines(outcome, design, slope):
    """Fit random intercepts and slopes, correlated if theta has four numbers."""
    known = jnp.isfinite(outcome)
    column = jnp.stack([jnp.ones_like(slope), slope], -1)

    def covariance(theta):
        low = jnp.where(len(theta) > 3, theta[-1], 0.0)
        factor = jnp.array([[jnp.exp(theta[0]), 0.0], [low, jnp.exp(theta[1])]])
        between = jnp.einsum("psa,ab,ptb->pst", column, factor @ factor.T, column)
        return between + jnp.exp(2 * theta[2]) * jnp.eye(slope.shape[1])[None]

    return lambda start: reml.fit(start, covariance, reml.each(design, jnp.where(known, outcome, 0.0), known))


@pytest.mark.external
@pytest.mark.slow
def test_orthodont_random_slopes():
    outcome, known = visits("orthodont.csv", "Subject", "distance", "age", {"Sex": lambda v: v == "Female"})
    age = np.broadcast_to([8.0, 10.0, 12.0, 14.0], outcome.shape)
    sex = np.broadcast_to(known["Sex"][:, None], outcome.shape)
    design = jnp.asarray(np.stack([np.ones_like(age), age, sex, age * sex], -1))
    fit = jax.jit(lines(jnp.asarray(outcome), design, jnp.asarray(age - 11)))(jnp.array([0.5, -1.5, 0.2, 0.0]))
    np.testing.assert_allclose(fit.coefficient, [16.340625, 0.784375, 1.0321022727, -0.30482954545], rtol=1e-9)
    error = [1.0185319666, 0.08599951735, 1.5957329154, 0.13473534954]
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), error, rtol=1e-4)
    assert float(fit.deviance) == pytest.approx(2 * 216.2908307513, abs=1e-5)
    assert bool(fit.converged)


@pytest.mark.external
@pytest.mark.slow
def test_concentration_qtc():
    with open(TRIALS / "cqt.csv", encoding="utf-8") as file:
        rows = [{name: float(v) for name, v in row.items()} for row in csv.DictReader(file)]
    times = [1, 2, 4, 8, 12]
    number = int(max(row["ID"] for row in rows))
    table = {name: np.zeros((number, 5)) for name in ("trt", "conc", "bl", "dqt")}
    for row in rows:
        for name in table:
            table[name][int(row["ID"]) - 1, times.index(int(row["time"]))] = row[name]
    steps = [np.broadcast_to(np.array(times) == t, (number, 5)) for t in times[1:]]
    design = np.stack([np.ones((number, 5)), table["trt"], table["conc"], *steps, table["bl"]], -1)
    fitted = lines(jnp.asarray(table["dqt"]), jnp.asarray(design), jnp.asarray(table["conc"]))
    fit = jax.jit(fitted)(jnp.array([1.0, -5.0, 1.5]))
    top = jnp.zeros(8).at[jnp.array([1, 2])].set(jnp.array([1.0, 772.9098207806]))
    effect, error, _ = reml.satterthwaite(fit, top)
    np.testing.assert_allclose(np.exp(fit.theta), [2.902514547, 0.005043741, 4.540565823], rtol=1e-3)
    assert float(effect) == pytest.approx(9.3201387556, rel=1e-5)
    assert float(error) == pytest.approx(1.6123110306, rel=1e-4)
    assert float(effect + 1.6448536 * error) == pytest.approx(11.9721544021, rel=1e-5)
