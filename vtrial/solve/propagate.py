"""The exact way of a linear model over an interval: closed forms for one and two states, else a matrix exponential."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial._types import Named
from vtrial.model import AbstractModel
from vtrial.solve.base import rate_vector

type Amounts = tuple[Array, ...]
"""One number for each state, then one for the input rate of each state that may have one."""
type Way = Callable[[Array, Amounts], Amounts]
"""(interval, amounts and input rates) -> amounts after the interval."""

_SERIES = 0.25
"""Below this |q| the hyperbolic functions of sqrt(q) are taken from their power series in q."""
_TERMS = 8
"""Terms of that series: the first one left out is below 1e-18."""


def rate_matrix(model: AbstractModel, p: Named) -> Float[Array, "state state"]:
    """Return the derivative of the rates with respect to the states: constant for a linear model."""
    zero = jnp.zeros(len(model.states))
    return jax.jacfwd(lambda y: rate_vector(model, jnp.asarray(0.0), y, p))(zero)


def form(states: int, inputs: int) -> str:
    """Say how a model with so many states and states with inputs is carried."""
    if states == 1:
        return "an exponential"
    return "a closed form" if states == 2 and not inputs else "a matrix exponential"


def propagator(model: AbstractModel, p: Named, infused: tuple[int, ...]) -> Way:
    """Return the way of a model with constant parameters over an interval."""
    rate = rate_matrix(model, p)
    states = len(model.states)
    if states == 1:
        return lambda h, y: _one(rate[0, 0], h, y)
    if states == 2 and not infused:
        return lambda h, y: _two(rate, h, y)
    return _exponential(rate, infused)


def _one(rate: Float[Array, ""], h: Array, y: Amounts) -> Amounts:
    x = rate * h
    kept = jnp.exp(x) * y[0]
    if len(y) == 1:
        return (kept,)
    # (exp(x) - 1) / x, by its series where the quotient would lose digits or divide by 0.
    small = jnp.abs(x) < 1e-4
    safe = jnp.where(small, 1.0, x)
    filled = jnp.where(small, 1.0 + x * (0.5 + x * (1 / 6 + x / 24)), jnp.expm1(safe) / safe)
    return (kept + y[1] * h * filled,)


def _series(q: Array, start: int) -> Array:
    """Return sum over k of q^k / (2k + start)!: cosh sqrt(q) for start 0, sinh sqrt(q) / sqrt(q) for start 1."""
    total = jnp.ones_like(q)
    for k in range(_TERMS, 0, -1):
        total = 1.0 + q / ((2 * k + start) * (2 * k + start - 1)) * total
    return total


def _two(rate: Float[Array, "2 2"], h: Array, y: Amounts) -> Amounts:
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
    slow = jnp.where(q < -_SERIES, jnp.cos(angle), _series(small, 0))
    even = jnp.where(q > _SERIES, 0.5 * (up + down), decay * slow)
    turned = jnp.where(q < -_SERIES, jnp.sin(angle) / angle, _series(small, 1))
    odd = jnp.where(q > _SERIES, 0.5 * (up - down) / root, decay * turned) * h
    first = even * y[0] + odd * (half * y[0] + rate[0, 1] * y[1])
    second = even * y[1] + odd * (rate[1, 0] * y[0] - half * y[1])
    return first, second


def _exponential(rate: Float[Array, "state state"], infused: tuple[int, ...]) -> Way:
    """Return the way by the matrix exponential; inputs are states of their own that do not change."""
    size = len(rate)
    whole = jnp.zeros((size + len(infused),) * 2).at[:size, :size].set(rate)
    for k, i in enumerate(infused):
        whole = whole.at[i, size + k].set(1.0)
    return lambda h, y: tuple(jax.scipy.linalg.expm(whole * h, max_squarings=64)[:size] @ jnp.stack(y))
