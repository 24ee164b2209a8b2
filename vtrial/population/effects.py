"""Random effects of observed people: their levels in the data, how they are sampled, and how parameters take them."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from vtrial._types import Values
from vtrial.population.centring import Centring, Coordinates, Frame
from vtrial.population.population import Population

RAW = "eta_raw"
"""Site of standardised etas [subject, effect]: before OMEGA, which makes the fit non-centred."""
KAPPA_RAW = "kappa_raw"
"""Site of the standardised kappas [subject, occasion, effect]."""
INTERNAL = (RAW, KAPPA_RAW)
"""Sites that only help to sample; sites ending in `_phi` and `_raw` too."""


class Levels(eqx.Module):
    """Which occasion and which study the rows of each observed subject belong to."""

    occasion: Int[np.ndarray, "subject *span"]
    """Position in `occasions`, by subject, or by row where a subject has several."""
    occasions: tuple[float, ...] = eqx.field(static=True)
    """Values of the occasion covariate, ascending."""
    study: Int[np.ndarray, " subject"]
    """Position in `studies`."""
    studies: tuple[float, ...] = eqx.field(static=True)
    """Values of the study covariate, ascending."""


def levels(population: Population, covariates: Mapping[str, np.ndarray], subjects: int) -> Levels:
    """Return the levels of the data; one occasion and one study without such effects, and without subjects."""

    def positions(name: str, wanted: bool) -> tuple[np.ndarray, tuple[float, ...]]:
        if not wanted or not subjects:
            return np.zeros(subjects, int), (1.0,)
        known, where = np.unique(covariates[name], return_inverse=True)
        return where.reshape(np.shape(covariates[name])), tuple(known.tolist())

    occasion, occasions = positions(population.occasion, bool(population.occasion_effects))
    study, studies = positions(population.study, bool(population.study_effects))
    return Levels(occasion, occasions, study if study.ndim == 1 else study[:, 0], studies)


def sample_effects(
    population: Population,
    draw: Values,
    factor: Float[Array, "effect effect"],
    levels: Levels,
    centring: Sequence[Centring],
) -> dict[str, Array]:
    """Sample the random effects of subjects and their occasions inside a NumPyro model.

    An eta is sampled standardised (non-centred), or, if a centring is about it, as the site `CL_phi`, or `VMAX_KM_phi`
    if it is about several, which follows from the typical values, OMEGA and the effects before it.

    Args:
        population: the population.
        draw: its numbers, by site.
        factor: Cholesky factor of OMEGA.
        levels: of the data.
        centring: how some etas, each of one of them, are sampled instead.

    Returns:
        `CL_eta` [subject] and `CL_kappa` [subject, occasion], by site.
    """
    subjects = len(levels.study)
    found = _etas(population, draw, factor, subjects, centring)
    if population.occasion_effects:
        shape = (len(levels.occasions), len(population.occasion_effects))
        with numpyro.plate("subject", subjects):
            raw = jnp.asarray(numpyro.sample(KAPPA_RAW, dist.Normal(jnp.zeros(shape), 1.0).to_event(2)))
        found |= _kappas(population, draw, raw)
    for site, value in found.items():
        numpyro.deterministic(site, value)
    return found


def sample_studies(population: Population, draw: Values, levels: Levels) -> dict[str, Array]:
    """Sample the random effects of studies inside a NumPyro model, non-centred: `CL_study_eta` [study], by site."""
    found = {}
    for name, spread in zip(population.study_effects, population.spread(draw, "study"), strict=True):
        law = dist.Normal(jnp.zeros(len(levels.studies)), 1.0).to_event(1)
        raw = jnp.asarray(numpyro.sample(f"{name}_study_raw", law))
        found[f"{name}_study_eta"] = jnp.asarray(numpyro.deterministic(f"{name}_study_eta", spread * raw))
    return found


def _kappas(population: Population, draw: Values, raw: Float[Array, "subject occasion effect"]) -> dict[str, Array]:
    spread = population.spread(draw, "iov")
    return {f"{name}_kappa": spread[i] * raw[..., i] for i, name in enumerate(population.occasion_effects)}


def _etas(
    population: Population,
    draw: Values,
    factor: Float[Array, "effect effect"],
    subjects: int,
    centring: Sequence[Centring],
) -> dict[str, Array]:
    """Sample the etas: standardised ones, and those of a centring given these."""
    effects, told = population.effects, _told(centring)
    apart = _apart(population, centring)
    standard: dict[str, Array] = {}
    with numpyro.plate("subject", subjects):
        if apart:
            joint = jnp.asarray(numpyro.sample(RAW, dist.Normal(jnp.zeros(len(apart)), 1.0).to_event(1)))
            standard |= {name: joint[:, i] for i, name in enumerate(apart)}
        for name in effects:
            if name not in apart and name not in told:
                law = population.standard(name).expand((subjects,))
                standard[name] = jnp.asarray(numpyro.sample(f"{name}_raw", law))
        for some in centring:
            frame = _frame(population, draw, factor, some, standard, subjects)
            laws = [population.standard(name) for name in some.effects]
            phi = jnp.asarray(numpyro.sample(some.site, Coordinates(laws, frame, subjects)))
            standard |= zip(some.effects, frame.standard(list(phi.T)), strict=True)
    z = [standard[name] for name in effects]
    return {
        f"{name}_eta": sum((factor[i, j] * z[j] for j in range(i)), factor[i, i] * z[i])
        for i, name in enumerate(effects)
    }


def _told(centring: Sequence[Centring]) -> list[str]:
    return [name for some in centring for name in some.effects]


def _apart(population: Population, centring: Sequence[Centring]) -> list[str]:
    """Return the effects that are sampled standardised, in one site: normal ones."""
    told = _told(centring)
    return [n for n in population.effects if n not in told and population[n].degrees is None]


def _frame(
    population: Population,
    draw: Values,
    factor: Float[Array, "effect effect"],
    centring: Centring,
    standard: Mapping[str, Float[Array, " subject"]],
    subjects: int,
) -> Frame:
    """Return the frame of the effects of a centring, given other effects, standardised."""
    effects, location = population.effects, []
    for name in centring.effects:
        i = effects.index(name)
        given = sum((factor[i, effects.index(n)] * z for n, z in standard.items()), jnp.zeros(subjects))
        location.append(population[name].scale.location(jnp.asarray(draw[name])) + given)
    own = np.array([effects.index(name) for name in centring.effects])
    return centring.frame(location, factor[own[:, None], own])


def sampled_columns(
    population: Population,
    draw: Values,
    factor: Float[Array, "effect effect"],
    centring: Sequence[Centring],
    latent: Float[Array, "subject latent"],
) -> Float[Array, "subject latent"]:
    """Return what `sample_effects` would have sampled to get standardised random effects, in the order of these.

    Args:
        population: the population.
        draw: its numbers, by site.
        factor: Cholesky factor of OMEGA.
        centring: how.
        latent: etas, then kappas of every occasion.
    """
    effects, columns = population.effects, latent
    known = {name: latent[:, i] for i, name in enumerate(effects) if name not in _told(centring)}
    for some in centring:
        own = np.array([effects.index(name) for name in some.effects])
        frame, z = _frame(population, draw, factor, some, known, len(latent)), list(latent[:, own].T)
        columns = columns.at[:, own].set(jnp.stack(frame.coordinates(z), -1))
        known |= zip(some.effects, z, strict=True)
    return columns


def latent_columns(
    population: Population,
    draw: Values,
    factor: Float[Array, "effect effect"],
    centring: Sequence[Centring],
    columns: Float[Array, "subject latent"],
) -> Float[Array, "subject latent"]:
    """Return the standardised random effects that `sampled_columns` made these columns of; arguments likewise."""
    effects, latent = population.effects, columns
    known = {name: columns[:, i] for i, name in enumerate(effects) if name not in _told(centring)}
    for some in centring:
        own = np.array([effects.index(name) for name in some.effects])
        z = _frame(population, draw, factor, some, known, len(columns)).standard(list(columns[:, own].T))
        latent = latent.at[:, own].set(jnp.stack(z, -1))
        known |= zip(some.effects, z, strict=True)
    return latent


def as_columns(
    population: Population, sites: Mapping[str, np.ndarray], centring: Sequence[Centring], levels: Levels
) -> Float[np.ndarray, "subject latent"]:
    """Return the sites that `sample_effects` samples as the columns of `sampled_columns`."""
    subjects, apart = len(levels.study), _apart(population, centring)
    own = {n: sites[some.site][:, i] for some in centring for i, n in enumerate(some.effects)}
    own |= {name: sites[RAW][:, i] for i, name in enumerate(apart)}
    columns: list[np.ndarray] = [np.zeros((subjects, 0))]
    columns += [(own[n] if n in own else sites[f"{n}_raw"])[:, None] for n in population.effects]
    if population.occasion_effects:
        columns.append(sites[KAPPA_RAW].reshape(subjects, -1))
    return np.concatenate(columns, -1)


def latent_size(population: Population, levels: Levels) -> int:
    """Return how many standardised random effects each subject has: etas, and kappas of every occasion."""
    return len(population.effects) + len(levels.occasions) * len(population.occasion_effects)


def from_latent(
    population: Population,
    draw: Values,
    factor: Float[Array, "effect effect"],
    levels: Levels,
    latent: Float[Array, "subject latent"],
) -> dict[str, Array]:
    """Return `CL_eta` and `CL_kappa` of standardised random effects."""
    count = len(population.effects)
    spread = jnp.tile(population.spread(draw, "iov"), len(levels.occasions))
    return split(population, levels, jnp.concatenate([latent[:, :count] @ factor.T, latent[:, count:] * spread], -1))


def split(
    population: Population, levels: Levels, effect: Float[Array, "subject effect"]
) -> dict[str, Float[Array, "subject *occasion"]]:
    """Return random effects by site: `CL_eta` of the first columns, then `CL_kappa`, occasion by occasion."""
    count, shape = len(population.effects), (len(levels.study), len(levels.occasions), len(population.occasion_effects))
    kappa = effect[:, count:].reshape(shape)
    found = {f"{name}_eta": effect[:, i] for i, name in enumerate(population.effects)}
    return found | {f"{name}_kappa": kappa[..., i] for i, name in enumerate(population.occasion_effects)}


def stacked(population: Population, draws: Values, subjects: int) -> Float[np.ndarray, "draw subject effect"]:
    """Return the random effects of draws as columns, in the order that `split` takes."""
    count = len(next(iter(draws.values())))
    columns = [np.zeros((count, subjects, 0)), *(np.asarray(draws[f"{n}_eta"])[..., None] for n in population.effects)]
    kappas = [np.asarray(draws[f"{n}_kappa"]) for n in population.occasion_effects]
    if kappas:
        columns.append(np.stack(kappas, -1).reshape(count, subjects, -1))
    return np.concatenate(columns, -1)


def whole_factor(population: Population, draw: Values, levels: Levels) -> Float[Array, "effect effect"]:
    """Return the Cholesky factor of the covariance of all these columns: OMEGA's, then the SDs of the kappas."""
    spread = jnp.tile(population.spread(draw, "iov"), len(levels.occasions))
    return jax.scipy.linalg.block_diag(population.factor(draw), jnp.diag(spread))


def latent_log_density(population: Population, latent: Float[Array, "subject latent"]) -> Float[Array, " subject"]:
    """Return the log density of each subject's standardised random effects."""
    total = jnp.asarray(dist.Normal(0.0, 1.0).log_prob(latent)).sum(-1)
    for i, name in enumerate(population.effects):
        if population[name].degrees is not None:
            column = latent[:, i]
            total = total + population.standard(name).log_prob(column) - dist.Normal(0.0, 1.0).log_prob(column)
    return total


def individual(
    population: Population, draw: Values, covariates: Values, levels: Levels
) -> dict[str, Float[Array, "subject *span"]]:
    """Return observed subjects' parameters at one draw, from its `CL_eta`, `CL_kappa` and `CL_study_eta`."""
    subjects = len(levels.study)
    columns = [draw[f"{name}_eta"] for name in population.effects]
    eta = jnp.stack(columns, axis=-1) if columns else jnp.zeros((subjects, 0))
    kappa = None
    if population.occasion_effects:
        every = jnp.stack([draw[f"{name}_kappa"] for name in population.occasion_effects], axis=-1)
        kappa = at_occasion(every, levels)
    study = {name: jnp.asarray(draw[f"{name}_study_eta"])[levels.study] for name in population.study_effects}
    return population.individual(draw, eta, covariates, kappa, study)


def at_occasion(kappa: Float[Array, "subject occasion effect"], levels: Levels) -> Float[Array, "subject *span effect"]:
    """Return the kappas of each row's occasion, or of each subject's where it has one."""
    who = np.arange(len(levels.study))
    return kappa[who.reshape(-1, *(1,) * (levels.occasion.ndim - 1)), levels.occasion]
