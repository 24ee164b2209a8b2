"""Boundaries of group-sequential tests: families of one constant, and error spending.

All of a test in one direction, a greater statistic being better; level `alpha` is one-sided. A two-sided test of level
2 alpha has symmetric boundaries.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vtrial.errors import UserError
from vtrial.statistics.recursion import Looks, advance, bound_above, crossing, start
from vtrial.statistics.root import root
from vtrial.statistics.spending import AbstractSpending

type Bounds = Float[np.ndarray, " look"]

_LARGEST = 12.0
"""No constant is greater: its level is 1e-33."""


class AbstractBoundary(eqx.Module):
    """How the critical values of a group-sequential test follow from its level."""

    @abstractmethod
    def bounds(self, shares: Looks, alpha: float, lower: Looks | None = None, symmetric: bool = False) -> Bounds:
        """Return the critical value of the statistic at each look.

        Args:
            shares: information shares of the looks, ascending, the last one 1.
            alpha: probability of crossing from below under the null hypothesis.
            lower: binding lower bounds; none if left out.
            symmetric: whether crossing the mirrored lower boundary ends the trial too, as in a two-sided test.
        """

    @abstractmethod
    def describe(self) -> str:
        """Say it in the field's words."""


class WangTsiatis(AbstractBoundary):
    """Critical values c t**(delta - 1/2): delta 0 is O'Brien and Fleming's boundary, 1/2 is Pocock's.

    Source: Wang and Tsiatis 1987, doi:10.2307/2531959; O'Brien and Fleming 1979, doi:10.2307/2530245; Pocock 1977,
    doi:10.1093/biomet/64.2.191.
    """

    delta: float = eqx.field(static=True, default=0.25)

    def __check_init__(self):
        """Refuse shapes outside the family."""
        if not -2 <= self.delta <= 1:
            raise UserError(f"boundary.delta is between 0 (O'Brien-Fleming) and 0.5 (Pocock), not {self.delta}.")

    def bounds(self, shares: Looks, alpha: float, lower: Looks | None = None, symmetric: bool = False) -> Bounds:
        """Find the constant."""
        check_plan(shares, alpha)
        shape = np.asarray(shares, float) ** (self.delta - 0.5)

        def excess(constant: float) -> float:
            upper = constant * shape
            return crossing(shares, _below(upper, lower, symmetric), upper).upper.sum() - alpha

        return _root(excess) * shape

    def describe(self) -> str:
        """Say it."""
        names = {0.0: "O'Brien-Fleming boundary", 0.5: "Pocock boundary"}
        return names.get(self.delta, f"Wang-Tsiatis boundary (delta {self.delta:g})")


class Spending(AbstractBoundary):
    """Critical values that spend the level by a function of the information share."""

    spending: AbstractSpending

    def bounds(self, shares: Looks, alpha: float, lower: Looks | None = None, symmetric: bool = False) -> Bounds:
        """Find them look by look."""
        check_plan(shares, alpha)
        spent = np.asarray(self.spending.spent(jnp.asarray(shares, float), alpha), float)
        front, found = start(), []
        for number, (share, more) in enumerate(zip(shares, np.diff(spent, prepend=0.0), strict=True)):
            upper = bound_above(front, share, more)
            low = -upper if symmetric else -np.inf if lower is None else min(lower[number], upper)
            front = advance(front, share, low, upper, 0.0)
            found.append(upper)
        return np.array(found)

    def describe(self) -> str:
        """Say it."""
        return self.spending.describe()


class HaybittlePeto(AbstractBoundary):
    """One strict critical value at every interim look; the last one uses what is left of the level.

    Source: Haybittle 1971, doi:10.1259/0007-1285-44-526-793; Peto et al. 1976, doi:10.1038/bjc.1976.220.
    """

    interim: float = eqx.field(static=True, default=3.0)

    def __check_init__(self):
        """Refuse values that are not strict."""
        if not self.interim > 0:
            raise UserError(f"boundary.interim is a critical value above 0, usually 3, not {self.interim}.")

    def bounds(self, shares: Looks, alpha: float, lower: Looks | None = None, symmetric: bool = False) -> Bounds:
        """Find the last one; raises `UserError` if the interim looks use up the level."""
        check_plan(shares, alpha)

        def at(last: float) -> Bounds:
            return np.array([*[self.interim] * (len(shares) - 1), last])

        def excess(last: float) -> float:
            return crossing(shares, _below(at(last), lower, symmetric), at(last)).upper.sum() - alpha

        if excess(_LARGEST) >= 0:
            raise UserError(f"boundary.interim {self.interim:g} uses up the level {alpha:g}; choose a greater one.")
        return at(_root(excess))

    def describe(self) -> str:
        """Say it."""
        return f"Haybittle-Peto boundary (|z| {self.interim:g} at interim looks)"


def check_plan(shares: Looks, alpha: float) -> None:
    """Refuse a plan that is none.

    Raises:
        UserError: the shares do not go up from above 0 to 1, or the level is no one-sided level.
    """
    if len(shares) == 0 or shares[0] <= 0 or abs(shares[-1] - 1) > 1e-9 or np.any(np.diff(shares) <= 0):
        raise UserError(f"Information shares go up from above 0 to 1, not {tuple(float(s) for s in shares)}.")
    if not 0 < alpha < 0.5:
        raise UserError(f"A one-sided level is between 0 and 0.5, not {alpha:g}.")


def _below(upper: Bounds, lower: Looks | None, symmetric: bool) -> Bounds:
    """Return the lower bounds that end a trial."""
    if symmetric:
        return -upper
    return np.full(len(upper), -np.inf) if lower is None else np.minimum(np.asarray(lower, float), upper)


def _root(excess: Callable[[float], float]) -> float:
    """Return the constant at which the level is used up exactly."""
    return root(excess, 1e-3, _LARGEST)
