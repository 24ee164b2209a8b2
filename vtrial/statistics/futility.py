"""Lower bounds of group-sequential tests, and the plan of efficacy and futility bounds together."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from vtrial._types import numbers
from vtrial.errors import UserError
from vtrial.statistics.boundaries import AbstractBoundary, Bounds
from vtrial.statistics.recursion import Looks, advance, bound_below, crossing, start
from vtrial.statistics.root import root
from vtrial.statistics.spending import AbstractSpending

_ROUNDS = 200
"""Rounds between binding futility and efficacy bounds; ten are usual."""


class AbstractFutility(eqx.Module):
    """When a trial stops because its statistic is too low."""

    binding: eqx.AbstractVar[bool]
    """Whether the efficacy bounds count on stopping, and lose their level if it is overruled."""

    @abstractmethod
    def bounds(self, shares: Looks, efficacy: Bounds) -> Bounds:
        """Return the statistic below which each look stops; the last one is the last efficacy bound."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in the field's words."""


class FixedFutility(AbstractFutility):
    """Given bounds of the statistic, one for each interim look."""

    values: tuple[float, ...] = eqx.field(static=True, converter=numbers)
    binding: bool = eqx.field(static=True, default=False)

    def bounds(self, shares: Looks, efficacy: Bounds) -> Bounds:
        """Return them; raises `UserError` if there are too few or too many, or above the efficacy bound."""
        if len(self.values) != len(shares) - 1:
            raise UserError(
                f"futility.values has {len(self.values)} entries; {len(shares)} looks need {len(shares) - 1}, one for "
                "each interim look."
            )
        if np.any(np.asarray(self.values) >= efficacy[:-1]):
            raise UserError(f"futility.values {self.values} must be below the efficacy bounds {_words(efficacy[:-1])}.")
        return np.array([*self.values, efficacy[-1]], float)

    def describe(self) -> str:
        """Say it."""
        return f"{_kind(self.binding)} futility at given z"


class BetaSpending(AbstractFutility):
    """Bounds that spend the type II error, under the effect that the design has power 1 - beta for.

    Source: Pampallona, Tsiatis and Kim 2001, doi:10.1177/009286150103500408.
    """

    spending: AbstractSpending
    beta: float = eqx.field(static=True, default=0.1)
    binding: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        """Refuse an error that is no probability."""
        if not 0 < self.beta < 1:
            raise UserError(f"futility.beta is a probability between 0 and 1, not {self.beta}.")

    def bounds(self, shares: Looks, efficacy: Bounds) -> Bounds:
        """Find them, with the effect."""
        return beta_bounds(shares, efficacy, self.spending, self.beta)[0]

    def describe(self) -> str:
        """Say it."""
        return f"{_kind(self.binding)} futility by {self.spending.describe()} of beta {self.beta:g}"


class Plan(NamedTuple):
    """A group-sequential test as planned."""

    shares: Float[np.ndarray, " look"]
    """Information shares of the looks."""
    efficacy: Bounds
    """The statistic that rejects at each look."""
    futility: Bounds
    """The statistic below which a look stops; -infinity where none does, the efficacy bound at the last."""


def plan(shares: Looks, boundary: AbstractBoundary, alpha: float, futility: AbstractFutility | None = None) -> Plan:
    """Return the bounds of a test of one-sided level `alpha`.

    Binding futility bounds let the efficacy bounds be lower, on which the futility bounds depend in turn: both are
    found in rounds, until neither moves.
    """
    efficacy = boundary.bounds(shares, alpha)
    if futility is None:
        lower = np.array([*[-np.inf] * (len(shares) - 1), efficacy[-1]])
        return Plan(np.asarray(shares, float), efficacy, lower)
    lower = futility.bounds(shares, efficacy)
    for _ in range(_ROUNDS if futility.binding else 0):
        before, efficacy = efficacy, boundary.bounds(shares, alpha, [*lower[:-1], -np.inf])
        lower = futility.bounds(shares, efficacy)
        if np.max(np.abs(efficacy - before)) < 1e-11:
            break
    return Plan(np.asarray(shares, float), efficacy, lower)


def beta_bounds(shares: Looks, efficacy: Bounds, spending: AbstractSpending, beta: float) -> tuple[Bounds, float]:
    """Return futility bounds that spend `beta`, and the drift for which the power is 1 - beta."""
    spent = np.asarray(spending.spent(jnp.asarray(shares, float), beta), float)

    def at(drift: float) -> tuple[Bounds, float]:
        front, lower = start(), []
        for share, more, upper in zip(shares[:-1], np.diff(spent, prepend=0.0)[:-1], efficacy[:-1], strict=True):
            lower.append(min(bound_below(front, share, more, drift), upper))
            front = advance(front, share, lower[-1], upper, drift)
        lower = np.array([*lower, efficacy[-1]])
        return lower, crossing(shares, lower, efficacy, drift).upper.sum() - (1 - beta)

    # With a greater drift than this even the last look alone has the power.
    most = 2.0 * float(np.max(efficacy) if np.isfinite(efficacy).all() else efficacy[-1]) + 10.0
    drift = root(lambda d: at(d)[1], 0.0, most)
    return at(drift)[0], drift


class Performance(NamedTuple):
    """What a test does under one drift."""

    power: float
    """Probability of rejecting."""
    rejecting: Float[np.ndarray, " look"]
    """Probability of rejecting at each look."""
    stopping: Float[np.ndarray, " look"]
    """Probability of stopping without rejecting at each look but the last."""
    share: float
    """Expected information share at the end of the trial."""


def performance(plan: Plan, drift: float) -> Performance:
    """Return power and expected information for the expected statistic at full information, `drift`."""
    up, down = crossing(plan.shares, plan.futility, plan.efficacy, drift)
    ended = (up + down)[:-1]
    share = float(ended @ plan.shares[:-1] + (1 - ended.sum()) * plan.shares[-1])
    return Performance(float(up.sum()), up, down[:-1], share)


def planned_drift(plan: Plan, power: float) -> float:
    """Return the drift for which a test has a power.

    Raises:
        UserError: the power is not between the level and 1.
    """
    if not performance(plan, 0.0).power < power < 1:
        raise UserError(f"Power is between the level and 1, not {power:g}.")
    return root(lambda d: performance(plan, d).power - power, 0.0, 40.0)


def inflation(plan: Plan, alpha: float, power: float) -> float:
    """Return the ratio of the greatest information to that of a test without looks, of the same level and power."""
    return (planned_drift(plan, power) / float(ndtri(1 - alpha) + ndtri(power))) ** 2


def _kind(binding: bool) -> str:
    return "binding" if binding else "non-binding"


def _words(values: Bounds) -> str:
    return ", ".join(f"{v:.3f}" for v in values)
