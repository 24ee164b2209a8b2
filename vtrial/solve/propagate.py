"""The exact way of a linear model over an interval: a closed form where its structure has one, else the ladder."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial._types import Named
from vtrial.model import AbstractModel
from vtrial.solve.base import rate_vector
from vtrial.solve.exact.ladder import climb, ladder
from vtrial.solve.exact.paths import Paths, carry, nodes, plan
from vtrial.solve.exact.structure import blocks, drives, signs
from vtrial.solve.exact.two import carry_two
from vtrial.solve.lanes.jacobian import elimination

type Amounts = tuple[Array, ...]
"""One number for each state, then one for the input rate of each state that may have one."""
type Way = Callable[[Array, Amounts], Amounts]
"""(interval, amounts and input rates) -> amounts after the interval."""


_WORK = 1000
"""Most products of an elimination that is written out: some twenty states that all drive each other."""


class Form(NamedTuple):
    """How a model is carried, as its structure alone tells."""

    paths: Paths | None
    """The plan of the closed form; None for the ladder."""
    pair: bool
    """Whether the model is two states without input, whose closed form may oscillate too."""
    infused: tuple[int, ...]
    sparse: bool
    """Whether a linear system with the rates takes little enough work to be written out."""

    @property
    def ladder(self) -> bool:
        """Whether the ladder carries the model."""
        return self.paths is None and not self.pair

    @property
    def sentence(self) -> str:
        """What carries the model."""
        if self.pair:
            return "the closed form of two states"
        if self.paths is None:
            return "a rational approximation of the matrix exponential" if self.sparse else "a ladder of its squares"
        sizes = [str(count) for block, count in zip(self.paths.blocks, self.paths.roots, strict=True)]
        return f"a closed form (blocks of {', '.join(sizes)} eigenvalue(s))"


def rate_matrix(model: AbstractModel, p: Named) -> Float[Array, "state state"]:
    """Return the derivative of the rates with respect to the states: constant for a linear model."""
    zero = jnp.zeros(len(model.states))
    return jax.jacfwd(lambda y: rate_vector(model, jnp.asarray(0.0), y, p))(zero)


def form(model: AbstractModel, p: Named, infused: tuple[int, ...]) -> Form:
    """Return how a model with inputs into some states is carried; the values of the parameters do not matter.

    It is worked out once for equal models, unless their fields are arrays, which have no hash.
    """
    names = tuple(sorted(p))
    try:
        return _form(model, names, infused)
    except TypeError:
        return _form.__wrapped__(model, names, infused)


@cache
def _form(model: AbstractModel, names: tuple[str, ...], infused: tuple[int, ...]) -> Form:
    links = drives(model, names)
    found = blocks(links, lambda columns: signs(model, names, columns))
    paths = plan(found, links, infused)
    work = sum(
        len(pivot.rows) * len(pivot.columns) for pivot in elimination(map(tuple, np.argwhere(links)), len(links))
    )
    return Form(paths, paths is None and len(links) == 2 and not infused, infused, work <= _WORK)


def propagator(model: AbstractModel, p: Named, form: Form, step: Float[Array, ""]) -> Way:
    """Return the way of a model with constant parameters over an interval.

    Args:
        model: a linear one.
        p: its parameters.
        form: what `form` found.
        step: the ladder's `smallest_step`.
    """
    rate = rate_matrix(model, p)
    if form.pair:
        return lambda h, y: carry_two(rate, h, y)
    if (paths := form.paths) is not None:
        roots = nodes(paths, rate)
        return lambda h, y: carry(paths, rate, roots, h, y)
    steps = ladder(with_inputs(rate, form.infused), step)
    return lambda h, y: tuple(climb(steps, h[None], jnp.stack(y)[:, None])[: len(rate), 0])


def with_inputs(rate: Float[Array, "state state"], infused: tuple[int, ...]) -> Float[Array, "all all"]:
    """Return the rate matrix of the states and of inputs, which are states of their own that do not change."""
    size = len(rate)
    whole = jnp.zeros((size + len(infused),) * 2).at[:size, :size].set(rate)
    for k, i in enumerate(infused):
        whole = whole.at[i, size + k].set(1.0)
    return whole
