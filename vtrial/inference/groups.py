"""From raw samples to the ArviZ groups of a fit, with names, units and dimensions from `vtrial.schema`."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Key

from vtrial import keys, schema
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.likelihood import RAW, StatisticalModel
from vtrial.population.population import CHOLESKY, CORRELATION

_BATCH = 250
"""Draws predicted at once; bounds the memory."""
_PRIOR_DRAWS = 4000

_STATS = {
    "diverging": ("diverging", "Divergent transition"),
    "energy": ("energy", "Hamiltonian energy"),
    "num_steps": ("n_steps", "Leapfrog steps"),
    "accept_prob": ("acceptance_rate", "Mean acceptance probability"),
    "potential_energy": ("lp", "Log density (unnormalised, unconstrained)"),
}
"""NumPyro's name of a statistic -> ArviZ's name and what it is."""


def posterior(samples: Values, statistical: StatisticalModel, data: Dataset) -> xr.Dataset:
    """Return the posterior group from samples [chain draw ...] of the joint model."""
    effects, units = statistical.population.effects, statistical.units()
    variables = {}
    for name, value in samples.items():
        if name == RAW:
            continue
        dims, attrs = _described(name, statistical, units)
        variables[name] = ((schema.CHAIN, schema.DRAW, *dims), np.asarray(value), attrs)
    shape = np.asarray(next(iter(samples.values()))).shape
    coords = {schema.CHAIN: np.arange(shape[0]), schema.DRAW: np.arange(shape[1]), schema.SUBJECT: list(data.subjects)}
    if CORRELATION in samples:
        coords |= {schema.EFFECT: list(effects), schema.EFFECT_TOO: list(effects)}
    return xr.Dataset(variables, coords)


def _described(
    name: str, statistical: StatisticalModel, units: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the dimensions of a site behind chain and draw, and its unit and long name."""
    if name in (CHOLESKY, CORRELATION):
        what = "Correlation of the etas" if name == CORRELATION else "Cholesky factor of the correlation of the etas"
        return (schema.EFFECT, schema.EFFECT_TOO), {"units": "", "long_name": what}
    for suffix, what in (("_eta", "Random effect (eta) of"), ("_individual", "Subjects' own")):
        if name.endswith(suffix):
            parameter = name.removesuffix(suffix)
            unit = units[parameter] if suffix == "_individual" else ""
            return (schema.SUBJECT,), {"units": unit, "long_name": f"{what} {parameter}"}
    if name.endswith("_iiv"):
        return (), {"units": "", "long_name": f"Omega of {name.removesuffix('_iiv')}: SD of its eta between subjects"}
    if name in statistical.model.parameters:
        return (), {"units": units[name], "long_name": f"Typical {name}"}
    return (), {"units": units[name], "long_name": f"Residual error {name}"}


def sample_stats(fields: Values) -> xr.Dataset:
    """Return the sampler's statistics [chain draw] under ArviZ's names."""
    variables = {}
    for field, value in fields.items():
        name, what = _STATS[field]
        value = -np.asarray(value) if name == "lp" else np.asarray(value)
        variables[name] = ((schema.CHAIN, schema.DRAW), value, {"long_name": what, "units": ""})
    return xr.Dataset(variables)


def draws(posterior_group: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the posterior with chain and draw merged into one leading axis."""
    return {str(n): v.to_numpy().reshape(-1, *v.shape[2:]) for n, v in posterior_group.data_vars.items()}


def predictions(
    key: Key[Array, ""], posterior_group: xr.Dataset, statistical: StatisticalModel, data: Dataset
) -> dict[str, xr.Dataset]:
    """Return the groups `posterior_predictive` and `log_likelihood` of the observed subjects.

    `posterior_predictive` holds replicated measurements `DV` and individual predictions without residual error `IPRED`,
    all outputs on one long axis.
    """
    flat = draws(posterior_group)
    count = len(next(iter(flat.values())))

    @jax.jit
    def one(arguments):
        number, draw = arguments
        predicted, _ = statistical.predict(statistical.same_subjects(draw, data), data)
        again = statistical.observe(jax.random.fold_in(key, number), predicted, draw, data)
        each = statistical.log_likelihood(predicted, draw, data)
        return {output: (predicted[output], again[output], each[output]) for output in statistical.noise}

    found = jax.lax.map(one, (jnp.arange(count), jax.tree.map(jnp.asarray, flat)), batch_size=min(_BATCH, count))
    chains, per_chain = posterior_group.sizes[schema.CHAIN], posterior_group.sizes[schema.DRAW]
    coords = {name: (schema.OBS, value) for name, value in data.coordinates().items()}

    def entry(which: int, what: str):
        array = data.long({output: parts[which] for output, parts in found.items()}).reshape(chains, per_chain, -1)
        return (schema.CHAIN, schema.DRAW, schema.OBS), array, {"long_name": what}

    predictive = {
        schema.DV: entry(1, "Replicated observation"),
        schema.IPRED: entry(0, "Individual prediction, without residual error"),
    }
    return {
        schema.POSTERIOR_PREDICTIVE: xr.Dataset(predictive, coords),
        schema.LOG_LIKELIHOOD: xr.Dataset({schema.DV: entry(2, "Log-likelihood of the observation")}, coords),
    }


def prior(key: Key[Array, ""], statistical: StatisticalModel) -> xr.Dataset:
    """Return draws of the population parameters from their priors, as one chain."""
    units = statistical.units()
    variables = {}
    for name, known in statistical.priors().items():
        value = known.distribution().sample(keys.named(key, name), (1, _PRIOR_DRAWS))
        _, attrs = _described(name, statistical, units)
        variables[name] = (
            (schema.CHAIN, schema.DRAW),
            np.asarray(value),
            attrs | {"prior": known.describe(units[name])},
        )
    return xr.Dataset(variables)
