"""The order of a program's equations."""

import jax
import jax.numpy as jnp
from jax.extend import core

from vtrial.solve.lanes.schedule import scheduled


def test_directions_come_one_after_the_other():
    """Values first, then all that direction 0 needs, then direction 1; what nothing needs is left out."""

    def program(x):
        jnp.tan(x)  # not needed
        first = {0: jnp.sin(x), 1: jnp.exp(x)}
        second = {0: jnp.cos(first[0]), 1: jnp.log(first[1])}
        return ((x * 2.0, first), (x + 1.0, second))

    closed, shape = jax.make_jaxpr(program, return_shape=True)(0.5)
    found = scheduled(closed, shape)
    assert [e.primitive.name for e in found.jaxpr.eqns] == ["mul", "add", "sin", "cos", "exp", "log"]
    assert core.jaxpr_as_fun(found)(0.5) == jax.tree.leaves(program(0.5))
