"""Sequential boundaries inside traced code: for the information a trial turns out to have at its looks.

The same recursion as `vtrial.statistics.recursion`, with a fixed number of nodes and of Newton steps, written for one
test and mapped over arms and trials. 64 nodes give bounds to 1e-12 for looks that are 10 % of the information apart,
to 1e-7 for 2 %, and to 1e-4 for 1 %.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from vtrial.statistics.recursion import REACH, SMALLEST, gauss_legendre

NODES = 64
"""Nodes of the score."""
_STEPS = 14
"""Newton steps: the bound is exact to rounding after ten."""
NEAREST = 1e-3
"""A look that adds less of the information is no look: nothing is spent at it."""


class Front(NamedTuple):
    """Trials that would go on under the null hypothesis: nodes of the score, their probability, and what is spent.

    An array for each, so that a design can keep it in its memory.
    """

    score: Float[Array, " node"]
    mass: Float[Array, " node"]
    share: Float[Array, ""]
    """Information share of the last look."""
    spent: Float[Array, ""]
    """Level spent so far."""


def start(nodes: int = NODES) -> Front:
    """Return the front before the first look: score 0 for sure."""
    zero = jnp.asarray(0.0)
    return Front(jnp.zeros(nodes), jnp.zeros(nodes).at[0].set(1.0), zero, zero)


def bound_above(front: Front, share: Float[Array, ""], probability: Float[Array, ""]) -> Float[Array, ""]:
    """Return the bound that trials going on exceed at `share` with a probability; infinity for none."""
    gap, root = jnp.sqrt(share - front.share), jnp.sqrt(share)
    z = -ndtri(jnp.clip(probability, SMALLEST, 0.5))

    def newton(_, z):
        step = (front.score - z * root) / gap
        tail = front.mass @ ndtr(step)
        density = front.mass @ jnp.exp(-0.5 * step**2) * root / (gap * jnp.sqrt(2 * jnp.pi))
        return z + jnp.log(tail / probability) * tail / density

    z = jax.lax.fori_loop(0, _STEPS, newton, z)
    z = jnp.where(probability >= front.mass.sum(), -jnp.inf, z)
    return jnp.where(probability <= SMALLEST, jnp.inf, z)


def advance(front: Front, share: Float[Array, ""], lower: Float[Array, ""], upper: Float[Array, ""]) -> Front:
    """Return the trials that go on after a look at `share`: those with a statistic between the bounds."""
    gap, root = jnp.sqrt(share - front.share), jnp.sqrt(share)
    low = jnp.clip(lower, -REACH, REACH) * root
    high = jnp.maximum(jnp.clip(upper, -REACH, REACH) * root, low)
    x, w = (jnp.asarray(a) for a in gauss_legendre(front.score.shape[0]))
    score = 0.5 * (low + high) + 0.5 * (high - low) * x
    step = (score[:, None] - front.score[None, :]) / gap
    density = jnp.exp(-0.5 * step**2) @ front.mass / (gap * jnp.sqrt(2 * jnp.pi))
    return front._replace(score=score, mass=0.5 * (high - low) * w * density, share=share)


def spend(
    front: Front, share: Float[Array, ""], spent: Float[Array, ""], lower: Float[Array, ""] | float = -jnp.inf
) -> tuple[Float[Array, ""], Front]:
    """Return the efficacy bound of a look, and the front after it.

    A look that adds no information, or whose share is not known, spends nothing: its bound is infinity.

    Args:
        front: after the look before.
        share: information share now, by the greatest information planned; more than 1 if there is more.
        spent: level that may be spent by now, those before included.
        lower: binding lower bound; none if left out.
    """
    known = share - front.share > NEAREST
    safe = jnp.where(known, share, front.share + 1.0)
    upper = bound_above(front, safe, jnp.maximum(spent - front.spent, 0.0))
    after = advance(front, safe, jnp.minimum(jnp.asarray(lower), upper), upper)
    after = after._replace(spent=jnp.maximum(spent, front.spent))
    kept = Front(*(jnp.where(known, new, old) for new, old in zip(after, front, strict=True)))
    return jnp.where(known, upper, jnp.inf), kept
