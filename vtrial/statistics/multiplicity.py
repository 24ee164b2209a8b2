"""Adjusted p-values of several hypotheses, with strong control of the family-wise error rate; traceable.

A p-value that is not a number is a hypothesis that could not be tested: it counts among the others as 1 (the number of
hypotheses was fixed in advance), and stays not a number itself.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial._types import numbers, rows_of_numbers
from vtrial.errors import UserError


class AbstractProcedure(eqx.Module):
    """Adjusts p-values so that rejecting those below alpha errs with probability alpha at most, in the whole family."""

    @abstractmethod
    def check(self, hypotheses: int) -> None:
        """Check outside `jit` that it is for so many hypotheses; raises `UserError`."""

    @abstractmethod
    def adjust(self, p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
        """Return adjusted p-values."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in the field's words."""


class Bonferroni(AbstractProcedure):
    """Each p-value times the number of hypotheses. Source: Dunn 1961, doi:10.1080/01621459.1961.10482090."""

    def check(self, hypotheses: int) -> None:
        """Nothing can be wrong."""

    def adjust(self, p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
        """Return them."""
        return jnp.minimum(p * p.shape[0], 1.0)

    def describe(self) -> str:
        """Say it."""
        return "Bonferroni"


class Holm(AbstractProcedure):
    """Bonferroni, stepping down from the smallest. Source: Holm 1979, jstor.org/stable/4615733."""

    def check(self, hypotheses: int) -> None:
        """Nothing can be wrong."""

    def adjust(self, p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
        """Return the running maximum of (m - i) p."""
        known = _known(p)
        order = jnp.argsort(known)
        m = p.shape[0]
        stepped = jax.lax.cummax(known[order] * (m - jnp.arange(m)))
        return _back(p, order, stepped)

    def describe(self) -> str:
        """Say it."""
        return "Holm"


class Hochberg(AbstractProcedure):
    """Stepping up from the greatest; for independent or positively dependent p-values.

    Source: Hochberg 1988, doi:10.1093/biomet/75.4.800.
    """

    def check(self, hypotheses: int) -> None:
        """Nothing can be wrong."""

    def adjust(self, p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
        """Return the running minimum of (m - i) p from the greatest down."""
        known = _known(p)
        order = jnp.argsort(known)
        m = p.shape[0]
        stepped = jax.lax.cummin(known[order] * (m - jnp.arange(m)), reverse=True)
        return _back(p, order, stepped)

    def describe(self) -> str:
        """Say it."""
        return "Hochberg"


class Hommel(AbstractProcedure):
    """Closed Simes tests; for independent or positively dependent p-values, and never less powerful than Hochberg.

    A hypothesis' adjusted p is the greatest Simes p of the sets it is in. The worst set of k hypotheses holds the k - 1
    greatest p-values beside it. Source: Hommel 1988, doi:10.1093/biomet/75.2.383.
    """

    def check(self, hypotheses: int) -> None:
        """Nothing can be wrong."""

    def adjust(self, p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
        """Return them."""
        known = _known(p)
        order = jnp.argsort(known)
        ascending, m = known[order], p.shape[0]
        worst = ascending
        for k in range(2, m + 1):
            top = ascending[m - k :]
            # Of a hypothesis among the k greatest: Simes of those. Of a smaller one: itself beside the k - 1 greatest.
            within = jnp.min(k * top / jnp.arange(1, k + 1))
            beside = jnp.min(k * top[1:] / jnp.arange(2, k + 1))
            small = jnp.arange(m) < m - k
            worst = jnp.maximum(worst, jnp.where(small, jnp.minimum(k * ascending, beside), within))
        return _back(p, order, worst)

    def describe(self) -> str:
        """Say it."""
        return "Hommel"


class Graph(AbstractProcedure):
    """Bonferroni tests whose levels pass along a graph once a hypothesis is rejected.

    Source: Bretz, Maurer, Brannath and Posch 2009, doi:10.1002/sim.3495.

    Args:
        weights: share of the level that each hypothesis starts with; they sum to 1 at most.
        transition: share of its level that a rejected hypothesis (row) passes to each other (column); rows sum to 1 at
            most, and nothing is passed to itself.
    """

    weights: tuple[float, ...] = eqx.field(static=True, converter=numbers)
    transition: tuple[tuple[float, ...], ...] = eqx.field(static=True, converter=rows_of_numbers)

    def __check_init__(self):
        """Refuse what is no graph."""
        w, g = np.asarray(self.weights, float), self.transition
        if any(len(row) != len(w) for row in g) or len(g) != len(w):
            raise UserError(f"graph.transition needs {len(w)} rows of {len(w)} entries, as many as graph.weights.")
        g = np.asarray(g, float)
        if (w < 0).any() or w.sum() > 1 + 1e-9:
            raise UserError(f"graph.weights are shares of the level that sum to 1 at most, not {self.weights}.")
        if (g < 0).any() or (g.sum(1) > 1 + 1e-9).any() or np.diag(g).any():
            raise UserError("Each row of graph.transition holds shares that sum to 1 at most, with 0 on the diagonal.")

    def check(self, hypotheses: int) -> None:
        """Check that there is a weight for each hypothesis."""
        _check_number(len(self.weights), hypotheses)

    def adjust(self, p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
        """Return them."""
        return graph_adjusted(jnp.asarray(self.weights, float), jnp.asarray(self.transition, float), p)

    def describe(self) -> str:
        """Say it."""
        return "graphical procedure (Bretz-Maurer) with weights " + ", ".join(f"{w:g}" for w in self.weights)


class FixedSequence(AbstractProcedure):
    """Hypotheses tested in the order they come, each at the full level, until one is not rejected.

    Source: Maurer, Hothorn and Lehmacher 1995; Westfall and Krishen 2001, doi:10.1016/S0378-3758(01)00077-5.
    """

    def check(self, hypotheses: int) -> None:
        """Nothing can be wrong."""

    def adjust(self, p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
        """Return the running maximum."""
        return jnp.where(jnp.isnan(p), jnp.nan, jax.lax.cummax(_known(p)))

    def describe(self) -> str:
        """Say it."""
        return "fixed sequence"


class Fallback(AbstractProcedure):
    """Hypotheses tested in the order they come, each with its share of the level and what the one before passes on.

    Source: Wiens 2003, doi:10.1002/pst.64; as a graph: Bretz et al. 2009, doi:10.1002/sim.3495.

    Args:
        weights: share of the level of each hypothesis; they sum to 1 at most.
    """

    weights: tuple[float, ...] = eqx.field(static=True, converter=numbers)

    def __check_init__(self):
        """Refuse what are no shares."""
        if min(self.weights, default=0.0) < 0 or not 0 < sum(self.weights) <= 1 + 1e-9:
            raise UserError(f"fallback.weights are shares of the level that sum to 1 at most, not {self.weights}.")

    def check(self, hypotheses: int) -> None:
        """Check that there is a weight for each hypothesis."""
        _check_number(len(self.weights), hypotheses)

    def adjust(self, p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
        """Return them, by the graph in which each hypothesis passes all to the next."""
        return graph_adjusted(jnp.asarray(self.weights, float), jnp.eye(len(self.weights), k=1), p)

    def describe(self) -> str:
        """Say it."""
        return "fallback procedure with weights " + ", ".join(f"{w:g}" for w in self.weights)


def graph_adjusted(
    weights: Float[Array, " hypothesis"],
    transition: Float[Array, "hypothesis hypothesis"],
    p: Float[Array, " hypothesis"],
) -> Float[Array, " hypothesis"]:
    """Return the adjusted p-values of a graph of weights and transitions.

    Hypotheses are taken in the order of p / weight, each passing its weight on; an adjusted p is never less than that
    of the one before.
    """
    known, hypotheses = _known(p), jnp.arange(p.shape[0])

    def take(_, state):
        w, g, left, least, adjusted = state
        ratio = jnp.where(left & (w > 0), known / jnp.where(w > 0, w, 1.0), jnp.inf)
        j = jnp.argmin(ratio)
        least = jnp.minimum(jnp.maximum(least, ratio[j]), 1.0)
        one = hypotheses == j
        adjusted = jnp.where(one & left, least, adjusted)
        left = left & ~one
        w, g = _pass_on(w, g, j, left)
        return w, g, left, least, adjusted

    first = (weights, transition, jnp.ones_like(known, bool), jnp.asarray(0.0, known.dtype), jnp.ones_like(known))
    adjusted = jax.lax.fori_loop(0, p.shape[0], take, first)[-1]
    return jnp.where(jnp.isnan(p), jnp.nan, adjusted)


def _pass_on(
    w: Float[Array, " hypothesis"], g: Float[Array, "hypothesis hypothesis"], j: Array, left: Array
) -> tuple[Float[Array, " hypothesis"], Float[Array, "hypothesis hypothesis"]]:
    """Return weights and transitions without hypothesis j: what it had goes where it pointed."""
    w = jnp.where(left, w + w[j] * g[j], 0.0)
    loop = g[:, j] * g[j]
    through = g + g[:, j][:, None] * g[j][None, :]
    open_ = (loop < 1.0 - 1e-12)[:, None]
    new = jnp.where(open_, through / jnp.where(open_, 1.0 - loop[:, None], 1.0), 0.0)
    stay = left[:, None] & left[None, :] & ~jnp.eye(len(w), dtype=bool)
    return w, jnp.where(stay, new, 0.0)


def _known(p: Float[Array, " hypothesis"]) -> Float[Array, " hypothesis"]:
    return jnp.where(jnp.isnan(p), 1.0, p)


def _back(
    p: Float[Array, " hypothesis"], order: Array, adjusted: Float[Array, " hypothesis"]
) -> Float[Array, " hypothesis"]:
    """Return adjusted p-values, given in ascending order of p, in the order of the hypotheses."""
    placed = jnp.zeros_like(p).at[order].set(jnp.minimum(adjusted, 1.0))
    return jnp.where(jnp.isnan(p), jnp.nan, placed)


def _check_number(expected: int, hypotheses: int) -> None:
    if expected != hypotheses:
        raise UserError(
            f"The procedure has weights for {expected} hypotheses, but there are {hypotheses}, one for each arm beside "
            "the reference; give a weight for each."
        )
