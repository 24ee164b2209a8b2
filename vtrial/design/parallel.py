"""The parallel-group design."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, chosen, fresh
from vtrial.design.randomisation import AbstractRandomisation, Shuffled
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError


class Parallel(AbstractDesign):
    """Every arm gets its patients in random order; one look at the end selects the best arm seen, and tests each."""

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
        """Keep the arms in the order they are written.

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
        """Select the best arm seen, by lot among equals; an unknown one cannot win. Reject by the two-sided p."""
        return DesignState(
            selected=chosen(key, look.merit),
            stopped=jnp.asarray(True),
            rejected=look.comparison.p < look.alpha,
            reason=jnp.asarray(0),
        )

    def describe(self) -> str:
        """Say arms and sizes."""
        sizes = {round(self.per_arm * w) for w in self.weights}
        one = len(sizes) == 1
        said = f"{len(self.arms)} arms of {sizes.pop()}" if one else each_size(self.names, self.weights, self.per_arm)
        return f"parallel groups, {said} patients; {self.randomisation.describe()}"


def fixed_groups(
    arms: Mapping[str, Arm], per_arm: int, weights: Mapping[str, float] | None
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the relative size of each arm, and the patients before the one look.

    Raises:
        UserError: there is no arm, nobody in it, or a weight of an arm that is not there.
    """
    check_arms(arms)
    if per_arm < 2:
        raise UserError(f"design.per_arm must be at least 2, not {per_arm}.")
    share = relative(arms, weights)
    return share, (round(per_arm * sum(share)),)


def each_size(names: tuple[str, ...], weights: tuple[float, ...], per_arm: int) -> str:
    """Say the size of each arm."""
    return "arms of " + ", ".join(f"{round(per_arm * w)} ({n})" for n, w in zip(names, weights, strict=True))


def check_arms(arms: Mapping[str, Arm]) -> None:
    """Refuse a design without arms.

    Raises:
        UserError: there is none.
    """
    if not arms:
        raise UserError(
            "design.arms is empty; a trial needs at least one arm, for example design.arms.low with a regimen."
        )


def relative(arms: Mapping[str, Arm], weights: Mapping[str, float] | None) -> tuple[float, ...]:
    """Return the relative size of each arm; 1 where nothing is said.

    Raises:
        UserError: a weight is not positive, or of no arm.
    """
    given = dict(weights or {})
    for name, weight in given.items():
        if name not in arms:
            raise UserError(f"design.weights has '{name}', which is no arm; the arms are {', '.join(arms)}.")
        if not weight > 0:
            raise UserError(f"design.weights.{name} is {weight}; a weight is positive.")
    return tuple(float(given.get(name, 1.0)) for name in arms)
