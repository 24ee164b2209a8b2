"""The objective: which arm is the one to find."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.errors import UserError


class AbstractObjective(eqx.Module):
    """Says how good an arm is by its level of the primary endpoint, in truth or as a trial sees it."""

    sign: eqx.AbstractVar[float]
    """1 where greater outcomes, or later events, are better; -1 where smaller ones are."""
    counted: eqx.AbstractClassVar[str]
    """What the worth of a choice is, in words."""

    @abstractmethod
    def merit(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return the merit of each arm, greater being better; -infinity for an arm that must not be chosen.

        Args:
            level: of each arm, by the analysis.
            effect: against the reference arm.
        """

    @abstractmethod
    def worth(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return what choosing each arm is worth, a finite number: what the value of information is counted in.

        Args:
            level: as of `merit`.
            effect: as of `merit`.
        """

    @abstractmethod
    def unit(self, unit: str) -> str:
        """Return the unit of the worth, given the endpoint's; "" where it is the chance of the right arm."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class Greatest(AbstractObjective):
    """The best arm has the greatest level."""

    sign: ClassVar[float] = 1.0
    counted: ClassVar[str] = "level"

    def merit(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return the level."""
        return _known(level, level)

    def worth(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return the level."""
        return level

    def unit(self, unit: str) -> str:
        """Return the endpoint's."""
        return unit

    def describe(self) -> str:
        """Say it."""
        return "the greatest level of the primary endpoint is best"


class Least(AbstractObjective):
    """The best arm has the least level."""

    sign: ClassVar[float] = -1.0
    counted: ClassVar[str] = "level"

    def merit(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return the level, turned around."""
        return _known(level, -level)

    def worth(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return the level, turned around."""
        return -level

    def unit(self, unit: str) -> str:
        """Return the endpoint's."""
        return unit

    def describe(self) -> str:
        """Say it."""
        return "the least level of the primary endpoint is best"


class Closest(AbstractObjective):
    """The best arm comes closest to a target, as the maximum tolerated dose does to a share of toxicities.

    Args:
        target: level wanted, in the endpoint's unit.
        limit: no arm above this level may be chosen; left out, any may.
    """

    sign: ClassVar[float] = 1.0
    counted: ClassVar[str] = "chance of the right arm"
    target: float = eqx.field(static=True)
    limit: float | None = eqx.field(static=True, default=None)

    def merit(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return the distance from the target, turned around."""
        allowed = jnp.ones_like(level, bool) if self.limit is None else level <= self.limit
        return _known(level, jnp.where(allowed, -jnp.abs(level - self.target), -jnp.inf))

    def worth(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return 1 for the arm that is to be found, which a limit may forbid to come close; else 0."""
        return _right(self.merit(level, effect))

    def unit(self, unit: str) -> str:
        """Return none: the worth is the chance of the right arm."""
        return ""

    def describe(self) -> str:
        """Say it."""
        limit = "" if self.limit is None else f", and not above {self.limit:g}"
        return f"the level closest to {self.target:g} is best{limit}"


class SmallestEffective(AbstractObjective):
    """The best arm is the first one whose effect is large enough: the minimum effective dose, arms being in order.

    Args:
        effect: least effect against the reference that counts, positive, in the direction that is better.
        greater: whether greater outcomes are better.
    """

    counted: ClassVar[str] = "chance of the right arm"
    effect: float = eqx.field(static=True)
    greater: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        """Refuse an effect that is none."""
        if not self.effect > 0:
            raise UserError(f"objective.effect is {self.effect}; an effect that counts is positive.")

    @property
    def sign(self) -> float:
        """1 where greater is better."""
        return 1.0 if self.greater else -1.0

    def merit(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return the arm's place, turned around, where it has the effect."""
        place = jnp.arange(len(level), dtype=float)
        return _known(effect, jnp.where(self.sign * effect >= self.effect, -place, -jnp.inf))

    def worth(self, level: Float[Array, " arm"], effect: Float[Array, " arm"]) -> Float[Array, " arm"]:
        """Return 1 for the first arm that has the effect, else 0."""
        return _right(self.merit(level, effect))

    def unit(self, unit: str) -> str:
        """Return none: the worth is the chance of the right arm."""
        return ""

    def describe(self) -> str:
        """Say it."""
        way = "above" if self.greater else "below"
        return f"the first arm that is at least {self.effect:g} {way} the reference is best"


def _known(value: Float[Array, " arm"], merit: Float[Array, " arm"]) -> Float[Array, " arm"]:
    """Return the merit where it can be known."""
    return jnp.where(jnp.isnan(value), -jnp.inf, merit)


def _right(merit: Float[Array, " arm"]) -> Float[Array, " arm"]:
    """Return 1 for the arm of greatest merit, divided among equals; 0 for all if none can be chosen."""
    top = (merit == jnp.max(merit)) & jnp.isfinite(merit)
    return top / jnp.maximum(top.sum(), 1)
