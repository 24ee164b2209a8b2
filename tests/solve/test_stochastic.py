"""Models with system noise, against closed forms; Monte Carlo within four standard errors, seeds fixed."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_1cpt_ou import OneCompartmentOralFluctuating

from vtrial.dosing import Dose, Reset, event_table, stack
from vtrial.errors import UserError
from vtrial.model import AbstractModel, AbstractStochasticModel, check_equations
from vtrial.solve import Auto, General, Linear, ResultCode, in_every_order
from vtrial.solve.stochastic import Wiener

KEY = jax.random.key(20261125)
PATHS = 4000


class Fluctuating(AbstractStochasticModel):
    """Ornstein and Uhlenbeck's process with doses: lost at a rate K, disturbed by S."""

    time: ClassVar = "h"
    states: ClassVar = {"x": "mg"}
    parameters: ClassVar = {"K": "1/h", "S": "mg/h**0.5"}
    outputs: ClassVar = {"x": "mg"}
    linear: ClassVar = True

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": -p["K"] * y["x"]}

    def diffusion(self, t, y, p):
        return {"x": p["S"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


class Proportional(AbstractStochasticModel):
    """A drug whose loss is disturbed in proportion to what there is, beside a state without noise."""

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "x": "mg"}
    parameters: ClassVar = {"K": "1/h", "S": "1/h**0.5"}
    outputs: ClassVar = {"x": "mg"}
    linear: ClassVar = False

    def initial(self, p):
        return {"depot": 0.0, "x": 0.0}

    def rates(self, t, y, p):
        return {"depot": -y["depot"], "x": -p["K"] * y["x"]}

    def diffusion(self, t, y, p):
        return {"x": p["S"] * y["x"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


OU, OU_P = Fluctuating(), {"K": 0.3, "S": 2.0}


def paths(solver, model, p, events, count=PATHS):
    """The first output of many paths, [path, sample]."""
    keys = jax.random.split(KEY, count)
    found = jax.jit(jax.vmap(lambda key: solver(model, p, events, key=key)))(keys)
    assert (found.code == ResultCode.SOLVED).all()
    return np.asarray(found.outputs[next(iter(model.outputs))])


def test_mean_variance_and_autocovariance_through_doses():
    """Doses and samples between the ends of steps and at them; the variance starts at 0 at the first record."""
    doses, time = [(0.0, 20.0), (4.03, 10.0), (9.5, 15.0)], np.array([0.07, 1.0, 4.5, 9.48, 9.5, 9.51, 20.013])
    rows = [Dose(0.0, 20.0, 0), 0.07, 1.0, Dose(4.03, 10.0, 0), 4.5, 9.48, Dose(9.5, 15.0, 0), 9.5, 9.51, 20.013]
    found = paths(General(step=0.1), OU, OU_P, event_table(rows))
    mean = sum(a * np.exp(-0.3 * (time - t)) * (time >= t) for t, a in doses)
    covariance = 4.0 / 0.6 * (np.exp(-0.3 * np.abs(time[:, None] - time)) - np.exp(-0.3 * (time[:, None] + time)))
    variance = np.diag(covariance)
    assert (np.abs(found.mean(0) - mean) < 4 * np.sqrt(variance / PATHS)).all()
    # Standard error of a normal covariance: sqrt((c_ii c_jj + c_ij^2) / n).
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / PATHS)
    assert (np.abs(np.cov(found.T) - covariance) < 4 * error).all()


def test_noise_in_proportion_has_the_mean_of_itos_sense():
    found = paths(General(step=0.05), Proportional(), {"K": 0.2, "S": 0.4}, event_table([Dose(0.0, 10.0, 1), 2.0, 5.0]))
    time = np.array([2.0, 5.0])
    mean = 10 * np.exp(-0.2 * time)
    spread = mean * np.sqrt(np.expm1(0.16 * time))
    assert (np.abs(found.mean(0) - mean) < 4 * spread / np.sqrt(PATHS)).all()
    # Stratonovich's sense would be exp(0.08 t) higher.
    assert (np.abs(found.mean(0) * np.exp(0.08 * time) - mean) > 4 * spread / np.sqrt(PATHS)).all()


def path(solver, model, p, rows, key=KEY):
    """One path, and its code."""
    events = event_table(rows)
    found = jax.jit(lambda p, key: solver(model, p, events, key=key))({n: jnp.asarray(v) for n, v in p.items()}, key)
    return found.outputs[next(iter(model.outputs))], found.code


def wiener(key, step, until):
    """The Wiener process at a whole number of steps, from the increments of the solver's."""
    path = Wiener(key=key, count=1, whole=True)
    numbers = jnp.arange(round(until / step), dtype=float)
    return np.sqrt(step) * jax.vmap(lambda s: path.evaluate(s, s + 1))(numbers).sum()


@pytest.mark.slow
def test_strong_order():
    """Path by path against the exact solution X = 10 exp(-(K + S^2 / 2) t + S W(t)): order 1.5."""
    p, steps, errors = {"K": 0.3, "S": 0.5}, (0.4, 0.2, 0.1), []
    events = event_table([Dose(0.0, 10.0, 1), 4.0])
    for step in steps:

        def both(key, step=step):
            found = General(step=step)(Proportional(), p, events, key=key).outputs["x"][0]
            return found, 10 * jnp.exp(-(0.3 + 0.125) * 4.0 + 0.5 * wiener(key, step, 4.0))

        found, exact = jax.jit(jax.vmap(both))(jax.random.split(KEY, 500))
        errors.append(float(jnp.sqrt(jnp.mean((found - exact) ** 2))))
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 1.3 < order < 2.2
    assert errors[-1] < 1e-2


def test_without_noise_it_is_the_ordinary_solution():
    """Of second order in the step."""
    p = {"CL": 2.8, "VC": 32.0, "KA": 1.5}
    rows = [Dose(0.0, 100.0, 0, 2, 6.1), 0.5, Dose(1.0, 50.0, 1, duration=2.33), 3.0, 7.7, 30.0]
    exact = Linear()(OneCompartmentOral(), p, event_table(rows)).outputs["concentration"]
    off = []
    for step in (0.1, 0.05):
        still = p | {"SDCL": 0.0, "TAU": 10.0}
        found, code = path(General(step=step), OneCompartmentOralFluctuating(), still, rows)
        assert code == ResultCode.SOLVED
        off.append(float(np.abs(found / exact - 1).max()))
    assert off[1] < 1e-3
    assert 3.0 < off[0] / off[1] < 5.5


def test_every_record_moves_the_path_as_it_moves_the_mean():
    """The process is linear and its noise is not in proportion: with the same key, doses add what they add without."""
    time = np.array([0.5, 2.0, 3.7, 8.0, 9.01, 14.0])
    p = OU_P | {"ALAG_x": 0.33, "F_x": 0.5}
    watched = [*time[:4].tolist(), Reset(9.0), *time[4:].tolist()]
    rows = [Dose(0.0, 20.0, 0, 3, 2.1), watched[0], Dose(1.0, 30.0, 0, rate=10.0), *watched[1:]]
    solver, empty = General(step=0.05), [0.0, *watched]
    with_doses = path(solver, OU, p, rows)[0]
    without = path(solver, OU, p, empty)[0][1:]
    expected = Linear()(Still(), {"K": 0.3, "ALAG_x": 0.33, "F_x": 0.5}, event_table(rows)).outputs["x"]
    np.testing.assert_allclose(with_doses - without, expected, atol=2e-3)
    assert abs(float(without[4])) < 1.0  # the noise of a hundredth of an hour after the reset: SD 0.2


class Still(AbstractModel):
    """The mean of the process."""

    time: ClassVar = "h"
    states: ClassVar = {"x": "mg"}
    parameters: ClassVar = {"K": "1/h"}
    outputs: ClassVar = {"x": "mg"}
    linear: ClassVar = True

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": -p["K"] * y["x"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


def test_further_samples_change_nothing():
    """Bit by bit, wherever they are; nor do later events change what was before, nor a time before 0 anything."""
    solver = General(step=0.1)
    few, many = (
        [Dose(-3.0, 10.0, 0), 1.0, 4.44, 9.0],
        [Dose(-3.0, 10.0, 0), -2.9, 0.333, 1.0, 1.04, 4.44, 4.45, 7.0, 9.0],
    )
    one = path(solver, OU, OU_P, few)[0]
    other = path(solver, OU, OU_P, many)[0]
    np.testing.assert_array_equal(one, other[np.array([2, 4, 7])])
    later = path(solver, OU, OU_P, [*few, Dose(9.0, 10.0, 0), 50.0])[0]
    np.testing.assert_array_equal(one, later[:3])
    again = path(solver, OU, OU_P, few, jax.random.key(1))[0]
    assert (np.abs(one - again) > 1e-3).all()


def test_a_batch_is_its_persons():
    model, solver = OneCompartmentOralFluctuating(), General(step=0.1)
    tables = [event_table([Dose(0.0, 100.0, 0, n, 5.3), 0.77, *(3.0 * k for k in range(1, n + 2))]) for n in (1, 3)]
    p = {n: jnp.asarray([v, 1.3 * v]) for n, v in {"CL": 3.0, "VC": 30.0, "KA": 1.0, "SDCL": 0.4, "TAU": 8.0}.items()}
    keys = jax.random.split(KEY, 2)
    both = jax.jit(jax.vmap(lambda p, t, k: solver(model, p, t, key=k)))(
        p, jax.tree.map(jnp.asarray, stack(tables)), keys
    )
    for i, table in enumerate(tables):
        alone = jax.jit(lambda q, k, t=table: solver(model, q, t, key=k))({n: v[i] for n, v in p.items()}, keys[i])
        alone = alone.outputs["concentration"]
        np.testing.assert_allclose(both.outputs["concentration"][i, : len(alone)], alone, rtol=1e-12)


def test_the_steps_of_a_path_may_be_too_many():
    rows = [Dose(0.0, 1.0, 0), 20.0]
    assert path(General(step=0.1, max_steps=50), OU, OU_P, rows)[1] == ResultCode.STEP_LIMIT
    assert path(General(step=0.1), OU, OU_P | {"K": jnp.nan}, rows)[1] == ResultCode.NOT_FINITE


def test_derivatives_are_those_of_the_path():
    events = event_table([Dose(0.0, 10.0, 0), 3.33])

    def value(k):
        return General(step=0.1)(OU, {"K": k, "S": 2.0}, events, key=KEY).outputs["x"][0]

    value = jax.jit(value)
    slope = (value(0.3 + 1e-5) - value(0.3 - 1e-5)) / 2e-5
    assert jax.jit(jax.grad(value))(0.3) == pytest.approx(float(slope), rel=1e-6)


class Wrong(AbstractStochasticModel):
    """Noise in a state it has not."""

    time: ClassVar = "h"
    states: ClassVar = {"x": "mg"}
    parameters: ClassVar = {}
    outputs: ClassVar = {"x": "mg"}
    linear: ClassVar = False

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": 0.0}

    def diffusion(self, t, y, p):
        return {"z": 1.0}

    def observe(self, t, y, p):
        return {"x": y["x"]}


def test_refusals():
    events, steady = (
        event_table([Dose(0.0, 1.0, 0), 1.0]),
        event_table([Dose(0.0, 1.0, 0, interval=6.0, steady=1), 1.0], states=1),
    )
    with pytest.raises(UserError, match="nothing here invents a seed"):
        Auto()(OU, OU_P, events)
    with pytest.raises(UserError, match="a distribution and no amount"):
        Auto()(OU, OU_P, steady, key=KEY)
    for use in (lambda s: s.check(OU, OU_P), lambda s: s(OU, OU_P, events, key=KEY)):
        with pytest.raises(UserError, match="no implicit method"):
            use(General(stiff=True))
    with pytest.raises(UserError, match=r"set solver\.step to 0\.0033 or less"):
        General().check(OU, {"K": 30.0, "S": 1.0})
    with pytest.raises(UserError, match="max_steps and step"):
        General(step=0.0)
    with pytest.raises(UserError, match="returns z, but the states are x"):
        check_equations(Wrong(), {})


def test_no_solver_has_every_derivative_of_a_path():
    """Of a model declared linear neither: the closed form would leave the noise out."""
    assert in_every_order(Auto(), Fluctuating(), "") is None
    assert in_every_order(Linear(), Fluctuating(), "") is None
