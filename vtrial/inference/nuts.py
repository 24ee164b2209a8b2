"""The no-U-turn sampler, started from a Laplace fit."""

import equinox as eqx
import jax

from vtrial.errors import UserError, nearest
from vtrial.inference import no_u_turn
from vtrial.inference.mcmc import AbstractMarkovChain
from vtrial.inference.walk import Kernel, one_after_the_other
from vtrial.inference.whitening import Density

_METHODS = ("auto", "sequential", "vectorized")


class Nuts(AbstractMarkovChain):
    """The no-U-turn sampler, its mass matrix dense over the population level and diagonal over the subjects.

    Source: Hoffman and Gelman 2014, arXiv:1111.4246.
    """

    chains: int = eqx.field(static=True, default=4)
    """How many chains."""
    warmup: int = eqx.field(static=True, default=500)
    """Warm-up iterations of each chain; dropped."""
    draws: int = eqx.field(static=True, default=1000)
    """Draws kept of each chain."""
    target_accept: float = eqx.field(static=True, default=0.95)
    """Acceptance probability the step size is tuned to; nearer to 1 is slower and avoids divergences."""
    max_tree_depth: int = eqx.field(static=True, default=10)
    """At most 2^depth leapfrog steps an iteration."""
    start: str = eqx.field(static=True, default="fit")
    """`fit`: drawn from the Laplace fit that decides on centring; `medians`: near the prior medians; `pathfinder` or
    `laplace`: drawn from an approximation of the joint density found from there."""
    jitter: float = eqx.field(static=True, default=0.1)
    """SD of the starting points around the prior medians, on the unconstrained scale."""
    centring: str = eqx.field(static=True, default="auto")
    """Random effects to sample centred: `auto` (those that the data say much of, by a Laplace fit), `none`, `all`."""
    whitening: bool = eqx.field(static=True, default=True)
    """Walk in coordinates that the Laplace fit makes nearly standard normal."""
    jumps: str = eqx.field(static=True, default="auto")
    """Whether iterations end in jumps of subjects' random effects, which need the Laplace fit: `auto` (where classes
    are not known, so that effects have several modes), `all`, `none`."""
    dense_mass: bool = eqx.field(static=True, default=True)
    """Mass matrix dense over the population level; false is diagonal throughout."""
    chain_method: str = eqx.field(static=True, default="auto")
    """`sequential`: chains in turn; `vectorized`: side by side; `auto`: in turn on a CPU, side by side on a GPU."""

    def __check_init__(self):
        """Refuse a sampler that cannot judge its own convergence."""
        if self.chains < 2 or self.warmup < 1 or self.draws < 4:
            raise UserError(
                f"NUTS needs chains >= 2 (to compare them), warmup >= 1 and draws >= 4; got {self.chains}, "
                f"{self.warmup}, {self.draws}."
            )
        if self.chain_method not in _METHODS:
            raise UserError(f"inference.chain_method is '{self.chain_method}'. {nearest(self.chain_method, _METHODS)}")

    def kernel(self, density: Density) -> Kernel:
        """Return the sampler of a density."""
        init, step = no_u_turn.kernel(
            density,
            warmup=self.warmup,
            target_accept=self.target_accept,
            max_depth=self.max_tree_depth,
            dense_mass=self.dense_mass,
        )
        side_by_side = self.chain_method == "vectorized" or (
            self.chain_method == "auto" and jax.default_backend() != "cpu"
        )
        if side_by_side:
            return Kernel(jax.vmap(init), step, jax.vmap)
        return Kernel(lambda *each: jax.lax.map(lambda one: init(*one), each), step, one_after_the_other)

    def settings(self) -> dict[str, float]:
        """Return target acceptance and greatest tree depth."""
        return {"max_tree_depth": self.max_tree_depth, "target_accept": self.target_accept}

    def describe(self) -> str:
        """Say how many chains and draws."""
        return (
            f"NUTS, {self.chains} chains x ({self.warmup} warm-up + {self.draws} draws), target acceptance "
            f"{self.target_accept:g}"
        )
