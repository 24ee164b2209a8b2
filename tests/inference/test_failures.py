"""Solves that fail where chains go are counted by subject, code and phase."""

import jax.numpy as jnp
import numpy as np

from vtrial.inference.failures import Failures


def test_each_lost_position_is_solved_once_more():
    """At x subject 1 fails with code 2 where x[0] > 0, subject 2 with code 4 where x[1] > 0."""
    found = Failures(lambda x: jnp.array([0, 2, 4]) * jnp.array([False, x[0] > 0, x[1] > 0]), 3)
    lost = np.full((2, 3, 2), np.nan)
    lost[0, 1], lost[1, 0], lost[1, 2] = (1.0, -1.0), (1.0, 1.0), (-1.0, -1.0)
    found.add("warm-up", lost)
    found.add("sampling", lost[:1])
    assert np.argwhere(found.counts).tolist() == [[0, 1, 2], [0, 2, 4], [1, 1, 2]]
    assert found.counts[0, 1, 2] == 2
    assert found.counts.sum() == 4
