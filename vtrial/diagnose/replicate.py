"""Replicated datasets: what the fitted model says would be seen if the study were done again."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.likelihood import StatisticalModel

_BATCH = 50
"""Datasets simulated at once; bounds the memory."""


def thinned(draws: Values, most: int) -> dict[str, Array]:
    """Return at most `most` draws, evenly spaced over the leading axis."""
    count = len(next(iter(draws.values())))
    picked = np.linspace(0, count - 1, min(most, count)).astype(int)
    return {name: jnp.asarray(value[picked]) for name, value in draws.items()}


def replicated(
    key: Key[Array, ""], draws: Values, statistical: StatisticalModel, data: Dataset, count: int
) -> dict[str, np.ndarray]:
    """Return replicated measurements [replicate obs] of each output in new subjects.

    Each replicate takes one posterior draw, new etas for subjects with the observed doses, covariates and sampling
    times, and residual error. Where there are fewer draws than replicates, draws are used again in turn, with other
    etas.
    """
    chosen = thinned(draws, count)
    available = len(next(iter(chosen.values())))
    turn = np.arange(count) % available
    chosen = {name: value[turn] for name, value in chosen.items()}

    @jax.jit
    def one(arguments: tuple[Array, Mapping[str, Array]]) -> dict[str, Array]:
        number, draw = arguments
        mine = jax.random.fold_in(key, number)
        patients = statistical.new_subjects(jax.random.fold_in(mine, 0), draw, data)
        return statistical.replicate(jax.random.fold_in(mine, 1), patients, draw, data)

    simulated = jax.lax.map(one, (jnp.arange(count), chosen), batch_size=min(_BATCH, count))
    return {output: np.asarray(value) for output, value in simulated.items()}


def population_predictions(
    draws: Values, statistical: StatisticalModel, data: Dataset, *, most: int = 500
) -> dict[str, np.ndarray]:
    """Return PRED [obs] of each output: the median over at most `most` draws of the prediction with all etas 0."""

    @jax.jit
    def one(draw: Mapping[str, Array]) -> dict[str, Array]:
        found, _ = statistical.predict(statistical.typical_subjects(draw, data), data)
        return {output: found[output] for output in data.observations}

    chosen = thinned(draws, most)
    count = len(next(iter(chosen.values())))
    found = jax.lax.map(one, chosen, batch_size=min(_BATCH, count))
    return {output: np.median(np.asarray(value), axis=0) for output, value in found.items()}
