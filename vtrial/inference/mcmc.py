"""What every Markov chain method does around its kernel: start, walk, name the draws."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import xarray as xr
from jaxtyping import Array, Key

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.inference import groups
from vtrial.inference.checkpoint import Checkpoint
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.start import starts
from vtrial.inference.walk import Kernel, Plan, walk
from vtrial.likelihood import StatisticalModel


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
    checkpoint: Checkpoint | None,
) -> Mapping[str, xr.Dataset]:
    """Return the groups of a fit by the kernel made for the joint density."""
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
    )
    posterior = groups.posterior(density.named(points), statistical, data)
    return {schema.POSTERIOR: posterior, schema.SAMPLE_STATS: groups.sample_stats(fields)}
