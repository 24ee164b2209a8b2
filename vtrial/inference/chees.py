"""Hamiltonian Monte Carlo with many chains in lock step, which tune step size, mass and trajectory length together.

Source: Hoffman, Radul and Sountsov 2021, An adaptive-MCMC scheme for setting trajectory lengths in Hamiltonian Monte
Carlo, AISTATS (ChEES); step size by dual averaging, Hoffman and Gelman 2014, arXiv:1111.4246.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key
from numpyro.infer.hmc_util import dual_averaging

from vtrial.inference.density import Point
from vtrial.inference.metric import Mass, Moments, first_mass, no_moments
from vtrial.inference.walk import Draw, Kernel
from vtrial.inference.whitening import Density

_DIVERGENCE = 1000.0
"""Energy error from which a trajectory counts as divergent; Stan's."""
_PRICE = 0.3
"""What the criterion must gain by a doubled trajectory, relative to the doubling, to be worth its cost."""
_LENGTHS = (0.5 * math.pi, 4.0 * math.pi)
"""Bounds of the mean trajectory length: a whitened normal posterior swings to its centre in pi/2."""
_LEARNING = 0.05
"""Greatest change of the logarithm of the trajectory length in one iteration."""
_FORGET = 0.95
"""Memory of the slope of the criterion."""
_BURN = 10
"""Iterations before anything is learnt of mass and length: the chains still run to the typical set."""

_begin_step, _next_step = dual_averaging()


class Length(NamedTuple):
    """The logarithm of the mean trajectory length, its running average, and what its slope is estimated from."""

    log: Float[Array, ""]
    average: Float[Array, ""]
    gain: Float[Array, ""]
    """Running mean of the derivative of the criterion in `log`."""
    level: Float[Array, ""]
    """Running mean of the criterion."""


class State(NamedTuple):
    """Everything the next iteration needs."""

    key: Key[Array, ""]
    iteration: Int[Array, ""]
    """-1 where potentials and gradients are still to be found."""
    x: Float[Array, "chain coordinate"]
    potential: Float[Array, " chain"]
    gradient: Float[Array, "chain coordinate"]
    step: tuple[Array | float, ...]
    """Dual averaging of the logarithm of the step size."""
    length: Length
    moments: Moments
    mass: Mass


class Trajectory(NamedTuple):
    """Where the trajectories of all chains end."""

    x: Float[Array, "chain coordinate"]
    momentum: Float[Array, "chain coordinate"]
    """Whitened: standard normal."""
    gradient: Float[Array, "chain coordinate"]
    potential: Float[Array, " chain"]
    lost: Float[Array, "chain coordinate"]
    """Where on the way the density was lost first; not a number where it was not."""


def kernel(
    density: Density,
    *,
    warmup: int,
    target_accept: float,
    max_steps: int,
    dense_mass: bool,
) -> Kernel:
    """Return the sampler of all chains of a density."""
    dense = density.dense if dense_mass else 0
    watched = density.dense or density.size
    mass = first_mass(density.size, dense, density.width)
    both = jax.vmap(jax.value_and_grad(lambda v: density.potential(density.point(v))))

    def init(each: Key[Array, " chain"], points: Point) -> State:
        x = jax.vmap(density.vector)(points)
        zero, moments = jnp.zeros(()), no_moments(x.mean(0), dense)
        begin = jnp.log(2.0 * _LENGTHS[0])
        length = Length(begin, begin, zero, zero)
        first, unknown = -jnp.ones((), int), (jnp.zeros(len(x)), jnp.zeros_like(x))
        return State(each[0], first, x, *unknown, _begin_step(math.log(0.1)), length, moments, mass)

    def step(state: State) -> tuple[State, Draw]:
        key, kick, chance = jax.random.split(state.key, 3)
        fresh, learning = state.iteration < 0, state.iteration < warmup
        # Of a fresh state a step of size 0 finds potential and gradient: a program of its own would compile both twice.
        size = jnp.where(fresh, 0.0, jnp.exp(jnp.where(learning, state.step[0], state.step[1])))
        mean_length = jnp.exp(jnp.where(learning, state.length.log, state.length.average))
        part = _halton(state.iteration)
        steps = jnp.where(fresh, 1, jnp.clip(jnp.ceil(2.0 * part * mean_length / size), 1, max_steps).astype(int))
        r = jax.random.normal(kick, state.x.shape)
        end = _integrate(both, state, r, size, steps)
        before = state.potential + 0.5 * (r**2).sum(1)
        after = end.potential + 0.5 * (end.momentum**2).sum(1)
        error = jnp.where(jnp.isfinite(after), after - before, jnp.inf)
        accept = jnp.minimum(1.0, jnp.exp(-error))
        taken = jax.random.uniform(chance, accept.shape) < accept
        keep = jax.lax.cond(
            learning,
            lambda: _learn(state, mass, end, accept, size * steps, target_accept, watched, density.trust),
            lambda: (state.step, state.length, state.moments, state.mass),
        )
        x, gradient = (
            jnp.where(taken[:, None], new, old) for new, old in ((end.x, state.x), (end.gradient, state.gradient))
        )
        potential = jnp.where(taken, end.potential, state.potential)
        fields = {
            "diverging": error > _DIVERGENCE,
            "energy": jnp.where(taken, after, before),
            "num_steps": jnp.broadcast_to(steps, accept.shape),
            "accept_prob": accept,
            "potential_energy": potential,
        }
        new = State(key, state.iteration + 1, x, potential, gradient, *keep)
        begun = state._replace(iteration=state.iteration + 1, potential=end.potential, gradient=end.gradient)
        new = jax.tree.map(lambda a, b: jnp.where(fresh, a, b), begun, new)
        return new, Draw(jax.vmap(density.point)(x), fields, end.lost)

    return Kernel(init, step)


def _halton(i: Int[Array, ""]) -> Float[Array, ""]:
    """Return element i of the van der Corput sequence: it fills (0, 1) evenly, so trajectories never resonate."""
    digits = jnp.arange(30)
    return (((i + 1) >> digits) % 2 * 0.5 ** (digits + 1.0)).sum()


def _integrate(both, state: State, r: Array, size: Array, steps: Array) -> Trajectory:
    """Leapfrog all chains together, in whitened momenta."""
    mass = state.mass

    def leap(_: Array, at: Trajectory) -> Trajectory:
        half = at.momentum - 0.5 * size * mass.gather(at.gradient)
        x = at.x + size * mass.spread(half)
        potential, gradient = both(x)
        # Beyond a first position there may be more, but those are not where the density sent the chain.
        first = ~jnp.isfinite(potential) & jnp.isnan(at.lost).any(axis=1)
        lost = jnp.where(first[:, None], x, at.lost)
        return Trajectory(x, half - 0.5 * size * mass.gather(gradient), gradient, potential, lost)

    nowhere = jnp.full_like(state.x, jnp.nan)
    return jax.lax.fori_loop(0, steps, leap, Trajectory(state.x, r, state.gradient, state.potential, nowhere))


def _learn(
    state: State,
    first: Mass,
    end: Trajectory,
    accept: Array,
    time: Array,
    target: float,
    watched: int,
    trust: float,
) -> tuple[tuple[Array | float, ...], Length, Moments, Mass]:
    """Return what all chains together have learnt: step size, trajectory length, moments and mass."""
    harmonic = 1.0 / jnp.mean(1.0 / jnp.maximum(accept, 1e-3))
    step = _next_step(target - harmonic, state.step)
    length = _lengthen(state, end, accept, time, watched)
    # The memory reaches back over a fraction of the iterations.
    moments = state.moments.with_draws(state.x, 1.0 - 1.0 / (10.0 + 0.3 * state.iteration))
    mass = moments.mass(first, state.mass, trust)
    late = state.iteration >= _BURN
    length, mass = jax.tree.map(lambda a, b: jnp.where(late, a, b), (length, mass), (state.length, state.mass))
    return step, length, moments, mass


def _lengthen(state: State, end: Trajectory, accept: Array, time: Array, watched: int) -> Length:
    """Climb the change of the squared distance from the centre (ChEES) that a unit of trajectory buys.

    Distances are those of the leading coordinates, whitened: subjects, who mix fast, would only add noise.
    """
    good = jnp.isfinite(end.x).all(1) & jnp.isfinite(end.momentum).all(1) & (accept > 1e-4)
    x = jnp.where(good[:, None], end.x, state.x)
    weight = jnp.where(good, accept, 0.0)
    total = jnp.maximum(weight.sum(), 1e-9)
    z = state.mass.whiten(state.x - state.x.mean(0, keepdims=True))[:, :watched]
    ends = state.mass.whiten(x - (weight[:, None] * x).sum(0, keepdims=True) / total)[:, :watched]
    along = (ends * jnp.where(good[:, None], end.momentum, 0.0)[:, :watched]).sum(1)
    change = (ends**2).sum(1) - (z**2).sum(1)
    old, number = state.length, (state.iteration - _BURN + 1).astype(float)
    gain = _FORGET * old.gain + (1 - _FORGET) * (weight * change * along).sum() / total * time
    level = _FORGET * old.level + (1 - _FORGET) * (weight * change**2).sum() / total / 4
    slope = jnp.clip(gain / jnp.maximum(level, 1e-12) - _PRICE, -1.0, 1.0)
    log = jnp.clip(old.log + _LEARNING * slope, *(math.log(bound) for bound in _LENGTHS))
    share = jnp.maximum(1.0 / number, 0.01)
    return Length(log, (1 - share) * old.average + share * log, gain, level)
