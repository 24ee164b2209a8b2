"""Recruitment: posterior draws become virtual patients."""

import logging
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial import keys
from vtrial.cohort.covariates import AbstractCovariates, check_source, draw_kept
from vtrial.cohort.levels import Levels
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.likelihood import StatisticalModel
from vtrial.population import Population

log = logging.getLogger(__name__)


class Recruitment(eqx.Module):
    """How many virtual patients, and where their covariates come from.

    Args:
        replicates: virtual trials; each is drawn from a posterior draw of its own.
        subjects: virtual patients in each replicate. The trial enrols the first of them; the others say what is true
            under that posterior draw.
        covariates: source of their covariates.
        levels: which levels vary; all, unless switched off.
    """

    replicates: int = eqx.field(static=True)
    subjects: int = eqx.field(static=True)
    covariates: AbstractCovariates
    levels: Levels = Levels()

    def __check_init__(self):
        """Refuse an empty cohort."""
        if self.replicates < 2 or self.subjects < 2:
            raise UserError(
                "cohort needs at least 2 replicates (for a Monte-Carlo error) and 2 subjects; got "
                f"{self.replicates} and {self.subjects}."
            )

    def refuse_beyond(self, draws: int) -> None:
        """Refuse more replicates than posterior draws.

        Raises:
            UserError: each trial could not have a draw of its own.
        """
        if self.levels.parameters and self.replicates > draws:
            raise UserError(
                f"cohort.replicates={self.replicates}, but the posterior has {draws} draws and each trial takes one of "
                "its own; raise inference.draws or lower cohort.replicates."
            )

    def refuse_shared_draws(self, effective: float, *, force: bool) -> None:
        """Refuse more replicates than half the effective sample size of the posterior, or warn if forced to go on.

        Raises:
            UserError: trials would share draws in effect.
        """
        if not self.levels.parameters or self.replicates <= effective / 2:
            return
        sentence = (
            f"cohort.replicates={self.replicates} is more than half the effective sample size of the posterior, "
            f"{effective:.0f}: trials would share draws, and Monte-Carlo errors would be too small. "
            "Raise inference.draws or lower cohort.replicates."
        )
        if not force:
            raise UserError(sentence)
        log.warning("%s Going on because gate.force=true.", sentence)

    def describe(self) -> str:
        """Say it in words."""
        off = self.levels.describe()
        return (
            f"{self.replicates} virtual trials {'on posterior draws of their own, ' if self.levels.parameters else ''}"
            f"{self.subjects} virtual patients each; covariates: {self.covariates.describe()}"
            + (f"; switched off: {off}" if off else "")
        )


class Cohort(eqx.Module):
    """Virtual patients: uncertainty between replicates, variability within."""

    draw: Int[Array, " replicate"]
    """Posterior draw of each replicate, counted over chains and draws; -1 the posterior mean."""
    parameters: Mapping[str, Float[Array, "replicate subject *occasion"]]
    """Each patient's parameters, in the model's units; on each occasion if there are several."""
    covariates: Mapping[str, Float[Array, "replicate subject"]]
    """Each patient's covariates, in the dataset's units; those the data do not have, in their source's."""


def needed(population: Population) -> dict[str, str]:
    """Return which parameter needs each covariate; one that may be missing is drawn from its distribution."""
    named = zip(population.names, population.parameters, strict=True)
    found = {effect.covariate: name for name, parameter in named for effect in parameter.covariates.values()}
    return {covariate: name for covariate, name in found.items() if covariate not in population.missing}


type Recruiter = Callable[[int, int], Cohort]
"""Returns the patients of some replicates, from one number to before another."""


def recruiter(
    key: Key[Array, ""],
    recruitment: Recruitment,
    posterior: Mapping[str, np.ndarray],
    statistical: StatisticalModel,
    data: Dataset,
    occasions: int = 1,
) -> Recruiter:
    """Return what draws the virtual patients, block by block.

    Levels: posterior draw of the replicate > its study effects > covariates and etas of the subject > kappas of each
    occasion, which the periods of a trial are. The keys depend on the numbers of replicate and subject alone, so that
    blocks do not matter and a larger cohort contains a smaller one. Blocks of one size share one compilation.

    Args:
        key: random key.
        recruitment: how many, and their covariates.
        posterior: draws of the posterior, leading axis the draw.
        statistical: the fitted model.
        data: the observed data.
        occasions: of each patient.

    Raises:
        UserError: there are fewer posterior draws than replicates, or a covariate cannot be drawn.
    """
    check_source(recruitment.covariates, data, needed(statistical.population))
    count = len(next(iter(posterior.values())))
    recruitment.refuse_beyond(count)
    levels, population = recruitment.levels, statistical.population
    known = levels.posterior(posterior, statistical)
    picked = levels.chosen(keys.named(key, "draw"), count, recruitment.replicates)
    each = keys.named(key, "replicate")

    def patient(key: Key[Array, ""], draw: Mapping[str, Array], factor: Float[Array, "effect effect"], study):
        drawn = draw_kept(recruitment.covariates, keys.named(key, "covariates"), data)
        unknown = dict.fromkeys(population.missing, jnp.asarray(jnp.nan))
        covariates = population.complete(keys.named(key, "missing"), unknown | drawn)
        return population.new_subject(keys.named(key, "eta"), draw, factor, covariates, study, occasions), covariates

    def replicate(number: Int[Array, ""], draw: Mapping[str, Array]):
        """Each virtual trial is a study of its own."""
        key = jax.random.fold_in(each, number)
        factor, study = population.factor(draw), population.new_study(keys.named(key, "study"), draw)
        people = keys.numbered(key, recruitment.subjects)
        return jax.vmap(patient, in_axes=(0, None, None, None))(people, draw, factor, study)

    block, sizes = jax.jit(jax.vmap(replicate)), [0]

    def recruits(start: int, stop: int) -> Cohort:
        # A block smaller than those before it is filled up with its last replicate: it shares their compilation.
        sizes[0] = max(sizes[0], stop - start)
        rows = np.minimum(np.arange(start, start + sizes[0]), stop - 1)
        found = block(rows, {n: v[picked[rows]] for n, v in known.items()})
        parameters, covariates = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[: stop - start]), found)
        return Cohort(jnp.asarray(picked[start:stop]), parameters, covariates)

    return recruits


def recruit(
    key: Key[Array, ""],
    recruitment: Recruitment,
    posterior: Mapping[str, np.ndarray],
    statistical: StatisticalModel,
    data: Dataset,
    occasions: int = 1,
) -> Cohort:
    """Draw all virtual patients at once; arguments and errors are those of `recruiter`."""
    return recruiter(key, recruitment, posterior, statistical, data, occasions)(0, recruitment.replicates)
