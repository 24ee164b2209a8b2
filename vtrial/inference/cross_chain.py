"""Hamiltonian Monte Carlo across chains: many short chains in lock step, on a CPU or a GPU."""

import equinox as eqx

from vtrial.errors import UserError
from vtrial.inference import chees
from vtrial.inference.mcmc import AbstractMarkovChain
from vtrial.inference.walk import Kernel
from vtrial.inference.whitening import Density


class CrossChain(AbstractMarkovChain):
    """ChEES-HMC: chains tune one step size, one mass matrix and one jittered trajectory length together.

    Every chain takes the same number of leapfrog steps, so none waits for another, and warm-up learns from all at once.
    More chains shorten it; a GPU carries hundreds.
    """

    chains: int = eqx.field(static=True, default=16)
    """How many chains."""
    warmup: int = eqx.field(static=True, default=400)
    """Warm-up iterations of each chain; dropped."""
    draws: int = eqx.field(static=True, default=400)
    """Draws kept of each chain."""
    target_accept: float = eqx.field(static=True, default=0.9)
    """Harmonic mean of the acceptance probabilities of all chains that the step size is tuned to."""
    max_steps: int = eqx.field(static=True, default=1000)
    """At most so many leapfrog steps an iteration."""
    start: str = eqx.field(static=True, default="fit")
    """`fit`: drawn from the Laplace fit that decides on centring; `medians`: near the prior medians; `pathfinder` or
    `laplace`: drawn from an approximation of the joint density found from there."""
    jitter: float = eqx.field(static=True, default=0.1)
    """SD of the starting points around the prior medians, on the unconstrained scale."""
    centring: str = eqx.field(static=True, default="auto")
    """Random effects to sample centred: `auto` (those that the data say much of, by a Laplace fit), `none`, `all`."""
    whitening: bool = eqx.field(static=True, default=False)
    """Walk in coordinates that the Laplace fit makes nearly standard normal: for posteriors with strong correlations;
    elsewhere trajectories of one length for all chains are better off without."""
    jumps: str = eqx.field(static=True, default="auto")
    """Whether iterations end in jumps of subjects' random effects, which need the Laplace fit: `auto` (where classes
    are not known, so that effects have several modes), `all`, `none`."""
    dense_mass: bool = eqx.field(static=True, default=True)
    """Mass matrix dense over the population level; false is diagonal throughout."""

    def __check_init__(self):
        """Refuse chains that cannot tune one another."""
        if self.chains < 4 or self.warmup < 20 or self.draws < 4 or self.max_steps < 1:
            raise UserError(
                f"Cross-chain sampling needs chains >= 4 (they tune one another), warmup >= 20, draws >= 4 and "
                f"max_steps >= 1; got {self.chains}, {self.warmup}, {self.draws}, {self.max_steps}."
            )

    def kernel(self, density: Density) -> Kernel:
        """Return the sampler of a density."""
        return chees.kernel(
            density,
            warmup=self.warmup,
            target_accept=self.target_accept,
            max_steps=self.max_steps,
            dense_mass=self.dense_mass,
        )

    def settings(self) -> dict[str, float]:
        """Return the target acceptance."""
        return {"target_accept": self.target_accept}

    def describe(self) -> str:
        """Say how many chains and draws."""
        return (
            f"Cross-chain HMC (ChEES), {self.chains} chains x ({self.warmup} warm-up + {self.draws} draws), target "
            f"acceptance {self.target_accept:g}"
        )
