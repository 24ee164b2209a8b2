"""A typical subject of a population of conf/, and the outputs of a model for it."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import yaml
from hydra.utils import instantiate

from vtrial._resources import directory
from vtrial.dosing import Dose, event_table
from vtrial.model import AbstractModel, entry_parameters
from vtrial.population import Population
from vtrial.solve import AbstractSolver, Auto, Lanes

AUTO, STIFF = Auto(1e-8, 1e-10), Lanes(True, 1e-8, 1e-10)


def population(name: str) -> Population:
    """Return a population of conf/population."""
    text = (directory("conf") / "population" / f"{name}.yaml").read_text(encoding="utf-8")
    return instantiate(yaml.safe_load(text), _convert_="all")


def subject(name: str, model: AbstractModel, covariates: Mapping[str, float] | None = None, **change) -> dict:
    """Return the parameters, in the model's units, of a subject at the prior medians with all etas 0."""
    units, found = model.parameters | entry_parameters(model), {}
    given = population(name)
    values = {n: jnp.asarray(v, float) for n, v in (covariates or {}).items()}
    for n, one in zip(given.names, given.parameters, strict=True):
        one = one.converted(n, units[n])
        effects = {k: e for k, e in one.covariates.items() if e.covariate in values}
        factor = np.prod([float(e.factor(values[e.covariate], {})) for e in effects.values()])
        found[n] = one.prior.centre() * factor
    assert set(model.parameters) <= set(found)
    return found | change


def solve(model: AbstractModel, p: Mapping, rows: Sequence, solver: AbstractSolver = AUTO) -> dict[str, np.ndarray]:
    """Return the outputs at the samples of `rows`."""
    events = event_table(rows)
    profile = jax.jit(lambda p: solver(model, p, events))({n: jnp.asarray(v, float) for n, v in p.items()})
    assert profile.code == 0
    return {name: np.asarray(values) for name, values in profile.outputs.items()}


def repeated(amount: float, every: float, doses: int, state: int = 0, **change) -> Dose:
    """Return equal doses from time 0 on."""
    return Dose(0.0, amount, state, doses - 1, every, **change)
