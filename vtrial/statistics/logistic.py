"""Logistic regression by maximum or penalised likelihood, and the risk of each arm standardised to all patients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vtrial.statistics.linear import invert

_STEPS = 40
_CLOSE = 1e-10
"""Largest last step, in the linear predictor, of a fit that has converged."""
_FARTHEST = 30.0
"""Linear predictor that no data but separated ones have: a probability within 1e-13 of 0 or 1."""
_LONGEST = 3.0
"""Largest change of the linear predictor in one step."""


class Logistic(NamedTuple):
    """A fitted logistic model."""

    coefficient: Float[Array, " column"]
    covariance: Float[Array, "column column"]
    """From the inverse information."""
    estimable: Bool[Array, " column"]
    share: Float[Array, " patient"]
    """Fitted probability of each patient."""
    converged: Bool[Array, ""]
    """False if a column separates the outcomes, so that its coefficient has no finite estimate."""


def fit(
    design: Float[Array, "patient column"],
    outcome: Float[Array, " patient"],
    known: Bool[Array, " patient"],
    firth: bool = False,
) -> Logistic:
    """Fit log odds = design × coefficient among the known, whose outcomes are 0 or 1.

    Args:
        design: columns, one of them (or a sum of some) being 1.
        outcome: of each patient.
        known: whether it is.
        firth: penalise by Jeffreys' prior, which has less bias and an estimate even under separation
            (Firth 1993, doi:10.1093/biomet/80.1.27; Heinze and Schemper 2002, doi:10.1002/sim.1047).
    """
    x = jnp.where(known[:, None], design, 0.0)
    y = jnp.where(known, outcome, 0.0)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        coefficient, _, number = state
        share = jax.nn.sigmoid(x @ coefficient)
        inverse, information = _information(x, share)
        leverage = ((x * information[:, None]) @ inverse * x).sum(1)
        pull = jnp.where(known, y - share + (leverage * (0.5 - share) if firth else 0.0), 0.0)
        change = inverse @ (x.T @ pull)
        size = jnp.abs(x @ change).max()
        return coefficient + change * jnp.minimum(1.0, _LONGEST / jnp.maximum(size, 1e-30)), size, number + 1

    def unfinished(state: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        return (state[2] < _STEPS) & (state[1] > _CLOSE)

    start = jnp.zeros(x.shape[1], x.dtype), jnp.full((), jnp.inf, x.dtype), jnp.zeros((), int)
    coefficient, size, _ = jax.lax.while_loop(unfinished, step, start)
    share = jax.nn.sigmoid(x @ coefficient)
    weight = share * (1 - share)
    covariance, _, estimable = invert((x * weight[:, None]).T @ x)
    finite = (size <= _CLOSE) & (jnp.abs(x @ coefficient).max() < _FARTHEST)
    return Logistic(coefficient, covariance, estimable, jax.nn.sigmoid(design @ coefficient), finite)


def _information(x: Float[Array, "patient column"], share: Float[Array, " patient"]) -> tuple[Array, Array]:
    """Return the inverse information and each patient's weight in it."""
    weight = share * (1 - share)
    return invert((x * weight[:, None]).T @ x)[0], weight


class Standardised(NamedTuple):
    """Risk of each arm if all patients had been given it."""

    risk: Float[Array, " arm"]
    covariance: Float[Array, "arm arm"]


def standardise(
    fitted: Logistic,
    design: Float[Array, "arm patient column"],
    member: Bool[Array, "patient arm"],
    outcome: Float[Array, " patient"],
) -> Standardised:
    """Return the mean risk of all patients under each arm, with the covariance of its influence function.

    What the model misses of an arm's own patients is added, which is nothing if it was fitted without penalty; so it
    holds even if the model is wrong, since arms are given at random.
    Sources: Ge et al. 2011, doi:10.1177/009286151104500409; Ye et al. 2023, doi:10.1080/24754269.2023.2205802.

    Args:
        fitted: model with a column for each arm.
        design: columns of each patient, had he been given each arm.
        member: patients who were, and whose outcome is known.
        outcome: theirs.
    """
    known = member.any(1)
    number = known.sum()
    predicted = jax.nn.sigmoid(jnp.einsum("anc,c->na", design, fitted.coefficient))
    predicted = jnp.where(known[:, None], predicted, 0.0)
    residual = jnp.where(member, outcome[:, None] - predicted, 0.0) / (member.sum(0) / number)[None]
    risk = (predicted + residual).sum(0) / number
    influence = jnp.where(known[:, None], predicted + residual - risk[None], 0.0)
    free = jnp.maximum(number - fitted.estimable.sum(), 1)
    return Standardised(risk, influence.T @ influence / (number * free))
