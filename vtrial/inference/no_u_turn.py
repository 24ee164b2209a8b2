"""The no-U-turn sampler over one vector, its tree grown leaf by leaf without recursion.

Sources: Hoffman and Gelman 2014, arXiv:1111.4246; multinomial choice along the tree, Betancourt 2017, arXiv:1701.02434;
the iterative tree, Phan, Pradhan and Jankowiak 2019, arXiv:1912.11554.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key
from numpyro.infer.hmc_util import dual_averaging

from vtrial.inference.density import Point
from vtrial.inference.metric import Mass, Moments, first_mass, no_moments
from vtrial.inference.walk import Draw
from vtrial.inference.whitening import Density

_DIVERGENCE = 1000.0
"""Energy error from which a trajectory counts as divergent; Stan's."""
_BURN = 15
"""Iterations before anything is learnt of the metric: the chain still runs to the typical set."""
_SETTLED = 0.85
"""Share of the warm-up after which the metric stays, so that the step size can settle."""

_BLOCK = 64
"""Leaves whose random numbers are drawn at once: those of six doublings."""

_UNKNOWN = -1e30
"""Stands for a potential that is not known yet: the first leaf of a trajectory from there diverges, and ends it."""

_begin_step, _next_step = dual_averaging()


class Place(NamedTuple):
    """A point of phase space, with what was computed there."""

    x: Float[Array, " coordinate"]
    momentum: Float[Array, " coordinate"]
    """Whitened: standard normal."""
    gradient: Float[Array, " coordinate"]
    potential: Float[Array, ""]


class State(NamedTuple):
    """Everything the next iteration needs."""

    key: Key[Array, ""]
    iteration: Int[Array, ""]
    """-1 where potential and gradient are still to be found."""
    x: Float[Array, " coordinate"]
    potential: Float[Array, ""]
    gradient: Float[Array, " coordinate"]
    step: tuple[Array | float, ...]
    """Dual averaging of the logarithm of the step size."""
    moments: Moments
    mass: Mass


class Choice(NamedTuple):
    """A leaf drawn by weight."""

    x: Float[Array, " coordinate"]
    gradient: Float[Array, " coordinate"]
    potential: Float[Array, ""]
    energy: Float[Array, ""]


class Branch(NamedTuple):
    """Leaves in a row."""

    end: Place
    """The leaf last grown."""
    choice: Choice
    weight: Float[Array, ""]
    """Logarithm of the sum of the leaves' weights."""
    total: Float[Array, " coordinate"]
    """Sum of their momenta."""
    accepted: Float[Array, ""]
    """Sum of their acceptance probabilities."""
    leaves: Int[Array, ""]
    turning: Bool[Array, ""]
    diverging: Bool[Array, ""]


class Luck(NamedTuple):
    """The random numbers of one tree, drawn many at once: one at a time they would cost more than the leaves."""

    key: Key[Array, ""]
    sides: Float[Array, " depth"]
    """Decide for each doubling whether it goes right."""
    merges: Float[Array, " depth"]
    """Decide for each doubling whether its leaf is taken."""
    leaves: Float[Array, " leaf"]
    """Decide for each leaf of the present block whether it is taken."""

    def at(self, leaf: Int[Array, ""]) -> "Luck":
        """Return the numbers with those of the block that a leaf is in; leaves come in order."""
        fresh = (leaf % _BLOCK == 0) & (leaf > 0)

        def draw() -> Float[Array, " leaf"]:
            return jax.random.uniform(jax.random.fold_in(self.key, leaf // _BLOCK), (_BLOCK,))

        return self._replace(leaves=jax.lax.cond(fresh, draw, lambda: self.leaves))


class Tree(NamedTuple):
    """All leaves so far, between two ends."""

    left: Place
    right: Place
    branch: Branch
    depth: Int[Array, ""]
    luck: Luck


class Marks(NamedTuple):
    """The leaves that begin the subtrees now open: momenta, and sums of the momenta before them."""

    momentum: Float[Array, "depth coordinate"]
    before: Float[Array, "depth coordinate"]


type Leap = Callable[[Place, Float[Array, ""]], Place]
"""A leapfrog step of a size that may be negative."""


def kernel(
    density: Density,
    *,
    warmup: int,
    target_accept: float,
    max_depth: int,
    dense_mass: bool,
) -> tuple[Callable[[Key[Array, ""], Point], State], Callable[[State], tuple[State, Draw]]]:
    """Return how a chain begins, and an iteration of it."""
    dense = density.dense if dense_mass else 0
    first = first_mass(density.size, dense, density.width)
    both = jax.value_and_grad(lambda v: density.potential(density.point(v)))

    def init(key: Key[Array, ""], point: Point) -> State:
        x = density.vector(point)
        unknown = jnp.asarray(_UNKNOWN), jnp.zeros_like(x)
        return State(key, -jnp.ones((), int), x, *unknown, _begin_step(0.0), no_moments(x, dense), first)

    def step(state: State) -> tuple[State, Draw]:
        key, kick, walk = jax.random.split(state.key, 3)
        fresh, learning = state.iteration < 0, state.iteration < warmup
        # Of a fresh state a step of size 0 finds potential and gradient: a program of its own would compile both twice.
        size = jnp.where(fresh, 0.0, jnp.exp(jnp.where(learning, state.step[0], state.step[1])))
        begin = Place(state.x, jax.random.normal(kick, state.x.shape), state.gradient, state.potential)
        tree = _explore(walk, begin, lambda at, h: _leap(both, state.mass, at, h), size, max_depth)
        branch = tree.branch
        accept = branch.accepted / branch.leaves
        kept = jax.lax.cond(
            learning,
            lambda: (
                _next_step(target_accept - accept, state.step),
                *_learn(state._replace(x=branch.choice.x), first, warmup, density.trust),
            ),
            lambda: (state.step, state.moments, state.mass),
        )
        fields = {
            "diverging": branch.diverging,
            "energy": branch.choice.energy,
            "num_steps": branch.leaves,
            "accept_prob": accept,
            "potential_energy": branch.choice.potential,
        }
        x, gradient, potential, _ = branch.choice
        # A branch in which the density is lost ends there.
        lost = jnp.where(jnp.isfinite(branch.end.potential), jnp.nan, branch.end.x)
        new = State(key, state.iteration + 1, x, potential, gradient, *kept)
        begun = state._replace(
            iteration=state.iteration + 1, potential=branch.end.potential, gradient=branch.end.gradient
        )
        new = jax.tree.map(lambda a, b: jnp.where(fresh, a, b), begun, new)
        return new, Draw(density.point(x), fields, lost)

    return init, step


def _learn(state: State, first: Mass, warmup: int, trust: float) -> tuple[Moments, Mass]:
    """Return moments and metric after one more draw of the warm-up."""
    late = (state.iteration >= _BURN) & (state.iteration < _SETTLED * warmup)
    moments = state.moments.with_draws(state.x[None], 1.0 - 1.0 / (10.0 + 0.5 * state.iteration))
    fresh = moments, moments.mass(first, state.mass, trust)
    return jax.tree.map(lambda new, old: jnp.where(late, new, old), fresh, (state.moments, state.mass))


def _leap(both: Callable[[Array], tuple[Array, Array]], mass: Mass, at: Place, size: Float[Array, ""]) -> Place:
    half = at.momentum - 0.5 * size * mass.gather(at.gradient[None])[0]
    x = at.x + size * mass.spread(half[None])[0]
    potential, gradient = both(x)
    return Place(x, half - 0.5 * size * mass.gather(gradient[None])[0], gradient, potential)


def _luck(key: Key[Array, ""], max_depth: int) -> Luck:
    first = jax.random.uniform(key, (2 * max_depth + _BLOCK,))
    return Luck(key, first[:max_depth], first[max_depth : 2 * max_depth], first[2 * max_depth :])


def _chosen(first: Bool[Array, ""], a: Place, b: Place) -> Place:
    return jax.tree.map(lambda x, y: jnp.where(first, x, y), a, b)


def _energy(at: Place) -> Float[Array, ""]:
    energy = at.potential + 0.5 * (at.momentum**2).sum()
    return jnp.where(jnp.isfinite(energy), energy, jnp.inf)


def _explore(key: Key[Array, ""], begin: Place, leap: Leap, size: Float[Array, ""], max_depth: int) -> Tree:
    """Double the trajectory until it turns back on itself, and draw one leaf of it."""
    energy, no = _energy(begin), jnp.zeros((), bool)
    zero = jnp.zeros(())
    choice = Choice(begin.x, begin.gradient, begin.potential, energy)
    root = Branch(begin, choice, zero, begin.momentum, zero, jnp.zeros((), int), no, no)

    def going(tree: Tree) -> Bool[Array, ""]:
        return (tree.depth < max_depth) & ~tree.branch.turning & ~tree.branch.diverging

    def double(tree: Tree) -> Tree:
        right = tree.luck.sides[tree.depth] < 0.5
        edge = _chosen(right, tree.right, tree.left)
        new, luck = _grow(tree, edge, leap, jnp.where(right, size, -size), energy, max_depth)
        first, last = _chosen(right, tree.left, new.end), _chosen(right, new.end, tree.right)
        branch = _joined(luck.merges[tree.depth], tree.branch, new, first, last)
        return Tree(first, last, branch, tree.depth + 1, luck)

    return jax.lax.while_loop(going, double, Tree(begin, begin, root, jnp.zeros((), int), _luck(key, max_depth)))


def _joined(luck: Float[Array, ""], old: Branch, new: Branch, left: Place, right: Place) -> Branch:
    """Return both branches as one; the new one's leaf is taken by its weight relative to the old one's."""
    good = ~(new.turning | new.diverging)
    take = good & (jnp.log(luck) < new.weight - old.weight)
    choice = jax.tree.map(lambda a, b: jnp.where(take, a, b), new.choice, old.choice)
    total = old.total + new.total
    turning = new.turning | _turns(left.momentum, right.momentum, total)
    return Branch(
        new.end, choice, jnp.logaddexp(old.weight, new.weight), total, old.accepted + new.accepted,
        old.leaves + new.leaves, turning, new.diverging,
    )  # fmt: skip


def _turns(first: Array, last: Array, total: Array) -> Bool[Array, "..."]:
    """Return whether a trajectory has begun to come back: its total momentum points against that of either end."""
    middle = total - (first + last) / 2
    return ((first * middle).sum(-1) <= 0) | ((last * middle).sum(-1) <= 0)


def _grow(
    tree: Tree, edge: Place, leap: Leap, size: Float[Array, ""], energy: Float[Array, ""], max_depth: int
) -> tuple[Branch, Luck]:
    """Grow as many leaves from an edge as the tree has, fewer where a subtree of them turns or the energy is lost."""
    zero, no = jnp.zeros(()), jnp.zeros((), bool)
    choice = Choice(edge.x, edge.gradient, edge.potential, energy)
    first = Branch(edge, choice, jnp.asarray(-jnp.inf), jnp.zeros_like(edge.x), zero, jnp.zeros((), int), no, no)
    room = jnp.zeros((max_depth, len(edge.x)))

    def going(carry: tuple[Branch, Marks, Luck]) -> Bool[Array, ""]:
        branch = carry[0]
        return (branch.leaves < 2**tree.depth) & ~branch.turning & ~branch.diverging

    def leaf(carry: tuple[Branch, Marks, Luck]) -> tuple[Branch, Marks, Luck]:
        old, marks, luck = carry
        number = tree.branch.leaves + old.leaves
        luck = luck.at(number)
        end = leap(old.end, size)
        now = _energy(end)
        gain = energy - now
        weight = jnp.logaddexp(old.weight, gain)
        take = jnp.log(luck.leaves[number % _BLOCK]) < gain - weight
        fresh = Choice(end.x, end.gradient, end.potential, now)
        choice = jax.tree.map(lambda a, b: jnp.where(take, a, b), fresh, old.choice)
        total = old.total + end.momentum
        marks, turning = _compare(marks, old.leaves, end.momentum, old.total, total)
        accepted = old.accepted + jnp.minimum(1.0, jnp.exp(gain))
        return Branch(end, choice, weight, total, accepted, old.leaves + 1, turning, -gain > _DIVERGENCE), marks, luck

    branch, _, luck = jax.lax.while_loop(going, leaf, (first, Marks(room, room), tree.luck))
    return branch, luck


def _compare(
    marks: Marks, leaf: Int[Array, ""], momentum: Array, before: Array, total: Array
) -> tuple[Marks, Bool[Array, ""]]:
    """Keep an even leaf, which begins subtrees; compare an odd one, which ends some, with those that began them.

    Leaf n begins or ends at level (number of ones in n // 2); an odd one ends as many subtrees as it has trailing ones.
    """
    level = jax.lax.population_count(leaf >> 1)
    even = leaf % 2 == 0
    kept = Marks(*(
        rows.at[level].set(jnp.where(even, row, rows[level]))
        for rows, row in zip(marks, (momentum, before), strict=True)
    ))  # fmt: skip
    ends = jax.lax.population_count(leaf & ~(leaf + 1))
    number = jnp.arange(len(marks.momentum))
    ended = (number <= level) & (number > level - ends)
    turns = _turns(kept.momentum, momentum[None], total[None] - kept.before)
    return kept, (ended & turns).any()
