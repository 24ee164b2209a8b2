"""The solver interface: one person's parameters and event table in, one person's profile out."""

from abc import abstractmethod
from enum import IntEnum

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from vtrial._types import Named
from vtrial.dosing import EventTable, Steps, at_span
from vtrial.errors import UserError
from vtrial.model import AbstractModel, AbstractStochasticModel


class ResultCode(IntEnum):
    """Why one person's solve failed; `vtrial.schema.RESULT_CODES` has the sentences."""

    SOLVED = 0
    NOT_FINITE = 1
    STEP_LIMIT = 2
    NEGATIVE = 3
    NO_STEADY_STATE = 4


class Profile(eqx.Module):
    """What the solver found for one person."""

    outputs: dict[str, Float[Array, " sample"]]
    """Each output at the sample times, in its unit, without residual error."""
    code: Int[Array, ""]
    """A `ResultCode`."""


class AbstractSolver(eqx.Module):
    """Solves a model for one person; batch it with `jax.vmap`."""

    @abstractmethod
    def __call__(
        self, model: AbstractModel, p: Named, events: EventTable, *, key: Key[Array, ""] | None = None
    ) -> Profile:
        """Return the outputs at the samples of `events`, and why the solve failed if it did.

        Traceable; numbers never make it raise. `key` is where the randomness of a model with system noise comes from:
        an `AbstractStochasticModel` needs one, and has the same path whenever it gets the same; others do not use it.
        """

    @abstractmethod
    def check(self, model: AbstractModel, p: Named) -> str:
        """Check outside `jit` that this solver may solve the model near the parameters `p`, and say how it will.

        Raises:
            UserError: it may not.
        """


def refuse_noise(model: AbstractModel, solver: str) -> None:
    """Refuse, by the solver's name, a model with system noise.

    Raises:
        UserError: the model has it.
    """
    if isinstance(model, AbstractStochasticModel):
        raise UserError(
            f"Model {type(model).__name__} has system noise, which the {solver} solver does not solve; use "
            "solver=general, or solver=auto, which chooses it."
        )


def initial_states(model: AbstractModel, p: Named) -> tuple[Float[Array, ""], ...]:
    """Return the states before the first dose, in the order of `model.states`."""
    initial = model.initial(p)
    return tuple(jnp.asarray(initial[name], float) for name in model.states)


def initial_state(model: AbstractModel, p: Named) -> Float[Array, " state"]:
    """Return the state vector before the first dose, in the order of `model.states`."""
    return jnp.stack(initial_states(model, p))


def rate_vector(
    model: AbstractModel, t: Float[Array, ""], y: Float[Array, " state"], p: Named
) -> Float[Array, " state"]:
    """Return the rates of the state vector."""
    rates = model.rates(t, dict(zip(model.states, y, strict=True)), p)
    return jnp.stack([jnp.asarray(rates[name], float) for name in model.states])


def profile(
    model: AbstractModel,
    p: Named,
    steps: Steps,
    states: Float[Array, "sample state"],
    carried: Float[Array, "record state"],
    code: Int[Array, ""],
    *,
    floor: float = 0.0,
) -> Profile:
    """Observe the states at the samples, and add to the solver's code what the states themselves show.

    `carried` holds the states just after each step. An amount below zero is a failure only beyond rounding, which goes
    with the largest amount there ever was, and beyond `floor`, the solver's own absolute error.
    """
    every = jnp.abs(jnp.concatenate([states, carried]))
    largest = jnp.max(every, axis=0)
    allowed = 1e-6 * largest + 1e-9 * jnp.max(largest) + floor
    negative = jnp.any(states < -allowed[None])
    code = jnp.where((code == ResultCode.SOLVED) & negative, ResultCode.NEGATIVE, code)

    def observe(t: Float[Array, ""], y: Float[Array, " state"], span: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        seen = model.observe(t, dict(zip(model.states, y, strict=True)), at_span(p, span))
        return {name: jnp.asarray(seen[name], float) for name in model.outputs}

    outputs = jax.vmap(observe)(steps.sample_time, states, steps.sample_span)
    finite = [jnp.all(jnp.isfinite(value)) for value in (states, *outputs.values())]
    code = jnp.where(jnp.all(jnp.stack(finite)), code, ResultCode.NOT_FINITE)
    return Profile(outputs, jnp.where(steps.steady, code, ResultCode.NO_STEADY_STATE).astype(jnp.int32))
