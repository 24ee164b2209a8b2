"""Solves that fail where a sampler goes: counted by phase, subject and result code."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from vtrial import schema
from vtrial.data import Dataset
from vtrial.inference.whitening import Density
from vtrial.likelihood import StatisticalModel
from vtrial.population.mixture import CLASS


class Failures:
    """Counts whose solve fails, and why, at the positions where trajectories lose the density.

    The density itself does not say why it is lost: so these positions, which are few, are solved again, and nothing is
    compiled for that before there is one.
    """

    def __init__(self, codes: Callable[[Array], Int[Array, " subject"]], subjects: int):
        """Begin at 0.

        Args:
            codes: gives each subject's result code at a position.
            subjects: how many they are.
        """
        self._codes = jax.jit(codes)
        self.counts = np.zeros((len(schema.PHASES), subjects, len(schema.RESULT_CODES)), np.int32)
        """Solves [phase subject code]."""

    def add(self, phase: str, lost: Float[np.ndarray, "chain iteration coordinate"]) -> None:
        """Count the failures where the density was lost; not a number where it was not."""
        for x in lost[np.isfinite(lost).all(axis=-1)]:
            code = np.asarray(self._codes(jnp.asarray(x)))
            (failed,) = np.nonzero(code)
            self.counts[schema.PHASES.index(phase), failed, code[failed]] += 1

    def columns(self, data: Dataset) -> xr.Dataset:
        """Return the counts with the names of the subjects."""
        dims, codes = (schema.PHASE, schema.ID, schema.CODE), list(schema.RESULT_CODES)
        attrs = {"long_name": "Solves that failed where trajectories lost the density", "units": ""}
        coords = {schema.PHASE: list(schema.PHASES), schema.ID: list(data.subjects), schema.CODE: codes}
        return xr.Dataset({"failed_solves": (dims, self.counts, attrs)}, coords)


def failures(target: Density, constrain: Callable, statistical: StatisticalModel, data: Dataset) -> Failures:
    """Return the counter of a fit.

    Args:
        target: what the sampler walks through.
        constrain: returns every site in its own scale, of a point of the target.
        statistical: the model.
        data: the observed data.
    """
    mixture = statistical.population.mixture

    def code(draw) -> Int[Array, " subject"]:
        return statistical.predict(statistical.same_subjects(draw, data), data)[1]

    def codes(x: Float[Array, " coordinate"]) -> Int[Array, " subject"]:
        draw = constrain(target.point(x))
        if not mixture:
            return code(draw)
        classes = jnp.broadcast_to(jnp.arange(len(mixture.names))[:, None], (len(mixture.names), len(data.subjects)))
        each = jax.vmap(lambda own: code({**draw, CLASS: own}))(classes)
        # One class in which a subject is solved is enough for its density.
        return jnp.where((each != 0).all(axis=0), each[0], 0)

    return Failures(codes, len(data.subjects))
