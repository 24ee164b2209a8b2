"""What every Markov chain method does around its kernel: start, walk, name the draws."""

import logging
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import xarray as xr
from jaxtyping import Array, Key

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.inference import groups
from vtrial.inference.centring import centred
from vtrial.inference.checkpoint import Checkpoint
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.start import starts
from vtrial.inference.walk import Clock, Kernel, Plan, walk
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)


def sample(
    key: Key[Array, ""],
    statistical: StatisticalModel,
    data: Dataset,
    *,
    chains: int,
    warmup: int,
    draws: int,
    start: str,
    jitter: float,
    kernel: Callable[[UnconstrainedDensity], Kernel],
    centring: str,
    checkpoint: Checkpoint | None,
    clock: Clock | None = None,
) -> Mapping[str, xr.Dataset]:
    """Return the groups of a fit by the kernel made for the joint density.

    What was centred is in the attribute `centred` of `sample_stats`.
    """
    clock = clock or Clock()
    statistical = centred(statistical, data, centring)
    density = UnconstrainedDensity(statistical.joint(data))
    like = {
        name: jax.ShapeDtypeStruct((chains, *shape), jnp.result_type(float))
        for name, (_, shape) in density.sites.items()
    }
    points, fields = walk(
        kernel(density),
        Plan(warmup, draws, density.population),
        keys.numbered(keys.named(key, "chains"), chains),
        lambda: starts(keys.named(key, "start"), density, statistical, data, chains=chains, kind=start, jitter=jitter),
        like,
        checkpoint,
        clock,
    )
    log.info(
        "           compiling %.1f s, warm-up %.1f s and sampling %.1f s of CPU",
        *(clock.compiling, clock.warmup, clock.sampling),
    )
    posterior = groups.posterior(density.named(points), statistical, data)
    stats = groups.sample_stats(fields)
    stats.attrs["centred"] = list(statistical.centred)
    return {schema.POSTERIOR: posterior, schema.SAMPLE_STATS: stats}
