"""Estimates corrected for looks: what a design keeps of its looks, and what an arm's estimate would be without them."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from vtrial.design.base import AbstractDesign, DesignState, Look
from vtrial.statistics.stagewise import Course, stagewise


class Corrected(eqx.Module):
    """Estimates that allow for how the trial was stopped, each entry [arm]; not a number of arms that have none."""

    difference: Float[Array, " arm"]
    """Median-unbiased estimate of the effect against the reference arm."""
    lower: Float[Array, " arm"]
    """Lower confidence limit of the effect."""
    upper: Float[Array, " arm"]
    """Upper confidence limit of the effect."""


BY_STAGES = (
    "The corrected estimate, by the stagewise ordering, is as often above the truth as below, and its interval covers "
    "as often as it says."
)
FOR_SELECTION = (
    "The corrected estimate of a selected arm is as often above the truth as below where all arms are alike, and low "
    "elsewhere; the limits of its interval hold in any case."
)


class Own(eqx.Module):
    """The analysis's own estimates at the look at which each arm's test ended, each entry [arm]."""

    z: Float[Array, " arm"]
    """Its statistic, positive where an arm is better."""
    difference: Float[Array, " arm"]
    lower: Float[Array, " arm"]
    upper: Float[Array, " arm"]


class Record(eqx.Module):
    """What is kept of the test of each arm, until it ends."""

    course: Course
    """Its looks, each entry [arm look], in the direction that is better."""
    last: Int[Array, " arm"]
    """The last of them, from 0."""
    statistic: Float[Array, " arm"]
    """Of the test there."""
    reach: Float[Array, " arm"]
    """Expected statistic of the analysis there, were the effect 1: that of the test, but where stages are combined with
    other weights than their information."""
    own: Own


class AbstractCorrectedDesign(AbstractDesign):
    """A design that may end for what it has seen, which biases estimates, and that knows what to do about it."""

    correction: eqx.AbstractClassVar[str]
    """What the corrected estimates are, in a sentence."""

    @abstractmethod
    def record(self, state: DesignState) -> Any:
        """Return of a trial that is over what `corrected` needs: arrays of fixed shape."""

    @abstractmethod
    def corrected(self, record: Any, alpha: float) -> Corrected:
        """Return what the effects are estimated to be after the trial, with intervals of confidence 1 - `alpha`."""


def nothing(arms: int) -> Own:
    """Return the estimates before the first look."""
    none = jnp.full(arms, jnp.nan)
    return Own(none, none, none, none)


def own(look: Look) -> Own:
    """Return the estimates at a look."""
    return Own(look.benefit, look.comparison.difference, look.comparison.lower, look.comparison.upper)


def blank(arms: int, looks: int) -> Record:
    """Return the record before the first look."""
    rows, none = jnp.full((arms, looks), jnp.nan), jnp.full(arms, jnp.nan)
    return Record(Course(rows, rows, rows, rows), jnp.zeros(arms, int), none, none, nothing(arms))


def noted(
    record: Record,
    look: Look,
    tested: Bool[Array, " arm"],
    now: Course,
    *,
    statistic: Float[Array, "*arm"],
    reach: Float[Array, "*arm"],
) -> Record:
    """Return the record after a look.

    Args:
        record: before it.
        look: what the design decides by.
        tested: arms whose test goes on until this look.
        now: the look's entries, [arm] or the same for all. A statistic that is not known ends no test.
        statistic: as in `Record`.
        reach: likewise.
    """
    known = jnp.isfinite(statistic)
    met = now._replace(lower=jnp.where(known, now.lower, -jnp.inf), upper=jnp.where(known, now.upper, jnp.inf))
    number = look.number

    def added(rows: Float[Array, "arm look"], now: Array) -> Float[Array, "arm look"]:
        return rows.at[:, number].set(jnp.where(tested, now, rows[:, number]))

    old = (record.last, record.statistic, record.reach, record.own)
    new = (number, statistic, reach, own(look))
    kept = jax.tree.map(lambda a, b: jnp.where(tested, b, a), old, new)
    return Record(jax.tree.map(added, record.course, met), *kept)


def by_stages(record: Record, alpha: float, control: int) -> Corrected:
    """Return the estimates by the stagewise ordering.

    The analysis of a test of one look is left as it is, estimate and interval.

    Args:
        record: of a trial that is over.
        alpha: of the intervals.
        control: number of the arm that has no test.
    """
    arms = record.last.shape[0]
    others = np.flatnonzero(np.arange(arms) != control)
    tails = jnp.asarray([alpha / 2, 0.5, 1 - alpha / 2])
    course, last, statistic = jax.tree.map(lambda x: x[others], (record.course, record.last, record.statistic))
    found = jax.vmap(stagewise, in_axes=(0, 0, 0, None))(course, last, statistic, tails)
    effect = jnp.full((arms, 3), jnp.nan).at[others].set(found)
    return placed(record.own, effect * record.reach[:, None] - record.own.z[:, None], alpha)


def placed(own: Own, away: Float[Array, "arm 3"], alpha: float) -> Corrected:
    """Return estimates on the scale of the analysis, which its own interval gives.

    Args:
        own: the analysis's own.
        away: lower limit, estimate and upper limit, in standard errors from its own estimate, better being greater.
        alpha: of the intervals.
    """
    quantile = -ndtri(alpha / 2)
    below, above = (own.difference - own.lower) / quantile, (own.upper - own.difference) / quantile
    # Where a smaller effect is better the limits change places.
    away = jnp.where((own.difference * own.z < 0)[:, None], -away[:, ::-1], away)
    lower, middle, upper = (own.difference + jnp.where(x < 0, below, above) * x for x in away.T)
    return Corrected(middle, lower, upper)
