"""Linear models, solved exactly: amounts are carried from step to step by the matrix exponential of the rates."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vtrial._types import Named
from vtrial.dosing import EventTable, Steps, at_span, resolve, varies
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve.base import AbstractSolver, Profile, ResultCode, initial_state, profile, rate_vector
from vtrial.solve.propagate import Amounts, Way, form, propagator, rate_matrix
from vtrial.solve.steady import finder


class Linear(AbstractSolver):
    """Exact solution of a linear model: closed forms where its structure has them, else the matrix exponential."""

    def __call__(self, model: AbstractModel, p: Named, events: EventTable) -> Profile:
        """Carry the amounts from step to step, then from its last step to each sample.

        Raises:
            UserError: parameters run linearly between rows, so that the rates are no constant matrix.
        """
        if varies(p) and events.carried == "linear":
            raise UserError(
                "The linear solver needs parameters that are constant between rows, but covariates here run linearly "
                "from one row to the next; use solver=general."
            )

        def advance(p: Named, y: Array, inputs: Array, h: Array) -> Array:
            states = propagator(model, p, events.infused)(h, (*y, *(inputs[i] for i in events.infused)))
            return jnp.stack(states)

        start = initial_state(model, at_span(p, 0))
        steady = finder(
            advance, lambda p: initial_state(model, p), linear=True, tolerance=1e-12, constant=events.constant
        )
        steps = resolve(model, p, events, steady, start)

        def way(span: Int[Array, ""]) -> Way:
            return propagator(model, at_span(p, span), steps.infused)

        carried = _carry(way, varies(p), steps, start)
        states = _at_samples(way, varies(p), steps, carried)
        every = jnp.stack(carried[: len(start)], axis=-1)
        return profile(model, p, steps, jnp.stack(states, axis=-1), every, jnp.asarray(ResultCode.SOLVED))

    def check(self, model: AbstractModel, p: Named) -> str:
        """Compare the rates at arbitrary states and times with those of a constant matrix."""
        rate = np.asarray(rate_matrix(model, p))
        random = np.random.default_rng(0)
        for t, y in zip((0.0, 1.0, 17.0), random.uniform(0.1, 10.0, (3, len(model.states))), strict=True):
            given = np.asarray(rate_vector(model, jnp.asarray(t), jnp.asarray(y), p))
            tolerance = 1e4 * float(np.finfo(rate.dtype).eps)
            if not np.allclose(given, rate @ y, rtol=tolerance, atol=tolerance * float(np.abs(rate).max() + 1e-30)):
                raise UserError(
                    f"Model {type(model).__name__} is declared linear, but its rates are not a constant matrix "
                    "times its states; "
                    "set `linear = False` in the model, or use solver=general."
                )
        return (
            f"linear solver: {type(model).__name__} is linear with {len(model.states)} state(s), so "
            f"{form(len(model.states), 0)} carries it exactly"
        )


def _carry(way, varying: bool, steps: Steps, start: Float[Array, " state"]) -> Amounts:
    """Return the amounts just after each step, then the input rates."""
    size = len(start)
    once = None if varying else way(jnp.asarray(0))

    def step(carry: Amounts, event: tuple[Array, ...]) -> tuple[Amounts, Amounts]:
        h, span, reset, amount, rate, state = event
        y = (once or way(span))(h, carry)
        y = [jnp.where(reset, first, one) for first, one in zip(start, y, strict=True)]
        u = [jnp.where(reset, 0.0, one) for one in carry[size:]]
        for i in steps.dosed:
            y[i] = y[i] + jnp.where(state == i, amount, 0.0)
        for k, i in enumerate(steps.infused):
            u[k] = u[k] + jnp.where(state == i, rate, 0.0)
        return (*y, *u), (*y, *u)

    begin = (*start, *(jnp.zeros_like(start[0]) for _ in steps.infused))
    lengths = jnp.diff(steps.time, prepend=steps.time[:1])
    events = (lengths, steps.span, steps.reset, steps.amount, steps.rate, steps.state)
    return jax.lax.scan(step, begin, events)[1]


def _at_samples(way, varying: bool, steps: Steps, carried: Amounts) -> Amounts:
    """Return the amounts at the samples."""
    once = None if varying else way(jnp.asarray(0))
    lengths = steps.sample_time - steps.time[steps.sample_after]
    last = tuple(one[steps.sample_after] for one in carried)
    return jax.vmap(lambda h, span, y: (once or way(span))(h, y))(lengths, steps.sample_interval, last)
