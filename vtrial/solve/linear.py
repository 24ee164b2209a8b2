"""Linear models, solved exactly: amounts are carried from dose to dose by the matrix exponential of the rates."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial._types import Named
from vtrial.dosing import EventTable
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve.base import AbstractSolver, Profile, ResultCode, initial_state, profile, rate_vector

_SERIES = 0.25
"""Below this |q| the hyperbolic functions of sqrt(q) are taken from their power series in q."""
_TERMS = 8
"""Terms of that series: the first one left out is below 1e-18."""


def _matrix(model: AbstractModel, p: Named) -> Float[Array, "state state"]:
    """Return the rate matrix: the derivative of the rates with respect to the states, constant for a linear model."""
    zero = jnp.zeros(len(model.states))
    return jax.jacfwd(lambda y: rate_vector(model, jnp.asarray(0.0), y, p))(zero)


def _one(rate: Float[Array, "1 1"], h: Float[Array, ""], y: Float[Array, " 1"]) -> Float[Array, " 1"]:
    return jnp.exp(rate[0, 0] * h) * y


def _series(q: Float[Array, ""], start: int) -> Float[Array, ""]:
    """Return sum over k of q^k / (2k + start)!: cosh sqrt(q) for start 0, sinh sqrt(q) / sqrt(q) for start 1."""
    total = jnp.ones_like(q)
    for k in range(_TERMS, 0, -1):
        total = 1.0 + q / ((2 * k + start) * (2 * k + start - 1)) * total
    return total


def _two(rate: Float[Array, "2 2"], h: Float[Array, ""], y: Float[Array, " 2"]) -> Float[Array, " 2"]:
    """Apply the exponential of a 2 x 2 matrix A over an interval h.

    exp(Ah) y = exp(mh) [cosh(s) y + sinh(s)/s h (A - m) y], with m the mean of the diagonal and s^2 = -h^2 det(A - m).
    The form has no singularity where the two rates coincide, neither in value nor in derivative (Putzer's formula;
    Moler and Van Loan 2003, doi:10.1137/S00361445024180).
    """
    mean = 0.5 * (rate[0, 0] + rate[1, 1])
    half = 0.5 * (rate[0, 0] - rate[1, 1])
    square = half * half + rate[0, 1] * rate[1, 0]
    q = square * h * h
    # Real rates: written with two decaying exponentials, so that nothing overflows.
    root = jnp.sqrt(jnp.where(q > _SERIES, q, 1.0))
    up, down = jnp.exp(mean * h + root), jnp.exp(mean * h - root)
    # Complex rates: an oscillating model.
    angle = jnp.sqrt(jnp.where(q < -_SERIES, -q, 1.0))
    decay = jnp.exp(mean * h)
    small = jnp.where(jnp.abs(q) <= _SERIES, q, 0.0)
    even = jnp.where(q > _SERIES, 0.5 * (up + down), decay * jnp.where(q < -_SERIES, jnp.cos(angle), _series(small, 0)))
    odd = jnp.where(
        q > _SERIES,
        0.5 * (up - down) / root,
        decay * jnp.where(q < -_SERIES, jnp.sin(angle) / angle, _series(small, 1)),
    )
    deviation = jnp.stack([half * y[0] + rate[0, 1] * y[1], rate[1, 0] * y[0] - half * y[1]])
    return even * y + odd * h * deviation


def _many(rate: Float[Array, "state state"], h: Float[Array, ""], y: Float[Array, " state"]) -> Float[Array, " state"]:
    return jax.scipy.linalg.expm(rate * h) @ y


def _propagator(states: int):
    """Return the function (rate matrix, interval, state) -> state after the interval, for this number of states."""
    return {1: _one, 2: _two}.get(states, _many)


class Linear(AbstractSolver):
    """Exact solution of a linear model: closed form for one and two states, matrix exponential for more."""

    def __call__(self, model: AbstractModel, p: Named, events: EventTable) -> Profile:
        """Carry the amounts from dose to dose, then from its last dose to each sample."""
        rate, propagate = _matrix(model, p), _propagator(len(model.states))
        time, amount, state = jnp.asarray(events.time), jnp.asarray(events.amount), jnp.asarray(events.state)
        times, after = jnp.asarray(events.sample_time), jnp.asarray(events.sample_after)

        def step(y: Float[Array, " state"], event: tuple[Array, Array, Array]):
            interval, dose, target = event
            y = propagate(rate, interval, y).at[target].add(dose)
            return y, y

        _, carried = jax.lax.scan(step, initial_state(model, p), (jnp.diff(time, prepend=time[:1]), amount, state))
        states = jax.vmap(propagate, in_axes=(None, 0, 0))(rate, times - time[after], carried[after])
        return profile(model, p, times, states, carried, jnp.asarray(ResultCode.SOLVED))

    def check(self, model: AbstractModel, p: Named) -> str:
        """Compare the rates at arbitrary states and times with those of a constant matrix."""
        rate = np.asarray(_matrix(model, p))
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
        how = {1: "an exponential", 2: "a closed form"}.get(len(model.states), "a matrix exponential")
        return (
            f"linear solver: {type(model).__name__} is linear with {len(model.states)} state(s), so {how} "
            "carries it exactly"
        )
