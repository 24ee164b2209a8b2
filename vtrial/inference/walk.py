"""Sampling in chunks: progress between them, the state saved now and then, and the same draws however often resumed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vtrial import schema
from vtrial.inference.ahead import Ahead
from vtrial.inference.checkpoint import Checkpoint
from vtrial.inference.density import Point
from vtrial.inference.failures import Failures
from vtrial.inference.progress import Progress, least_ess

_CHUNK = 50
"""Iterations between two looks at the clock."""


class Draw(NamedTuple):
    """What an iteration gives of one chain, or of all [chain ...]."""

    point: Point
    fields: dict[str, Array]
    """The sampler's statistics there."""
    lost: Float[Array, "*chain coordinate"]
    """Where the density was lost on the way; not a number where it was not."""


class Kernel(NamedTuple):
    """A sampler of many chains. Its state holds all it needs, random keys and adaptation included."""

    init: Callable[[Array, Point], Any]
    """From a key and a starting point for each chain [chain ...] to a fresh state."""
    step: Callable[[Any], tuple[Any, Draw]]
    """One iteration: of one chain if `over` is given, else of all of them [chain ...]. Of a fresh state it finds the
    `potential` [chain ...] and nothing else, and the draw is none."""
    over: Callable[..., Any] | None = None
    """How an iteration of one chain becomes one of all: `jax.vmap`, or one chain after the other."""


class Plan(NamedTuple):
    """How long to sample, and what to watch meanwhile."""

    warmup: int
    draws: int
    watched: tuple[str, ...]
    """Sites whose effective sample size is shown."""


@dataclass
class Clock:
    """Where the time of an inference went."""

    began: float = field(default_factory=time.process_time)
    ready: float = 0.0
    """CPU seconds from there until the sampler could take its first step."""
    compiling: float = 0.0
    """CPU seconds of it that went into compiling the sampler and finding where chains start."""
    warmup: float = 0.0
    """CPU seconds."""
    sampling: float = 0.0
    """CPU seconds."""


class Record:
    """What the chunks gave, those saved already and those not yet; chains first, iterations second."""

    def __init__(self, kept: list[Any]):
        """Begin with the parts of a saved state."""
        self._kept, self._fresh = list(kept), []

    def add(self, found: Any) -> None:
        """Keep what a chunk gave."""
        self._fresh.append(found)

    def save(self, checkpoint: Checkpoint, done: int, state: Any) -> None:
        """Save the state, and all that has come since the last time."""
        checkpoint.save(done, state, _joined(self._fresh) if self._fresh else None)
        self._kept, self._fresh = self._kept + self._fresh, []

    def all(self) -> Any:
        """Return everything in one piece; None if there is nothing."""
        parts = self._kept + self._fresh
        return _joined(parts) if parts else None


def one_after_the_other(run: Callable[..., Any], in_axes: tuple[int | None, ...]) -> Callable[..., Any]:
    """Map over the first argument like `jax.vmap`, in turn: no chain waits for the longest tree of the others."""
    assert in_axes == (0, None)
    return lambda state, length: jax.lax.map(lambda s: run(s, length), state)


def walk(
    kernel: Kernel,
    plan: Plan,
    keys: Array,
    starts: Callable[[Callable[[Point], Array]], Point],
    like: Any,
    checkpoint: Checkpoint | None,
    clock: Clock,
    failures: Failures,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Run warm-up and sampling; return the points and statistics of the draws [chain draw ...].

    Args:
        kernel: the sampler.
        plan: the number of iterations.
        keys: a random key for each chain.
        starts: gives the starting points, given the potential of points [chain ...]; not asked when a saved state is
            resumed.
        like: shapes of those.
        checkpoint: where the state is saved, and whence it is resumed.
        clock: is told where the time goes.
        failures: is told where the density is lost.
    """
    began = time.process_time()
    init = jax.jit(lambda *given: jax.tree.map(strong, kernel.init(*given)))
    shapes = jax.eval_shape(init, keys, like)
    chunk, count = _chunk(kernel), jax.ShapeDtypeStruct((), jnp.int32)
    made = jax.eval_shape(chunk, shapes, count)[1]
    ahead = Ahead(chunk, shapes, count)
    saved = checkpoint.load((shapes, failures.counts), (made.point, made.fields)) if checkpoint else None
    if saved:
        done, (state, counts), kept = saved
        failures.counts = np.array(counts)
    else:
        # Whether there is a density at a start is asked of the program that samples: no other is compiled.
        done, kept, one = 0, [], jnp.ones((), jnp.int32)
        state = ahead(init(keys, starts(lambda points: ahead(init(keys, points), one)[0].potential)), one)[0]
    advance = ahead.function()
    clock.compiling += time.process_time() - began
    clock.ready = time.process_time() - clock.began
    record = Record(kept)
    total = plan.warmup + plan.draws
    with Progress(total, done) as progress:
        while done < total:
            # A chunk never straddles the end of the warm-up; its length is data, so there is one compilation.
            length = min(_CHUNK, (plan.warmup if done < plan.warmup else total) - done)
            phase = schema.PHASES[done >= plan.warmup]
            state, found = _timed(advance, state, length, clock, phase)
            failures.add(phase, np.asarray(found.lost))
            if phase == "sampling":
                record.add((found.point, found.fields))
            done += length
            progress.advance(length, phase, lambda: _detail(record.all(), plan.watched))
            if checkpoint and checkpoint.due():
                record.save(checkpoint, done, (state, failures.counts))
    return record.all()


def _timed(
    advance: Callable[..., tuple[Any, Draw]], state: Any, length: int, clock: Clock, phase: str
) -> tuple[Any, Draw]:
    """Advance all chains by one chunk, and add its time to that of the phase."""
    before = time.process_time()
    state, found = jax.block_until_ready(advance(state, jnp.asarray(length, jnp.int32)))
    spent = time.process_time() - before
    if phase == "sampling":
        clock.sampling += spent
    else:
        clock.warmup += spent
    return state, jax.tree.map(lambda x: np.asarray(x)[:, :length], found)


def strong(x: Any) -> Array:
    """Return an array whose type is its own: a saved state that is read again has no weak ones."""
    x = x if isinstance(x, jax.Array) else jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jax.lax.convert_element_type(x, x.dtype)


def _joined(parts: list[Any]) -> Any:
    return jax.tree.map(lambda *each: np.concatenate(each, axis=1), *parts)


def _detail(draws: Any, watched: tuple[str, ...]) -> str:
    """Say how many divergences there were, and the least effective sample size so far."""
    if draws is None:
        return ""
    points, fields = draws
    columns = [points[n].reshape(*points[n].shape[:2], -1) for n in watched]
    said = f"{int(fields['diverging'].sum())} divergent"
    ess = least_ess(np.concatenate(columns, axis=-1)) if columns else float("nan")
    return said if np.isnan(ess) else f"{said}, least ESS {ess:.0f}"


def _chunk(kernel: Kernel) -> Any:
    """Return the compiled function that advances all chains by at most `_CHUNK` iterations and keeps every draw."""

    def run(state: Any, length: Int[Array, ""]):
        shape = jax.eval_shape(kernel.step, state)[1]
        room = jax.tree.map(lambda x: jnp.zeros((_CHUNK, *x.shape), x.dtype), shape)

        def body(i, carry):
            state, kept = carry
            state, draw = kernel.step(state)
            return state, jax.tree.map(lambda all_, one: all_.at[i].set(one), kept, draw)

        return jax.lax.fori_loop(0, length, body, (state, room))

    if kernel.over is not None:
        return jax.jit(kernel.over(run, (0, None)))

    def together(state: Any, length: Int[Array, ""]):
        state, kept = run(state, length)
        return state, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), kept)

    return jax.jit(together)
