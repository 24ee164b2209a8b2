"""The dose-ranging design."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, chosen, fresh
from vtrial.design.parallel import each_size, fixed_groups
from vtrial.design.randomisation import AbstractRandomisation, Shuffled
from vtrial.design.timing import AbstractTiming, AfterEach


class DoseRanging(AbstractDesign):
    """Parallel groups of doses, of which one is selected only if the analysis finds that dose matters.

    The best of them by the study's objective is selected: with the analysis `mcp_mod` and the objective
    `smallest_effective`, the first dose whose modelled effect is large enough.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    periods: int = eqx.field(static=True)
    spacing: str = eqx.field(static=True)
    timing: AbstractTiming
    per_arm: int = eqx.field(static=True)
    """Patients in each arm of weight 1."""
    weights: tuple[float, ...] = eqx.field(static=True)
    """Relative size of each arm."""
    randomisation: AbstractRandomisation

    def __init__(
        self,
        arms: Mapping[str, Arm],
        per_arm: int,
        weights: Mapping[str, float] | None = None,
        randomisation: AbstractRandomisation | None = None,
    ):
        """Keep the arms, which are doses in ascending order.

        Raises:
            UserError: there is no arm, nobody in it, or a weight of an arm that is not there.
        """
        self.weights, self.sizes = fixed_groups(arms, per_arm, weights)
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.per_arm, self.periods, self.spacing, self.timing = per_arm, 1, "", AfterEach()
        self.randomisation = Shuffled() if randomisation is None else randomisation

    def init(self) -> DesignState:
        """Start with nothing selected."""
        return fresh(len(self.arms))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Randomise in the ratio of the weights."""
        return self.randomisation.assign(key, jnp.asarray(self.weights), seen, n)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Test, then select."""
        rejected = look.comparison.p < look.alpha
        signal = rejected.any()
        return DesignState(
            selected=jnp.where(signal, chosen(key, look.merit), -1),
            stopped=jnp.asarray(True),
            rejected=rejected,
            reason=jnp.where(signal, 0, 2),
        )

    def describe(self) -> str:
        """Say arms and sizes."""
        sizes = each_size(self.names, self.weights, self.per_arm)
        return f"dose-ranging, {sizes} patients; {self.randomisation.describe()}"
