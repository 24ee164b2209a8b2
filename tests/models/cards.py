"""A typical subject of a population of conf/, and the outputs of a model for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from hydra.utils import instantiate
from scipy.integrate import solve_ivp

from tests.helpers import written
from vtrial._resources import directory
from vtrial.dosing import Dose, event_table
from vtrial.model import AbstractModel, entry_parameters
from vtrial.population import Population
from vtrial.solve import AbstractSolver, Auto, Lanes

AUTO, STIFF = Auto(1e-8, 1e-10), Lanes(True, 1e-8, 1e-10)


def population(name: str) -> Population:
    """Return a population of conf/population."""
    return instantiate(written(directory("conf") / "population" / f"{name}.yaml"), _convert_="all")


def subject(name: str, model: AbstractModel, covariates: Mapping[str, float] | None = None, **change) -> dict:
    """Return the parameters, in the model's units, of a subject at the prior medians with all etas 0."""
    units, found = model.parameters | entry_parameters(model), {}
    given = population(name)
    values = {n: jnp.asarray(v, float) for n, v in (covariates or {}).items()}
    for n, one in zip(given.names, given.parameters, strict=True):
        one = one.converted(n, units[n])
        one = replace(one, covariates={k: e for k, e in one.covariates.items() if e.covariate in values})
        found[n] = float(one.individual(n, {n: jnp.asarray(one.prior.centre(), float)}, jnp.zeros(()), values))
    assert set(model.parameters) <= set(found)
    return found | change


def solve(model: AbstractModel, p: Mapping, rows: Sequence, solver: AbstractSolver = AUTO) -> dict[str, np.ndarray]:
    """Return the outputs at the samples of `rows`."""
    events = event_table(rows)
    profile = jax.jit(lambda p: solver(model, p, events))({n: jnp.asarray(v, float) for n, v in p.items()})
    assert profile.code == 0
    return {name: np.asarray(values) for name, values in profile.outputs.items()}


def integrated(
    rates: Callable, start: Sequence[float], doses: Sequence[tuple[float, float, int]], times: Sequence[float], *breaks
) -> np.ndarray:
    """Return states [time, state] by SciPy's LSODA, doses (time, amount, state) and breaks being exact ends of pieces.

    A time at the hour of a dose is before it.
    """
    y, now, found = np.array(start, float), 0.0, {}
    for end in sorted({*times, *breaks, *(dose[0] for dose in doses)}):
        if end > now:
            y = solve_ivp(rates, (now, end), y, method="LSODA", rtol=1e-10, atol=1e-12).y[:, -1]
        found[end], now = y.copy(), end
        for time, amount, state in doses:
            y[state] += amount * (time == end)
    return np.stack([found[time] for time in times])


def repeated(amount: float, every: float, doses: int, state: int = 0, **change) -> Dose:
    """Return equal doses from time 0 on."""
    return Dose(0.0, amount, state, doses - 1, every, **change)
