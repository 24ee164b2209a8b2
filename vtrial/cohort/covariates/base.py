"""Where the covariates of virtual patients come from."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial import units
from vtrial.data import Dataset
from vtrial.errors import UserError, nearest

_PREVIEW = 1000
"""Patients drawn to see what a source gives."""


class AbstractCovariates(eqx.Module):
    """A source of covariates: the distribution of virtual patients' age, weight and the like.

    It may give more than the data have, for doses and criteria to go by. Some sources wrap another and add or select.
    """

    @abstractmethod
    def units(self, data: Dataset) -> dict[str, str]:
        """Return the unit of each covariate it gives, by name."""

    @abstractmethod
    def check(self, data: Dataset) -> None:
        """Check outside `jit` what the constructor could not; raises `UserError`."""

    @abstractmethod
    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Return the covariates of one patient, each in its unit; traceable."""

    @abstractmethod
    def facts(self, key: Key[Array, ""], data: Dataset) -> dict[str, float]:
        """Return numbers for the result to tell of it, such as how many patients fulfil criteria."""

    @abstractmethod
    def inputs(self) -> dict[str, str]:
        """Return the SHA-256 of each file it was read from, by name."""

    @abstractmethod
    def describe(self) -> str:
        """Say in words where they come from."""


def kept_units(source: AbstractCovariates, data: Dataset) -> dict[str, str]:
    """Return the unit in which each covariate of virtual patients is kept: the data's, else the source's."""
    return {name: data.covariate_units.get(name, unit) for name, unit in source.units(data).items()}


def draw_kept(source: AbstractCovariates, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
    """Return the covariates of one patient in the units in which they are kept."""
    given, kept = source.units(data), kept_units(source, data)
    return {
        name: jnp.asarray(value, float) * units.factor(given[name], kept[name], where=f"cohort.covariates, {name}")
        for name, value in source.draw(key, data).items()
    }


def check_source(source: AbstractCovariates, data: Dataset, needed: Mapping[str, str]) -> None:
    """Check that a source gives what is needed, in units that fit the data's.

    Args:
        source: the source.
        data: the observed data.
        needed: who needs each covariate, by its name.

    Raises:
        UserError: a covariate is lacking, or measures something else than that of the data; or the source says so.
    """
    source.check(data)
    given = source.units(data)
    for name, who in needed.items():
        if name not in given:
            raise UserError(f"cohort.covariates gives no {name}, which {who} needs. {nearest(name, given)}")
    for name, unit in given.items():
        units.factor(unit, data.covariate_units.get(name, unit), where=f"cohort.covariates, {name}")


def preview(
    source: AbstractCovariates, data: Dataset, key: Key[Array, ""] | None = None, count: int = _PREVIEW
) -> dict[str, Float[np.ndarray, " patient"]]:
    """Return the covariates of some patients that are in no trial, for checks that cannot wait for the cohort."""
    many = jax.random.split(jax.random.key(0) if key is None else key, count)
    drawn = jax.jit(jax.vmap(lambda k: draw_kept(source, k, data)))(many)
    return {name: np.asarray(value) for name, value in drawn.items()}
