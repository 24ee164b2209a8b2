"""Steps and samples of one person in one order, for solvers that walk from one to the next."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial.dosing import Steps


class Timeline(NamedTuple):
    """What comes one after the other: a step, at which something happens, or a sample, at which nothing does."""

    time: Float[Array, " place"]
    span: Int[Array, " place"]
    """Span of the interval that ends there."""
    sample: Bool[Array, " place"]
    reset: Bool[Array, " place"]
    amount: Float[Array, " place"]
    rate: Float[Array, " place"]
    state: Int[Array, " place"]


def timeline(steps: Steps) -> tuple[Timeline, Int[Array, " sample"]]:
    """Return the timeline, and the place of each sample in it."""
    count, samples = len(steps.time), len(steps.sample_time)
    place = jnp.concatenate([jnp.arange(count, dtype=float), steps.sample_after + 0.5])
    order = jnp.argsort(place, stable=True)
    none, zero = jnp.zeros(samples, bool), jnp.zeros(samples)
    line = Timeline(
        time=jnp.concatenate([steps.time, steps.sample_time])[order],
        span=jnp.concatenate([steps.span, steps.sample_interval])[order],
        sample=jnp.concatenate([jnp.zeros(count, bool), jnp.ones(samples, bool)])[order],
        reset=jnp.concatenate([steps.reset, none])[order],
        amount=jnp.concatenate([steps.amount, zero])[order],
        rate=jnp.concatenate([steps.rate, zero])[order],
        state=jnp.concatenate([steps.state, jnp.zeros(samples, jnp.int32)])[order],
    )
    return line, jnp.argsort(order, stable=True)[count:]
