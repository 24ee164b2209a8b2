"""The visual predictive check of times of events: Kaplan-Meier curves of the data and of replicates."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial import keys
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.diagnose.discrete import INTERVAL, Band, survival_check
from vtrial.diagnose.replicate import thinned
from vtrial.inference.event_times import Watch, event_times, watch
from vtrial.likelihood import StatisticalModel
from vtrial.noise import TimeToEvent

_CURVE = 101
"""Times at which curves are compared."""
_BATCH = 20


def survival(
    key: Key[Array, ""],
    draws: Values,
    statistical: StatisticalModel,
    data: Dataset,
    count: int,
    layers: tuple[Int[np.ndarray, " subject"], list[str]],
) -> list[xr.Dataset]:
    """Return the curve of each output that is the exact time of an event, over the interval of replicated ones.

    A replicate takes one posterior draw, and new subjects with the observed doses and covariates. They are watched as
    long as the observed ones: those without an event until their last row, those with one, of whom that is not known,
    until the last row of any subject.

    Args:
        key: random key.
        draws: posterior draws, leading axis the draw.
        statistical: the fitted model.
        data: the observed data.
        count: how many replicates, at most.
        layers: each subject's stratum, and the words of each: a curve for each that has subjects.
    """
    found = []
    for output, noise in statistical.noise.items():
        if isinstance(noise, TimeToEvent) and not np.any(data.observations[output].censored):
            watched = watch(data, output)
            again = _replicated(keys.named(key, output), draws, statistical, data, output, watched, count)
            grid = np.linspace(0.0, float(np.nanmax(data.observations[output].time)), _CURVE)
            bands = {}
            for number, words in enumerate(layers[1]):
                mine = np.isfinite(watched.until) & (layers[0] == number)
                if mine.any():
                    bands[words] = _band(_ends(data, output, mine), again, watched.until, mine, grid)
            found.append(_named(output, grid, bands, data.time_unit))
    return found


def _band(
    ends: tuple[np.ndarray, np.ndarray],
    again: Float[np.ndarray, "replicate subject"],
    until: Float[np.ndarray, " subject"],
    mine: Bool[np.ndarray, " subject"],
    grid: Float[np.ndarray, " time"],
) -> Band:
    """Return the curve of some subjects and its interval; replicates with one who could not be solved are left out."""
    times = again[:, mine]
    times, until = times[np.isfinite(times).all(axis=1)], until[mine]
    return survival_check(*ends, np.minimum(times, until), times <= until, grid)


def _named(output: str, grid: np.ndarray, bands: Mapping[str, Band], unit: str) -> xr.Dataset:
    at, layer = f"survival_time_{output}", f"survival_stratum_{output}"
    curve = "Kaplan-Meier estimate of being free of the event"
    words = {"units": "", "long_name": f"{curve}, {output}"}
    again = words | {"long_name": f"{curve}, replicates: 2.5, 50 and 97.5 % over replicates, {output}"}
    observed = np.stack([band.observed for band in bands.values()])
    simulated = np.stack([band.simulated for band in bands.values()], axis=1)
    return xr.Dataset(
        {
            f"{output}_survival_observed": ((layer, at), observed, words),
            f"{output}_survival_simulated": (("interval", layer, at), simulated, again),
        },
        {at: (at, grid, {"units": unit, "long_name": "Time"}), layer: list(bands), "interval": list(INTERVAL)},
    )


def _ends(
    data: Dataset, output: str, mine: Bool[np.ndarray, " subject"]
) -> tuple[Float[np.ndarray, " some"], Bool[np.ndarray, " some"]]:
    """Return the time of the last row of some subjects, and whether that is an event."""
    seen = data.observations[output]
    time, event = np.full((2, len(data.subjects)), np.nan)
    time[seen.subject], event[seen.subject] = seen.time, seen.value  # a subject's rows stand in order of time
    return time[mine], event[mine] == 1


def _replicated(
    key: Key[Array, ""],
    draws: Values,
    statistical: StatisticalModel,
    data: Dataset,
    output: str,
    watched: Watch,
    count: int,
) -> Float[np.ndarray, "replicate subject"]:
    """Return when the event comes to each new subject; later than it is watched if that is not seen."""
    chosen = thinned(draws, count)

    @jax.jit
    def one(arguments: tuple[Array, Mapping[str, Array]]) -> Array:
        number, draw = arguments
        mine = jax.random.fold_in(key, number)
        people = statistical.new_subjects(keys.named(mine, "people"), draw, data)
        return event_times(mine, statistical, people, output, data, watched)

    number = jnp.arange(len(next(iter(chosen.values()))))
    return np.asarray(jax.lax.map(one, (number, chosen), batch_size=min(_BATCH, len(number))))
