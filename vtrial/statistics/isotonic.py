"""Isotonic regression of few, ordered groups, traceable."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def isotonic(value: Float[Array, " dose"], weight: Float[Array, " dose"]) -> Float[Array, " dose"]:
    """Return the non-decreasing values nearest to `value` in weighted least squares.

    What pooling adjacent violators finds, as one expression of fixed shape: the greatest over starts up to a group, of
    the least over ends from it on, of the average between. Groups of weight 0 take no part and get not-a-number.
    Source: Robertson, Wright and Dykstra 1988, Order Restricted Statistical Inference, theorem 1.4.4.
    """
    number = jnp.arange(len(value))
    counted = weight > 0
    total = jnp.append(0.0, jnp.cumsum(jnp.where(counted, weight, 0.0)))
    moment = jnp.append(0.0, jnp.cumsum(jnp.where(counted, weight * value, 0.0)))
    # [start, end]: sums over the groups from start to end, both included.
    weights = total[None, 1:] - total[:-1, None]
    sums = moment[None, 1:] - moment[:-1, None]
    possible = (number[:, None] <= number[None, :]) & (weights > 0)
    average = jnp.where(possible, sums / jnp.where(possible, weights, 1.0), jnp.inf)
    # least[start, group]: over ends from the group on.
    least = jax.lax.cummin(average, axis=1, reverse=True)
    started = number[:, None] <= number[None, :]
    return jnp.where(counted, jnp.max(jnp.where(started, least, -jnp.inf), axis=0), jnp.nan)
