"""Data sets of one design fitted by a Markov chain method as a study would fit each, by programs compiled once.

What is measured is an argument of these programs, and so are the numbers of the Laplace fit that each data set's chains
begin with: the coordinates they walk in are its own. A study whose Laplace fit fails goes on without it; a data set
here is then counted as not fitted, which depends on its data alone, so that ranks of the others stay uniform.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from vtrial import keys
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.inference.centring import centred, told
from vtrial.inference.density import Point, UnconstrainedDensity
from vtrial.inference.marginal import Fit, Marginal, Moved, medians
from vtrial.inference.mcmc import AbstractMarkovChain, sampler
from vtrial.inference.walk import Kernel, strong
from vtrial.inference.whitening import Whitened, root
from vtrial.likelihood import StatisticalModel
from vtrial.population.centring import Told

_BATCH = 250
"""Draws put into their own scale at once."""

type Measured = Mapping[str, Float[Array, "*replicate obs"]]
"""Measured values by output; of one that is the time of an event, that time of each subject."""
type Quantities = Callable[[Mapping[str, Array], Measured], Float[Array, " quantity"]]
"""What is kept of a draw of all sites, given what was measured."""
type Known = tuple[Fit, tuple[tuple[Array | np.ndarray, ...], ...]]
"""A Laplace fit, and the numbers of each `Told` by it; of several data sets [replicate ...]."""


class Fitted(NamedTuple):
    """Fits of several data sets."""

    columns: np.ndarray
    """Draws [replicate chain draw quantity]."""
    diverging: np.ndarray
    """Share of the draws that diverged."""
    trouble: list[str]
    """Why there is no fit; "" if there is one."""


class Refit:
    """Fits data sets of one design: a Laplace fit of each, then the chains of all of them side by side."""

    def __init__(
        self,
        method: AbstractMarkovChain,
        statistical: StatisticalModel,
        data: Dataset,
        observed: Callable[[Measured], Dataset],
        quantities: Quantities,
        count: int,
    ):
        """Prepare.

        Args:
            method: the sampler.
            statistical: the model.
            data: of the design; of what was measured, how effects are grouped follows.
            observed: returns the data with other measured values.
            quantities: what is kept of each draw.
            count: how many numbers these are.
        """
        self._method, self._observed, self._quantities, self._count = method, observed, quantities, count
        # How effects are grouped is as for the data of the study: one program has one structure.
        self._statistical, _ = centred(statistical, data, method.centring)
        self._groups = tuple(some.effects for some in self._statistical.centring)
        begins = method.centring == "auto" and statistical.population.effects
        self._marginal = Marginal(statistical, data, "interaction") if begins else None
        self._medians = medians(self._marginal) if self._marginal else np.zeros(0)
        self._slope = jax.jit(self._slope_of)
        self.program = jax.jit(jax.vmap(self._fitted))
        """The chains of several data sets."""

    def __call__(self, each: Key[Array, " replicate"], values: Measured) -> Fitted:
        """Fit data sets, given a key for each and what is measured in it."""
        looks = [self._look({o: jnp.asarray(v[i]) for o, v in values.items()}) for i in range(len(each))]
        good = next((fit for fit, why in looks if not why), None)
        if self._marginal is not None and good is None:
            shape = (len(each), self._method.chains, self._method.draws, self._count)
            return Fitted(np.full(shape, np.nan), np.full(len(each), np.nan), [why for _, why in looks])
        # A data set without a sound fit has another's, so that all go through one program; it does not count.
        known = [self._known(good if why else fit) for fit, why in looks]
        stacked = jax.tree.map(lambda *one: jnp.stack([jnp.asarray(x, float) for x in one]), *known)
        columns, diverging, started = self.program(each, dict(values), stacked)
        lost = ["" if begun else "no density where chains start" for begun in np.asarray(started)]
        trouble = [why or then for (_, why), then in zip(looks, lost, strict=True)]
        return Fitted(np.asarray(columns), np.asarray(diverging), trouble)

    def _look(self, values: Measured) -> tuple[Fit | None, str]:
        """Return the Laplace fit of a data set, and what is wrong with it, if anything is."""
        if self._marginal is None:
            return None, ""
        try:
            fit = self._marginal.fit(self._medians, partial(self._slope, values))
            for part in (fit.covariance, fit.subjects.covariance):
                np.linalg.cholesky(part)
        except UserError:
            return None, "no density at the prior medians"
        except np.linalg.LinAlgError:
            return None, "the Laplace fit has no width"
        sound = all(np.isfinite(part).all() for part in (fit.covariance, fit.subjects.covariance))
        return fit, "" if sound else "the Laplace fit has no width"

    def _known(self, fit: Fit | None) -> Known | None:
        """Return the numbers that the coordinates of a data set are made of."""
        if fit is None or self._marginal is None:
            return None
        return fit, tuple((own.root, own.around, own.seen) for own in told(self._marginal, fit, self._groups))

    def _slope_of(self, values: Measured, vector: Array, start: Array) -> tuple[Array, Array, Moved]:
        """Return what `Marginal.slope` does of other measured values."""
        assert self._marginal is not None
        return Marginal(self._marginal.statistical, self._observed(values), "interaction").slope(vector, start)

    def _fitted(
        self, key: Key[Array, ""], values: Measured, known: Known | None
    ) -> tuple[Array, Array, Bool[Array, ""]]:
        """Return draws [chain draw quantity], the share that diverged, and whether every chain could start."""
        method, statistical, data, fit = self._method, self._statistical, self._observed(values), None
        if known is not None:
            fit, numbers = known
            centring = tuple(Told(names, *each) for names, each in zip(self._groups, numbers, strict=True))
            statistical = dataclasses.replace(statistical, centring=centring)
        density = UnconstrainedDensity(statistical.joint(data))
        white = None if fit is None else Whitened(density, *root(density, statistical, data, fit))
        begin, started = self._starts(keys.named(key, "start"), density, statistical, white)
        target = white if method.whitening and white is not None else density
        kernel = sampler(method, statistical, data, density, target, fit)
        each = keys.numbered(keys.named(key, "chains"), method.chains)
        points, diverging = _walked(kernel, each, begin, method.warmup, method.draws)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), points)

        def one(point: Point) -> Float[Array, " quantity"]:
            return self._quantities(density.constrain(point), values)

        count = method.chains * method.draws
        columns = jax.lax.map(one, flat, batch_size=min(_BATCH, count))
        return columns.reshape(method.chains, method.draws, -1), diverging.mean(), started

    def _starts(
        self,
        key: Key[Array, ""],
        density: UnconstrainedDensity,
        statistical: StatisticalModel,
        white: Whitened | None,
    ) -> tuple[Point, Bool[Array, ""]]:
        """Return a start for each chain, at the centre where there is no density near."""
        each, typical = keys.numbered(key, self._method.chains), statistical.starts()
        if white is not None and self._method.start == "fit":
            near = jax.vmap(lambda one: white.near(one, 1.0))(each)
            centre = white.near(key, 0.0)
        else:
            near = jax.vmap(lambda one: density.near(one, typical, self._method.jitter))(each)
            centre = density.centre(typical)
        tried = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), near, centre)
        good = jnp.isfinite(jax.vmap(density.potential)(tried))
        found = jax.tree.map(lambda x: jnp.where(good[:-1].reshape(-1, *[1] * (x.ndim - 1)), x[:-1], x[-1:]), tried)
        return found, (good[:-1] | good[-1]).all()


def _walked(
    kernel: Kernel, each: Array, begin: Point, warmup: int, draws: int
) -> tuple[Point, Bool[Array, "chain draw"]]:
    """Run warm-up and sampling of all chains within one program; return points and divergences [chain draw ...]."""

    def run(state: Any) -> Any:
        shape = jax.eval_shape(kernel.step, state)[1]
        room = jax.tree.map(lambda x: jnp.zeros((draws, *x.shape), x.dtype), (shape.point, shape.fields["diverging"]))

        def one(i: Array, carry: Any) -> Any:
            # All are one loop, so that the step is compiled once: draw 0 is overwritten at last. Step 0 only begins.
            state, kept = carry
            state, draw = kernel.step(state)
            place, fresh = jnp.maximum(i - 1 - warmup, 0), (draw.point, draw.fields["diverging"])
            return state, jax.tree.map(lambda all_, x: all_.at[place].set(x), kept, fresh)

        return jax.lax.fori_loop(0, 1 + warmup + draws, one, (state, room))[1]

    state = jax.tree.map(strong, kernel.init(each, begin))
    if kernel.over is not None:
        over = jax.vmap if kernel.over is jax.vmap else _in_order
        return over(run)(state)
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), run(state))


def _in_order(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda states: jax.lax.map(run, states)
