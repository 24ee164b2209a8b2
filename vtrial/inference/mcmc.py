"""What every Markov chain method does around its kernel: start, walk, name the draws."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import xarray as xr
from jaxtyping import Array, Key

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.inference import groups
from vtrial.inference.base import AbstractInference
from vtrial.inference.centring import centred, check_centring
from vtrial.inference.checkpoint import Checkpoint, identity
from vtrial.inference.density import Point, UnconstrainedDensity
from vtrial.inference.failures import failures
from vtrial.inference.jump import Jumps, check_jumps, jumping, wanted
from vtrial.inference.marginal import Fit
from vtrial.inference.start import CHAINS, check_start, fitted_starts, starts
from vtrial.inference.walk import Clock, Kernel, Plan, walk
from vtrial.inference.whitening import Density, Whitened, whitened
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)


class AbstractMarkovChain(AbstractInference):
    """Chains that walk through the joint density; a method of this kind gives the kernel and its settings."""

    chains: eqx.AbstractVar[int]
    """How many chains."""
    warmup: eqx.AbstractVar[int]
    """Warm-up iterations of each chain; dropped."""
    draws: eqx.AbstractVar[int]
    """Draws kept of each chain."""
    target_accept: eqx.AbstractVar[float]
    """Acceptance probability the step size is tuned to."""
    start: eqx.AbstractVar[str]
    """`fit`: drawn from the Laplace fit that decides on centring; `medians`: near the prior medians; `pathfinder` or
    `laplace`: drawn from an approximation of the joint density found from there."""
    jitter: eqx.AbstractVar[float]
    """SD of the starting points around the prior medians, on the unconstrained scale."""
    centring: eqx.AbstractVar[str]
    """Random effects to sample centred: `auto` (those that the data say much of, by a Laplace fit), `none`, `all`."""
    whitening: eqx.AbstractVar[bool]
    """Walk in coordinates that the Laplace fit makes nearly standard normal."""
    jumps: eqx.AbstractVar[str]
    """Whether iterations end in jumps of subjects' random effects: `auto` (classes are not known), `all`, `none`."""

    @abstractmethod
    def kernel(self, density: Density) -> Kernel:
        """Return the sampler of a density."""

    @abstractmethod
    def settings(self) -> dict[str, float]:
        """Return what a reader of the sampler's statistics has to know of it: attributes of `sample_stats`."""

    def __check_init__(self):
        """Refuse settings that no method has."""
        if not 0 < self.target_accept < 1:
            raise UserError(f"inference.target_accept is a probability between 0 and 1, not {self.target_accept}.")
        check_start(self.start, CHAINS)
        check_centring(self.centring)
        check_jumps(self.jumps)

    def __call__(
        self,
        key: Key[Array, ""],
        statistical: StatisticalModel,
        data: Dataset,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Mapping[str, xr.Dataset]:
        """Sample all chains, chunk by chunk."""
        if checkpoint:
            checkpoint.claim(identity(self, key, statistical, data))
        return sample(key, self, statistical, data, checkpoint=checkpoint)

    def count(self) -> int | None:
        """Return chains times draws."""
        return self.chains * self.draws

    def inputs(self) -> dict[str, str]:
        """Return none."""
        return {}


def sampler(
    method: AbstractMarkovChain,
    statistical: StatisticalModel,
    data: Dataset,
    density: UnconstrainedDensity,
    target: Density,
    fit: Fit | None,
) -> Kernel:
    """Return the method's sampler of a joint density in the coordinates of `target`, with jumps where it wants them."""
    kernel = method.kernel(target)
    if fit is None or not wanted(method.jumps, statistical):
        return kernel
    return jumping(kernel, target, Jumps(density, statistical, data, fit))


def sample(
    key: Key[Array, ""],
    method: AbstractMarkovChain,
    statistical: StatisticalModel,
    data: Dataset,
    *,
    checkpoint: Checkpoint | None = None,
    clock: Clock | None = None,
) -> Mapping[str, xr.Dataset]:
    """Return the groups of a fit by the kernel made for the joint density.

    What was centred is in the attribute `centred` of `sample_stats`; the Laplace fit's objective function, if there was
    such a fit, in `objective`.
    """
    clock = clock or Clock()
    statistical, fit = centred(statistical, data, method.centring)
    density = UnconstrainedDensity(statistical.joint(data))
    like = {
        name: jax.ShapeDtypeStruct((method.chains, *shape), jnp.result_type(float))
        for name, (_, shape) in density.sites.items()
    }

    from_fit = method.start == "fit"
    # The fit's width takes derivatives of every subject, which are compiled: only where something asks for it.
    white = whitened(density, statistical, data, fit if method.whitening or from_fit else None)

    def begin(potential: Callable[[Point], Array]) -> Point:
        begins = keys.named(key, "start")
        if from_fit and isinstance(white, Whitened):
            found = fitted_starts(begins, potential, white, chains=method.chains)
            if found is not None:
                return found
        kind = "medians" if from_fit else method.start
        return starts(begins, density, statistical, data, chains=method.chains, kind=kind, jitter=method.jitter)

    target = white if method.whitening else density
    kernel = sampler(method, statistical, data, density, target, fit)
    lost = failures(target, density.constrain, statistical, data)
    points, fields = walk(
        kernel,
        Plan(method.warmup, method.draws, density.population),
        keys.numbered(keys.named(key, "chains"), method.chains),
        begin,
        like,
        checkpoint,
        clock,
        lost,
    )
    log.info(
        "           first step after %.1f s (compiling the sampler %.1f s); warm-up %.1f s and sampling %.1f s of CPU",
        *(clock.ready, clock.compiling, clock.warmup, clock.sampling),
    )
    posterior = groups.posterior(keys.named(key, "classes"), density.named(points), statistical, data)
    stats = groups.sample_stats(fields).merge(lost.columns(data))
    stats.attrs |= {"centred": [name for some in statistical.centring for name in some.effects]} | method.settings()
    if fit is not None:
        stats.attrs["objective"] = fit.objective
    return {schema.POSTERIOR: posterior, schema.SAMPLE_STATS: stats}
