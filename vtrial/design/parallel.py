"""The parallel-group design."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Seen
from vtrial.errors import UserError


class Parallel(AbstractDesign):
    """Every arm gets the same number of patients, in random order; one look at the end selects the best arm seen."""

    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    looks: int = eqx.field(static=True)
    per_arm: int = eqx.field(static=True)
    """Patients in each arm."""

    def __init__(self, arms: Mapping[str, Arm], per_arm: int):
        """Keep the arms in the order they are written.

        Raises:
            UserError: there is no arm, or nobody in it.
        """
        if not arms:
            raise UserError(
                "design.arms is empty; a trial needs at least one arm, for example design.arms.low with a regimen."
            )
        if per_arm < 2:
            raise UserError(f"design.per_arm must be at least 2, not {per_arm}.")
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.looks, self.per_arm = 1, per_arm

    def enrolled(self) -> int:
        """Return all patients: there is one look."""
        return self.per_arm * len(self.arms)

    def init(self) -> DesignState:
        """Start with nothing selected."""
        return DesignState(selected=jnp.asarray(-1), stopped=jnp.asarray(False))

    def allocate(self, key: Key[Array, ""], state: DesignState, n: int) -> Int[Array, " {n}"]:
        """Shuffle equal numbers of every arm."""
        return jax.random.permutation(key, jnp.arange(n) % len(self.arms))

    def decide(self, key: Key[Array, ""], state: DesignState, seen: Seen) -> DesignState:
        """Select the arm with the greatest mean outcome, by lot among equals; an unknown one cannot win."""
        member = seen.members(len(self.arms))
        count = member.sum(0)
        total = jnp.where(member, seen.outcome[:, None], 0.0).sum(0)
        mean = jnp.where(count > 0, total / jnp.maximum(count, 1), -jnp.inf)
        best = jax.random.categorical(key, jnp.where(mean == jnp.max(mean), 0.0, -jnp.inf))
        return DesignState(selected=jnp.where(count.sum() > 0, best, -1), stopped=jnp.asarray(True))

    def describe(self) -> str:
        """Say arms and sizes."""
        return f"parallel groups, {len(self.arms)} arms of {self.per_arm} patients"
