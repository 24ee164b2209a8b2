"""Estimates after a test with looks, inside traced code: the stagewise ordering, for thousands of trials at once.

`vtrial.statistics.estimates` does the same in numpy for one trial of a planned group-sequential test. Here the looks
are those a trial turned out to have, and a look may combine stages whose weights were fixed before their sizes were.
The recursion is done once, under an effect near the answer; what another effect would give follows from the likelihood
ratio, which goes by the score alone where the weights are those of the information, and after one stage in any case.

Source: Tsiatis, Rosner and Mehta 1984, doi:10.2307/2530924; after an adaptive change: Lehmacher and Wassmer 1999,
doi:10.1111/j.0006-341X.1999.01286.x.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc, logit
from jaxtyping import Array, Bool, Float, Int

from vtrial.statistics.interim import NEAREST
from vtrial.statistics.recursion import REACH, gauss_legendre

_NODES = 24
"""Nodes of the score: estimates are right to 1e-12 standard errors where looks are 10 % of the information apart."""
_AROUND = 3.0
"""Statistics beyond this are not followed by the effect that the recursion is done under."""
BRACKET = 12.0
"""Standard errors about the statistic in which effects are looked for."""
NEARLY_LINEAR = 12
"""Steps of the Illinois method; functions are nearly linear, for which eight are enough."""
LEAST = 1e-15
"""A smaller probability is this."""


class Course(NamedTuple):
    """A test as a trial met it; what is said of looks after its last one does not matter."""

    share: Float[Array, " look"]
    """Square of the weight of all that was there by the look: the information share, in a group-sequential test."""
    lower: Float[Array, " look"]
    """Statistic below which the look would have ended the test; -infinity for none."""
    upper: Float[Array, " look"]
    """Statistic from which on it would have; infinity for none."""
    slope: Float[Array, " look"]
    """Expected statistic, were the effect 1: proportional to the root of the share if there are more than two looks."""


class _Fronts(NamedTuple):
    """Trials that go on until each look, under one effect: scores, their probability, and what was there before."""

    score: Float[Array, "look node"]
    mass: Float[Array, "look node"]
    share: Float[Array, " look"]
    drive: Float[Array, " look"]
    """Expected score, were the effect 1."""


def stagewise(
    course: Course, last: Int[Array, ""], statistic: Float[Array, ""], probability: Float[Array, " tail"]
) -> Float[Array, " tail"]:
    """Return the effects under which a result as extreme, or more, in the stagewise ordering has the probabilities.

    One half gives the median-unbiased estimate, alpha / 2 and 1 - alpha / 2 an interval. A last look that added nothing
    is as if the look before it had not been; not a number where none added anything.

    Args:
        course: bounds and information, in the direction that is better.
        last: look at which the test ended, from 0.
        statistic: there.
        probability: wanted.
    """
    scale = course.slope[last]
    near = jnp.clip(statistic, -_AROUND, _AROUND) / scale
    fronts = _fronts(course, near)
    tail = _tail(course, fronts, near, last, statistic)

    def effect(wanted: Float[Array, ""]) -> Float[Array, ""]:
        def excess(x: Float[Array, ""]) -> Float[Array, ""]:
            return logit(jnp.clip(tail(x / scale), LEAST, 1 - LEAST)) - logit(wanted)

        return root(excess, statistic - BRACKET, statistic + BRACKET, NEARLY_LINEAR) / scale

    return jnp.where(_added(course, fronts).any(), jax.vmap(effect)(probability), jnp.nan)


def root(
    function: Callable[[Float[Array, "*any"]], Float[Array, "*any"]],
    low: Float[Array, "*any"],
    high: Float[Array, "*any"],
    steps: int = 30,
) -> Float[Array, "*any"]:
    """Return where a function is 0 between two points of unlike sign, by the Illinois method; of many, each by itself.

    Source: Dowell and Jarratt 1971, doi:10.1007/BF01934364.
    """

    def step(_, bracket):
        a, at_a, b, at_b = bracket
        flat = at_a == at_b
        c = jnp.where(flat, b, b - at_b * (b - a) / jnp.where(flat, 1.0, at_b - at_a))
        at_c = function(c)
        beyond = at_c * at_b < 0
        return jnp.where(beyond, b, a), jnp.where(beyond, at_b, 0.5 * at_a), c, at_c

    return jax.lax.fori_loop(0, steps, step, (low, function(low), high, function(high)))[2]


def _drive(course: Course) -> Float[Array, " look"]:
    return course.slope * jnp.sqrt(course.share)


def _added(course: Course, fronts: _Fronts) -> Bool[Array, " look"]:
    return course.share - fronts.share > NEAREST


def _fronts(course: Course, effect: Float[Array, ""]) -> _Fronts:
    """Return the trials that go on until each look; one that adds nothing leaves them as they are."""
    zero = jnp.asarray(0.0)
    x, w = (jnp.asarray(a) for a in gauss_legendre(_NODES))
    start = _Fronts(jnp.zeros(_NODES), jnp.zeros(_NODES).at[0].set(1.0), zero, zero)

    def look(front: _Fronts, now):
        share, lower, upper, drive = now
        known = share - front.share > NEAREST
        share = jnp.where(known, share, front.share + 1.0)
        deviation, centre = jnp.sqrt(share), effect * drive
        low, high = centre - REACH * deviation, centre + REACH * deviation
        low = jnp.clip(lower * deviation, low, high)
        high = jnp.clip(upper * deviation, low, high)
        score = 0.5 * (low + high) + 0.5 * (high - low) * x
        gap = jnp.sqrt(share - front.share)
        step = (score[:, None] - front.score[None] - effect * (drive - front.drive)) / gap
        density = jnp.exp(-0.5 * step**2) @ front.mass / (gap * jnp.sqrt(2 * jnp.pi))
        after = _Fronts(score, 0.5 * (high - low) * w * density, share, drive)
        return jax.tree.map(lambda new, old: jnp.where(known, new, old), after, front), front

    return jax.lax.scan(look, start, (course.share, course.lower, course.upper, _drive(course)))[1]


def _tail(
    course: Course, fronts: _Fronts, near: Float[Array, ""], last: Int[Array, ""], statistic: Float[Array, ""]
) -> Callable[[Float[Array, ""]], Float[Array, ""]]:
    """Return the function that gives the probability of a result as extreme, by the effect."""
    look = jnp.arange(course.share.shape[0])
    counts = (look <= last) & _added(course, fronts)
    limit = jnp.where(look == jnp.max(jnp.where(counts, look, 0)), statistic, course.upper)
    share = jnp.where(counts, course.share, fronts.share + 1.0)
    gap = jnp.sqrt(2 * (share - fronts.share))[:, None]
    ratio = jnp.where(fronts.share > 0, fronts.drive / jnp.where(fronts.share > 0, fronts.share, 1.0), 0.0)
    needed = jnp.where(counts, limit, jnp.inf)[:, None] * jnp.sqrt(share)[:, None]
    drive = jnp.where(counts, _drive(course) - fronts.drive, 0.0)[:, None]

    def tail(effect: Float[Array, ""]) -> Float[Array, ""]:
        spread = 0.5 * (effect**2 - near**2) * ratio * fronts.drive
        mass = fronts.mass * jnp.exp((effect - near) * ratio[:, None] * fronts.score - spread[:, None])
        return (mass * 0.5 * erfc((needed - effect * drive - fronts.score) / gap)).sum()

    return tail
