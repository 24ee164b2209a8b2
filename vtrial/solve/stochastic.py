"""Models with system noise: their paths, in steps of one length, with diffrax."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from vtrial._types import Named
from vtrial.dosing import Steps, at_time
from vtrial.model import AbstractStochasticModel
from vtrial.solve.base import ResultCode, rate_vector
from vtrial.solve.timeline import Timeline, timeline

_DEPTH = 16
"""Halvings of a step that an event or a sample divides: nearer than 2^-16 of it the path is interpolated."""


class Wiener(diffrax.AbstractBrownianPath):
    """Independent Wiener processes over time counted in steps, each of variance 1 a step.

    They are functions of the key and of the time alone: each step has a key of its own, by its number since time 0, and
    is itself a Brownian tree, so that the path does not depend on how long it is looked at, nor where.
    Source: Jelincic, Foster and Kidger 2024, doi:10.48550/arXiv.2405.06464.
    """

    key: Key[Array, ""]
    count: int = eqx.field(static=True)
    whole: bool = eqx.field(static=True)
    """Whether only whole steps are asked for, which need no tree."""

    t0: ClassVar[float] = -math.inf
    t1: ClassVar[float] = math.inf
    levy_area: type[diffrax.SpaceTimeLevyArea] = eqx.field(static=True, default=diffrax.SpaceTimeLevyArea)

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True, use_levy: bool = False) -> Any:
        """Return the increment from t0 to t1, which are in one step, and its space-time Levy area."""
        # diffrax finds the ends of whole steps between those of all, with rounding.
        number = jnp.round(t0) if self.whole else jnp.floor(t0)
        key = jax.random.fold_in(self.key, number.astype(jnp.int32))
        tolerance = 1.0 if self.whole else 2.0**-_DEPTH
        tree = diffrax.VirtualBrownianTree(0.0, 1.0, tolerance, (self.count,), key, diffrax.SpaceTimeLevyArea)
        if self.whole:
            return tree.evaluate(1.0, use_levy=use_levy)
        begin, end = (jnp.clip(t - number, 0.0, 1.0) for t in (t0, t1))
        return tree.evaluate(begin, end, use_levy=use_levy)


def walk(
    model: AbstractStochasticModel,
    p: Named,
    steps: Steps,
    start: Float[Array, " state"],
    key: Key[Array, ""],
    *,
    step: float,
    most: int,
) -> tuple[Float[Array, "sample state"], Float[Array, "place state"], Int[Array, ""]]:
    """Return the states at the samples, those after every place of the timeline, and a `ResultCode`.

    Steps end at the multiples of their length, and at events. A sample within one is reached by a part of it aside,
    which the path does not follow: further samples change nothing.

    Args:
        model: what is solved.
        p: its parameters.
        steps: what happens when.
        start: states at the start and after a reset.
        key: random key.
        step: length of a step, in the model's time unit.
        most: most steps between two places.
    """
    line, places = timeline(steps)
    noisy = _noisy(model, p, steps, start)

    def each(carry, at: Timeline):
        begin, y, inputs, code = carry
        whole, part = (
            _terms(
                model,
                lambda t: at_time(p, steps, t, at.span),
                inputs,
                noisy,
                Wiener(key=key, count=len(noisy), whole=kind),
                step,
            )
            for kind in (True, False)
        )
        end = _counted(at.time, step)
        where, back, reached, this = _between(whole, part, begin, end, y, most)
        after = jnp.where(at.reset, start, reached).at[at.state].add(at.amount)
        inputs = jnp.where(at.reset, 0.0, inputs).at[at.state].add(at.rate)
        moved = (jnp.where(at.sample, where, end), jnp.where(at.sample, back, after))
        return (*moved, inputs, jnp.maximum(code, this)), after

    begin = (_counted(steps.time[0], step), start, jnp.zeros_like(start), jnp.asarray(ResultCode.SOLVED))
    (*_, code), walked = jax.lax.scan(each, begin, line)
    return walked[places], walked, code


def _counted(time: Array, step: float) -> Array:
    """Return a time in steps; it is whole where only rounding says otherwise."""
    count = time / step
    near = jnp.round(count)
    return jnp.where(jnp.abs(count - near) < 1e-8, near, count)


def _noisy(model: AbstractStochasticModel, p: Named, steps: Steps, start: Float[Array, " state"]) -> tuple[int, ...]:
    """Return which states have noise."""
    first = at_time(p, steps, steps.time[0], jnp.asarray(0))
    found = model.diffusion(steps.time[0], dict(zip(model.states, start, strict=True)), first)
    return tuple(i for i, name in enumerate(model.states) if name in found)


def _terms(
    model: AbstractStochasticModel,
    parameters: Callable[[Array], Named],
    inputs: Float[Array, " state"],
    noisy: tuple[int, ...],
    wiener: Wiener,
    step: float,
) -> diffrax.MultiTerm:
    """Return drift and noise as diffrax has them, in time counted in steps and in Stratonovich's sense."""
    names = tuple(model.states)
    rows, columns = jnp.asarray(noisy, jnp.int32), jnp.arange(len(noisy))

    def scale(t: Array, y: Float[Array, " state"]) -> Float[Array, " noisy"]:
        found = model.diffusion(t, dict(zip(names, y, strict=True)), parameters(t))
        return jnp.stack([jnp.asarray(found[names[i]], float) for i in noisy])

    def drift(s: Any, y: Float[Array, " state"], _: Any) -> Float[Array, " state"]:
        t = s * step
        slope = jax.jacfwd(lambda y: scale(t, y))(y)[columns, rows]
        # What Ito's sense has less of: half of each noise times its slope in its own state.
        rates = rate_vector(model, t, y, parameters(t)) + inputs
        return step * rates.at[rows].add(-0.5 * scale(t, y) * slope)

    def noise(s: Any, y: Float[Array, " state"], _: Any) -> Float[Array, "state noisy"]:
        each = math.sqrt(step) * scale(s * step, y)
        return jnp.zeros((len(names), len(noisy))).at[rows, columns].set(each)

    return diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(noise, wiener))


def _between(
    whole: diffrax.MultiTerm, part: diffrax.MultiTerm, begin: Array, end: Array, y: Float[Array, " state"], most: int
) -> tuple[Array, Float[Array, " state"], Float[Array, " state"], Int[Array, ""]]:
    """Go from one time to another, both counted in steps.

    Returns:
        Where the path goes on from if the end was but a sample: the last end of a step before it, or the beginning; the
        states there; the states at the end; a `ResultCode`.
    """
    last = jnp.floor(end)

    def leg(carry, _):
        """Finish a step begun before, or begin one that does not end; then take whole ones."""
        now, y, code = carry
        following = jnp.floor(now) + 1
        first = jnp.where((now == following - 1) & (following <= end), now, following)
        y = _part(part, now, jnp.minimum(first, end), y)
        y, this = _whole(whole, first, last, y, most)
        after = (jnp.where(first > last, end, last), y, jnp.maximum(code, this))
        return after, (first > last, y)

    # One leg leads to the last whole step, the other to the end. They are one program, which compiles in half the time.
    (_, reached, code), (within, legs) = jax.lax.scan(leg, (begin, y, jnp.asarray(ResultCode.SOLVED)), length=2)
    return jnp.where(within[0], begin, last), jnp.where(within[0], y, legs[0]), reached, code


def _part(terms: diffrax.MultiTerm, begin: Array, end: Array, y: Float[Array, " state"]) -> Float[Array, " state"]:
    """Take a part of a step; of none the states stay."""
    empty = end <= begin
    taken = diffrax.SlowRK().step(terms, begin, jnp.where(empty, begin + 1, end), y, None, None, made_jump=False)[0]
    return jnp.where(empty, y, taken)


def _whole(
    terms: diffrax.MultiTerm, begin: Array, end: Array, y: Float[Array, " state"], most: int
) -> tuple[Float[Array, " state"], Int[Array, ""]]:
    """Take whole steps, and say whether they were too many."""
    empty = end <= begin
    solution = diffrax.diffeqsolve(
        terms,
        diffrax.SlowRK(),
        t0=begin,
        # Nowhere to go: a step is taken, and dropped.
        t1=jnp.where(empty, begin + 1, end),
        dt0=1.0,
        y0=y,
        stepsize_controller=diffrax.ConstantStepSize(),
        max_steps=most,
        throw=False,
    )
    failed = jnp.where(solution.result == diffrax.RESULTS.successful, ResultCode.SOLVED, ResultCode.STEP_LIMIT)
    return jnp.where(empty, y, jnp.asarray(solution.ys)[-1]), jnp.where(empty, ResultCode.SOLVED, failed)
