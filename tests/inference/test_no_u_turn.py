"""The tree of the no-U-turn sampler against one grown by recursion."""

import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.inference.no_u_turn import Marks, _compare, _turns


def turns(p):
    """Return whether a trajectory, or either half of it, or a half of those, has begun to come back."""
    if len(p) == 1:
        return False
    middle = p.sum(0) - (p[0] + p[-1]) / 2
    own = p[0] @ middle <= 0 or p[-1] @ middle <= 0
    return own or turns(p[: len(p) // 2]) or turns(p[len(p) // 2 :])


@pytest.mark.parametrize("seed", range(6))
def test_turns_are_found_at_the_leaf_that_ends_the_first_subtree_with_one(seed):
    """Momenta swing slower and slower by chance; subtrees begin at multiples of their length, a power of two."""
    random = np.random.default_rng(seed)
    angle = np.cumsum(random.uniform(0.0, 2.0 ** -random.uniform(0, 4), 32))
    p = np.stack([np.cos(angle), np.sin(angle)], 1)
    sizes = [2**k for k in range(1, 6)]
    subtrees = [(i + s, turns(p[i : i + s])) for s in sizes for i in range(0, 32, s)]
    expected = min((end for end, bad in subtrees if bad), default=None)
    marks, total, found = Marks(jnp.zeros((6, 2)), jnp.zeros((6, 2))), jnp.zeros(2), None
    for leaf, own in enumerate(jnp.asarray(p)):
        marks, turning = _compare(marks, jnp.asarray(leaf), own, total, total + own)
        total = total + own
        if turning and found is None:
            found = leaf + 1
    assert found == expected


def test_a_straight_trajectory_does_not_turn():
    assert not _turns(jnp.array([1.0, 0.0]), jnp.array([1.0, 0.1]), jnp.array([8.0, 0.4]))
