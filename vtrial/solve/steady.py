"""Steady states: the fixed point of the map over one dosing interval, by Newton's method."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vtrial._types import Named
from vtrial.dosing import Train
from vtrial.dosing.steps import Steady

type Advance = Callable[
    [Named, Float[Array, " state"], Float[Array, " state"], Float[Array, ""]], Float[Array, " state"]
]
"""(parameters, states, input rates, interval) -> states after the interval; an empty interval changes nothing."""

_INTERVALS = 3
"""Dosing intervals simulated before Newton's method starts on a nonlinear model."""
_DOUBLINGS = 14
"""A constant infusion is first simulated over 1, 2, 4 ... time units: 2^14 in all."""
_ITERATIONS = 25
"""Most Newton steps."""


def finder(
    advance: Advance,
    initial: Callable[[Named], Float[Array, " state"]],
    *,
    linear: bool,
    tolerance: float,
    inner: Advance | None = None,
    constant: bool = True,
) -> Steady:
    """Return the function that finds steady states with a solver's way to advance.

    A linear model's fixed point (I - E) y = b is solved at once, b and E from one interval each. A nonlinear one is
    iterated from a few simulated intervals until a Newton step changes no state by more than `tolerance`; its
    derivatives are those of the fixed point (implicit function theorem), not of the iteration.

    Args:
        advance: differentiable in parameters.
        initial: states before the first dose.
        linear: whether the model is linear.
        tolerance: relative to each state, with a floor at that part of the largest one.
        inner: the same for the iteration, differentiable forward in the states; `advance` if left out.
        constant: whether constant infusions are to be expected as well.
    """
    inner = inner or advance

    def periodic(way: Advance, p: Named, train: Train) -> Callable[[Float[Array, " state"]], Float[Array, " state"]]:
        full = jnp.floor(train.duration / _safe(train.interval))
        rest = train.duration - full * train.interval
        return lambda y: _pass(way, p, train, y, _safe(train.interval), full, rest)

    def steady(train: Train, p: Named) -> tuple[Float[Array, " state"], Bool[Array, ""]]:
        start = initial(p)
        if linear:
            y, found = _affine(periodic(advance, p, train), start)
        else:
            # The iteration has no derivatives but in the states: those of its result come from one more step.
            still = periodic(inner, *jax.lax.stop_gradient((p, train)))
            begun = _simulated(still, jax.lax.stop_gradient(start))
            y, found = _newton(still, periodic(advance, p, train), begun, tolerance)
        y = _before_lag(advance, p, train, y)
        if not constant:
            return y, found
        endless, found_endless = _equilibrium(advance, inner, p, train, start, linear, tolerance)
        return jnp.where(train.interval > 0, y, endless), jnp.where(train.interval > 0, found, found_endless)

    return steady


def _safe(interval: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(interval > 0, interval, 1.0)


def _into(train: Train, y: Float[Array, " state"], value: Float[Array, ""]) -> Float[Array, " state"]:
    return jnp.zeros_like(y).at[train.state].set(value)


def _pass(
    way: Advance,
    p: Named,
    train: Train,
    y: Float[Array, " state"],
    length: Float[Array, ""],
    full: Float[Array, ""],
    rest: Float[Array, ""],
) -> Float[Array, " state"]:
    """Advance from just before a dose of the train over `length`, no longer than the interval.

    `full` infusions always run; one more runs during the first `rest` of each interval.
    """
    y = y + _into(train, y, train.amount)
    y = way(p, y, _into(train, y, (full + 1) * train.rate), jnp.minimum(length, rest))
    return way(p, y, _into(train, y, full * train.rate), jnp.maximum(length - rest, 0.0))


def _affine(step: Callable, like: Float[Array, " state"]) -> tuple[Float[Array, " state"], Bool[Array, ""]]:
    """Return the fixed point of an affine map."""
    zero = jnp.zeros_like(like)
    b = step(zero)
    columns = jax.vmap(lambda unit: step(unit) - b, out_axes=1)(jnp.eye(len(like)))
    y = jnp.linalg.solve(jnp.eye(len(like)) - columns, b)
    return y, jnp.all(jnp.isfinite(y))


def _simulated(step: Callable, y: Float[Array, " state"]) -> Float[Array, " state"]:
    return jax.lax.fori_loop(0, _INTERVALS, lambda _, y: step(y), y)


def _newton(
    inner: Callable, step: Callable, y: Float[Array, " state"], tolerance: float
) -> tuple[Float[Array, " state"], Bool[Array, ""]]:
    """Return the fixed point of a map near `y`."""

    def correction(y: Float[Array, " state"]) -> tuple[Float[Array, "state state"], Float[Array, " state"]]:
        gap = jnp.eye(len(y)) - jax.jacfwd(inner)(y)
        return gap, jnp.linalg.solve(gap, inner(y) - y)

    def small(change: Float[Array, " state"], y: Float[Array, " state"]) -> Bool[Array, ""]:
        size = jnp.abs(y)
        return jnp.all(jnp.abs(change) <= tolerance * (size + 1e-3 * jnp.max(size)))

    def improve(carry):
        y, _, count = carry
        _, change = correction(y)
        # A step that would empty a state past zero leaves it a tenth of what it was.
        new = jnp.where((change < 0) & (y > 0), jnp.maximum(y + change, 0.1 * y), y + change)
        return new, change, count + 1

    def unfinished(carry):
        y, change, count = carry
        return (count < _ITERATIONS) & ~small(change, y) & jnp.all(jnp.isfinite(y))

    y = jax.lax.stop_gradient(y)
    start = (y, jnp.full_like(y, jnp.inf), 0)
    y, change, _ = jax.lax.while_loop(unfinished, improve, start)
    y = jax.lax.stop_gradient(y)
    gap = jax.lax.stop_gradient(jnp.eye(len(y)) - jax.jacfwd(inner)(y))
    found = small(jax.lax.stop_gradient(change), y) & jnp.all(jnp.isfinite(y)) & _known(gap, y, tolerance)
    # One more step, whose derivative in the parameters is that of the fixed point.
    return y + jnp.linalg.solve(gap, step(y) - y), found


def _known(gap: Float[Array, "state state"], y: Float[Array, " state"], tolerance: float) -> Bool[Array, ""]:
    """Return whether errors of size `tolerance` in one interval leave the fixed point within a tenth.

    Where doses are more than can be eliminated, a map comes near to one that only adds, and rounding ends the iteration
    at states beyond any meaning.
    """
    size = jnp.abs(y) + 1e-3 * jnp.max(jnp.abs(y))
    return jnp.all(jnp.abs(jnp.linalg.inv(gap)) @ (tolerance * size) <= 0.1 * size)


def _before_lag(advance: Advance, p: Named, train: Train, y: Float[Array, " state"]) -> Float[Array, " state"]:
    """Return the states at the record's time, a lag before the next dose enters, given those just before it enters."""
    interval = _safe(train.interval)
    lag = jnp.mod(train.lag, interval)
    full = jnp.floor(train.duration / interval)
    earlier = _pass(
        advance, p, train, y, jnp.where(lag > 0, interval - lag, 0.0), full, train.duration - full * interval
    )
    return jnp.where(lag > 0, earlier, y)


def _equilibrium(
    advance: Advance,
    inner: Advance,
    p: Named,
    train: Train,
    start: Float[Array, " state"],
    linear: bool,
    tolerance: float,
) -> tuple[Float[Array, " state"], Bool[Array, ""]]:
    """Return the states under a constant infusion since ever: the fixed point over any interval."""
    one = jnp.asarray(1.0)

    def over(way: Advance, length: Float[Array, ""], p: Named, train: Train) -> Callable:
        return lambda y: way(p, y, _into(train, y, train.rate), length)

    step = over(advance, one, p, train)
    if linear:
        return _affine(step, start)
    still = jax.lax.stop_gradient((p, train))
    begun = jax.lax.stop_gradient(start)
    y = jax.lax.fori_loop(0, _DOUBLINGS, lambda k, y: over(inner, 2.0**k, *still)(y), begun)
    return _newton(over(inner, one, *still), step, y, tolerance)
