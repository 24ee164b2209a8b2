"""Linear models, solved exactly: amounts are carried from step to step by the matrix exponential of the rates."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial._types import Named
from vtrial.dosing import EventTable, Steps, at_span, resolve, varies
from vtrial.dosing.steps import Steady
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve.base import (
    AbstractSolver,
    Profile,
    ResultCode,
    initial_state,
    profile,
    rate_vector,
    refuse_noise,
)
from vtrial.solve.exact.blocks import in_blocks
from vtrial.solve.exact.ladder import climb, ladder, matrices, smallest_step
from vtrial.solve.exact.rational import Rational
from vtrial.solve.lanes.person import happening, solved, uncompilable
from vtrial.solve.lanes.problem import Settings
from vtrial.solve.propagate import Amounts, Form, Way, form, propagator, rate_matrix, with_inputs
from vtrial.solve.steady import finder

_BLOCK = 2048
"""Persons at a time in a closed form: some twenty rows of that length stay in the processor's cache."""
_BLOCK_LADDER = 32
"""Persons at a time on the ladder: each has matrices and all samples, some 0.1 MB."""


class Linear(AbstractSolver):
    """Exact solution of a linear model: a closed form where its structure has one, else the matrix exponential.

    That is taken by a rational approximation in kernels, to 1e-12 of the states, or by a ladder where XLA runs it.
    """

    compiled: bool = eqx.field(static=True, default=True)
    """Compile for the processor: quick to compile, cheap to differentiate, but only once."""

    def __call__(
        self, model: AbstractModel, p: Named, events: EventTable, *, key: Key[Array, ""] | None = None
    ) -> Profile:
        """Carry the amounts from step to step, then from its last step to each sample.

        Raises:
            UserError: parameters run linearly between rows, so that the rates are no constant matrix; or the model has
                system noise.
        """
        refuse_noise(model, "linear")
        if varies(p) and events.carried == "linear":
            raise UserError(
                "The linear solver needs parameters that are constant between rows, but covariates here run linearly "
                "from one row to the next; use solver=general."
            )
        found = form(model, p, events.infused)
        if self._compiles(model, found) and not varies(p):
            exact = found.paths or Rational()
            return solved(model, p, events, happening(Settings(), events), _finder(found, model), exact)
        traced, fixed = eqx.partition((model, events), eqx.is_array)

        def solve(p: Named, traced: tuple[AbstractModel, EventTable], *, slopes: bool) -> Profile:
            return _solve(found, *eqx.combine(traced, fixed), p, slopes=slopes)

        size = _BLOCK_LADDER if found.ladder else _BLOCK
        values, slopes = partial(solve, slopes=False), partial(solve, slopes=True)
        return in_blocks(values, slopes, size)({name: jnp.asarray(value, float) for name, value in p.items()}, traced)

    def _compiles(self, model: AbstractModel, found: Form) -> bool:
        """Return whether the way is compiled for this processor; otherwise XLA runs it."""
        small = found.paths is not None or found.sparse
        wanted = self.compiled and small and not found.pair and jax.default_backend() == "cpu"
        return wanted and not uncompilable(model, stiff=True)

    def check(self, model: AbstractModel, p: Named) -> str:
        """Compare the rates at arbitrary states and times with those of a constant matrix."""
        refuse_noise(model, "linear")
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
            f"{form(model, p, ()).sentence} carries it exactly"
        )


def _finder(found: Form, model: AbstractModel) -> Callable[[EventTable], Steady]:
    """Return what finds the steady states of an event table."""

    def advance(p: Named, y: Array, inputs: Array, h: Array) -> Array:
        way = propagator(model, p, found, smallest_step(h))
        return jnp.stack(way(h, (*y, *(inputs[i] for i in found.infused))))

    def start(p: Named) -> Array:
        return initial_state(model, p)

    return lambda events: finder(advance, start, linear=True, tolerance=1e-12, constant=events.constant)


def _solve(found: Form, model: AbstractModel, events: EventTable, p: Named, *, slopes: bool) -> Profile:
    start = initial_state(model, at_span(p, 0))
    steps = resolve(model, p, events, _finder(found, model)(events), start)
    lengths = jnp.diff(steps.time, prepend=steps.time[:1])
    left = steps.sample_time - steps.time[steps.sample_after]
    if found.ladder and not varies(p):
        states, carried = _on_ladder(found, model, p, steps, start, lengths, left)
    else:
        step = smallest_step(jnp.max(jnp.concatenate([lengths, left])))

        def way(span: Int[Array, ""]) -> Way:
            return propagator(model, at_span(p, span), found, step)

        once = None if varies(p) else way(jnp.asarray(0))
        rows = _carry(lambda h, span, y: (once or way(span))(h, y), steps, start, lengths)
        seen = _at_samples(lambda h, span, y: (once or way(span))(h, y), steps, rows, left, slopes)
        states, carried = jnp.stack(seen, axis=-1), jnp.stack(rows[: len(start)], axis=-1)
    return profile(model, p, steps, states, carried, jnp.asarray(ResultCode.SOLVED))


def _carry(over, steps: Steps, start: Float[Array, " state"], lengths: Float[Array, " step"]) -> Amounts:
    """Return the amounts just after each step, then the input rates."""

    def step(carry: Amounts, event: tuple[Array, ...]) -> tuple[Amounts, Amounts]:
        h, span, *happens = event
        new = _happen(steps, start, over(h, span, carry), carry[len(start) :], *happens)
        return new, new

    begin = (*start, *(jnp.zeros_like(start[0]) for _ in steps.infused))
    return jax.lax.scan(step, begin, (lengths, steps.span, *_happening(steps)))[1]


def _happening(steps: Steps) -> tuple[Array, ...]:
    return steps.reset, steps.amount, steps.rate, steps.state


def _happen(
    steps: Steps, start: Float[Array, " state"], y: Amounts, u: Amounts, reset: Array, amount: Array, rate: Array,
    state: Array,
) -> Amounts:  # fmt: skip
    """Return amounts and input rates after what happens at a step."""
    states = [jnp.where(reset, first, one) for first, one in zip(start, y, strict=True)]
    rates = [jnp.where(reset, 0.0, one) for one in u]
    for i in steps.dosed:
        states[i] = states[i] + jnp.where(state == i, amount, 0.0)
    for k, i in enumerate(steps.infused):
        rates[k] = rates[k] + jnp.where(state == i, rate, 0.0)
    return (*states, *rates)


def _at_samples(over, steps: Steps, carried: Amounts, left: Float[Array, " sample"], slopes: bool) -> Amounts:
    """Return the amounts at the samples, one sample after the other: many persons at one sample fit in the cache."""

    def rows(_: None, sample: tuple[Array, ...]) -> tuple[None, Amounts]:
        h, span, after = sample
        return None, over(h, span, tuple(row[after] for row in carried))

    def gathered(_: None, sample: tuple) -> tuple[None, Amounts]:
        return None, jax.checkpoint(over)(*sample)

    if not slopes:
        return jax.lax.scan(rows, None, (left, steps.sample_interval, steps.sample_after))[1]
    # The transposition of a row's look-up adds a whole table for each sample; that of one gather adds rows.
    last = tuple(row[steps.sample_after] for row in carried)
    return jax.lax.scan(gathered, None, (left, steps.sample_interval, last))[1]


def _on_ladder(
    found: Form,
    model: AbstractModel,
    p: Named,
    steps: Steps,
    start: Float[Array, " state"],
    lengths: Float[Array, " step"],
    left: Float[Array, " sample"],
) -> tuple[Float[Array, "sample state"], Float[Array, "step state"]]:
    """Return the states at the samples and just after each step, all samples at once: products of whole matrices."""
    size = len(start)
    whole = with_inputs(rate_matrix(model, p), steps.infused)
    rungs = ladder(whole, smallest_step(jnp.max(jnp.concatenate([lengths, left]))))

    def step(y: Array, event: tuple[Array, ...]) -> tuple[Array, Array]:
        matrix, *happens = event
        moved = matrix @ y
        y = jnp.stack(_happen(steps, start, tuple(moved[:size]), tuple(moved[size:]), *happens))
        return y, y

    begin = jnp.concatenate([start, jnp.zeros(len(steps.infused))])
    _, carried = jax.lax.scan(step, begin, (matrices(rungs, lengths), *_happening(steps)))
    seen = climb(rungs, left, carried[steps.sample_after].T)
    return seen[:size].T, carried[:, :size]
