"""From raw samples to the ArviZ groups of a fit, with names, units and dimensions from `vtrial.schema`."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Key

from vtrial import keys, schema
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.likelihood import LIKELIHOOD, MISSING, StatisticalModel
from vtrial.population.effects import INTERNAL
from vtrial.population.mixture import CLASS, PROBABILITY
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


def posterior(key: Key[Array, ""], samples: Values, statistical: StatisticalModel, data: Dataset) -> xr.Dataset:
    """Return the posterior group from samples [chain draw ...] of the joint model.

    Fixed parameters are in it like the others, the same in every draw. The key draws the subjects' classes, if there
    are any, from their probabilities given the draw.
    """
    variables = {}
    for name, value in _with_classes(key, samples, statistical, data).items():
        if name in INTERNAL or name.endswith(("_raw", "_phi")) or name == LIKELIHOOD:
            continue
        dims, attrs = _described(name, statistical, data)
        variables[name] = ((schema.CHAIN, schema.DRAW, *dims), np.asarray(value), attrs)
    shape = np.asarray(next(iter(samples.values()))).shape
    effects, levels = list(statistical.population.effects), statistical.levels(data)
    known = {
        schema.CHAIN: np.arange(shape[0]),
        schema.DRAW: np.arange(shape[1]),
        schema.SUBJECT: list(data.subjects),
        schema.EFFECT: effects,
        schema.EFFECT_TOO: effects,
        schema.OCCASION: list(levels.occasions),
        schema.STUDY: list(levels.studies),
        schema.CLASS: list(statistical.population.mixture.names) if statistical.population.mixture else [],
    }
    used = {dim for dims, *_ in variables.values() for dim in dims} | {schema.SUBJECT}
    return xr.Dataset(variables, {dim: value for dim, value in known.items() if dim in used})


def _with_classes(key: Key[Array, ""], samples: Values, statistical: StatisticalModel, data: Dataset) -> Values:
    """Return samples together with a class of each subject, and the subjects' own parameters in it."""
    if not statistical.population.mixture or data.empty:
        return samples
    flat = {name: jnp.asarray(x).reshape(-1, *np.shape(x)[2:]) for name, x in samples.items()}
    drawn = jax.random.categorical(key, jnp.log(flat[PROBABILITY]), axis=-1)

    @jax.jit
    def own(draw: Values) -> dict[str, Array]:
        return statistical.individual_values(draw, data)

    count, shape = len(drawn), np.shape(samples[PROBABILITY])[:2]
    values = jax.lax.map(own, {**flat, CLASS: drawn}, batch_size=min(_BATCH, count))
    found = {name: np.asarray(x).reshape(*shape, *x.shape[1:]) for name, x in ({CLASS: drawn} | values).items()}
    return {**samples, **found}


_SUFFIXES = {
    "_eta": ((schema.SUBJECT,), "Random effect (eta) of"),
    "_individual": ((schema.SUBJECT,), "Subjects' own"),
    "_kappa": ((schema.SUBJECT, schema.OCCASION), "Random effect of occasions (kappa) of"),
    "_study_eta": ((schema.STUDY,), "Random effect of studies of"),
}
_LEVELS = {"_iiv": "Omega of {}: SD of its eta between subjects", "_iov": "SD of the kappa of {} between occasions"}
_LEVELS |= {"_study": "SD of the random effect of {} between studies"}


def _described(name: str, statistical: StatisticalModel, data: Dataset) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the dimensions of a site behind chain and draw, and its unit and long name."""
    if name in (CHOLESKY, CORRELATION):
        what = "Correlation of the etas" if name == CORRELATION else "Cholesky factor of the correlation of the etas"
        return (schema.EFFECT, schema.EFFECT_TOO), {"units": "", "long_name": what}
    if name.startswith(CHOLESKY):
        what = "Cholesky factor of the correlation of a block of etas"
        return (f"{name}_row", f"{name}_column"), {"units": "", "long_name": what}
    if name == PROBABILITY:
        what = "Probability of the class given the subject's data"
        return (schema.SUBJECT, schema.CLASS), {"units": "", "long_name": what}
    if name == CLASS:
        return (schema.SUBJECT,), {"units": "", "long_name": "Class drawn by these probabilities, counted from 0"}
    if name.endswith(MISSING):
        covariate = name.removesuffix(MISSING)
        what = f"Covariate {covariate} of the subjects who lack it, in their order"
        return (name,), {"units": data.covariate_units[covariate], "long_name": what}
    population = statistical.population
    # Longest suffix first: a study's eta is no subject's.
    for suffix, (dims, what) in sorted(_SUFFIXES.items(), key=lambda item: -len(item[0])):
        if name.endswith(suffix) and (parameter := name.removesuffix(suffix)) in population.names:
            scale = population[parameter].scale.omega_unit(population[parameter].unit)
            unit = population[parameter].unit if suffix == "_individual" else scale
            return dims, {"units": unit, "long_name": f"{what} {parameter}"}
    return (), {"units": statistical.units()[name], "long_name": _long_name(name, statistical)}


def _long_name(site: str, statistical: StatisticalModel) -> str:
    """Say what a number of the population level is."""
    population = statistical.population
    if site in population.names:
        return f"Typical {site}"
    for suffix, what in _LEVELS.items():
        if (parameter := site.removesuffix(suffix)) in population.names:
            return what.format(parameter)
    for name in population.by_class:
        if site in (own := {f"{name}_{one}": one for one in population[name].classes}):
            return f"Typical {name} of class {own[site]}"
    if population.mixture and site in population.mixture.priors():
        return f"Share of class {site.removeprefix('share_')} among people of it and of the classes after it"
    return f"Covariate coefficient {site}" if site in population.priors() else f"Residual error {site}"


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
    all outputs on one long axis, and the result `code` of each subject's solve.
    """
    flat = draws(posterior_group)
    count = len(next(iter(flat.values())))

    @jax.jit
    def one(arguments):
        number, draw = arguments
        predicted, code = statistical.predict(statistical.same_subjects(draw, data), data)
        again = statistical.observe(jax.random.fold_in(key, number), predicted, draw, data)
        each = statistical.log_likelihood(predicted, draw, data)
        return code, {output: (predicted[output], again[output], each[output]) for output in statistical.noise}

    code, found = jax.lax.map(one, (jnp.arange(count), jax.tree.map(jnp.asarray, flat)), batch_size=min(_BATCH, count))
    chains, per_chain = posterior_group.sizes[schema.CHAIN], posterior_group.sizes[schema.DRAW]
    coords = {name: (schema.OBS, value) for name, value in data.coordinates().items()}

    def entry(which: int, what: str):
        array = data.long({output: parts[which] for output, parts in found.items()}).reshape(chains, per_chain, -1)
        return (schema.CHAIN, schema.DRAW, schema.OBS), array, {"long_name": what}

    reasons = "; ".join(f"{c}: {s}" for c, s in schema.RESULT_CODES.items())
    solved = np.asarray(code, np.int8).reshape(chains, per_chain, -1)
    predictive = {
        "code": ((schema.CHAIN, schema.DRAW, schema.ID), solved, {"long_name": reasons, "units": ""}),
        schema.DV: entry(1, "Replicated observation"),
        schema.IPRED: entry(0, "Individual prediction, without residual error"),
    }
    return {
        schema.POSTERIOR_PREDICTIVE: xr.Dataset(predictive, coords | {schema.ID: list(data.subjects)}),
        schema.LOG_LIKELIHOOD: xr.Dataset({schema.DV: entry(2, "Log-likelihood of the observation")}, coords),
    }


def prior(key: Key[Array, ""], statistical: StatisticalModel) -> xr.Dataset:
    """Return draws of the estimated population parameters from their priors, as one chain."""
    units = statistical.units()
    variables = {}
    for name, known in statistical.priors().items():
        value = np.asarray(known.distribution().sample(keys.named(key, name), (1, _PRIOR_DRAWS)))
        attrs = {"units": units[name], "long_name": _long_name(name, statistical), "prior": known.describe(units[name])}
        variables[name] = ((schema.CHAIN, schema.DRAW), value, attrs)
    return xr.Dataset(variables)
