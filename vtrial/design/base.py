"""The design interface: a pure state machine over looks, run by `vtrial.trial` for thousands of trials at once."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial.dosing import AbstractRegimen


class Arm(eqx.Module):
    """One arm: what its patients are given."""

    regimen: AbstractRegimen
    label: str = eqx.field(static=True, default="")
    """How people call it; the regimen in words if left out."""

    def describe(self) -> str:
        """Say the arm in words."""
        return self.label or self.regimen.describe()


class Seen(eqx.Module):
    """What a trial has revealed so far: of each patient only the entry of the arm they were given."""

    arm: Int[Array, " patient"]
    """Arm of each patient enrolled so far; -1 for those still to come."""
    outcome: Float[Array, " patient"]
    """Their primary endpoint; NaN where it is not known or failed."""

    def members(self, arms: int) -> Bool[Array, "patient arm"]:
        """Return which patients count for which arm: those given it, with a known outcome."""
        return (self.arm[:, None] == jnp.arange(arms)[None]) & jnp.isfinite(self.outcome)[:, None]


class DesignState(eqx.Module):
    """What a design needs to go on."""

    selected: Int[Array, ""]
    """Arm selected so far; -1 for none."""
    stopped: Bool[Array, ""]
    """Whether enrolment has ended."""


class AbstractDesign(eqx.Module):
    """Reveals entries of the table of potential outcomes, look by look.

    `init`, then at each look `allocate` the next patients and `decide` from all outcomes seen so far. All three are
    pure, traceable and written for one trial; the trial engine scans them over looks and maps them over replicates.
    """

    names: eqx.AbstractVar[tuple[str, ...]]
    """Names of the arms, in order."""
    arms: eqx.AbstractVar[tuple[Arm, ...]]
    """The arms, in the same order."""
    looks: eqx.AbstractVar[int]
    """Number of looks."""

    @abstractmethod
    def enrolled(self) -> int:
        """Return how many patients each look enrols."""

    @abstractmethod
    def init(self) -> DesignState:
        """Return the state before the first patient."""

    @abstractmethod
    def allocate(self, key: Key[Array, ""], state: DesignState, n: int) -> Int[Array, " {n}"]:
        """Return the arm of each of the next `n` patients; -1 enrols nobody."""

    @abstractmethod
    def decide(self, key: Key[Array, ""], state: DesignState, seen: Seen) -> DesignState:
        """Return the state after a look; the key breaks ties, so that no arm gains by its place."""

    @abstractmethod
    def describe(self) -> str:
        """Say the design in words."""
