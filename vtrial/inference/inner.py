"""The subjects' own problem: the density of their random effects given the population level, its modes and curvature.

Random effects are standardised: before OMEGA, with mean 0 and SD 1. All subjects are treated at once.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.likelihood import StatisticalModel
from vtrial.noise import AbstractGaussian
from vtrial.population import effects as random_effects
from vtrial.population.mixture import CLASS
from vtrial.solve import ResultCode, in_every_order

log = logging.getLogger(__name__)

CURVATURES = ("interaction", "laplace")
"""How the curvature at a mode is found: see `Inner`."""
_ITERATIONS = 60
_CLOSE = 1e-9
"""A mode is found where a Newton step changes the log density by less than this."""
_BESIDE = 1e-4
"""A Newton step that promises less is taken without a look at the density."""
_TELLS = 1e-8
"""Cosine of step and unexplained gradient from which the step tells of the curvature."""


class Modes(NamedTuple):
    """The mode of each subject's random effects, and the shape of the density there; rows as in `Inner`."""

    latent: Float[Array, "row latent"]
    gradient: Float[Array, "row latent"]
    """Of the log density there: nearly 0."""
    curvature: Float[Array, "row latent latent"]
    """Minus the second derivative of the log density, or what stands for it."""
    height: Float[Array, " row"]
    """Log density there."""
    found: Bool[Array, " row"]
    """Whether the search ended at a mode."""


class _Climb(NamedTuple):
    """Where the search for the modes is; rows as in `Inner`."""

    latent: Float[Array, "row latent"]
    height: Float[Array, " row"]
    damping: Float[Array, " row"]
    found: Bool[Array, " row"]
    before: Float[Array, "row latent"]
    """Where the iteration before began, and the gradient there."""
    gradient: Float[Array, "row latent"]
    curvature: Float[Array, "row latent latent"]
    """That there too."""
    lacking: Float[Array, "row latent latent"]
    """What the curvature seems to lack."""
    done: Bool[Array, " row"]
    """Whether gradient and curvature are those of the mode found."""
    count: Int[Array, ""]


class Inner:
    """Each subject's log density of its data and standardised random effects, given the population level.

    Where the population has classes, each subject has a row of its own for each class, whose density is that given the
    class: rows are subjects of the first class, then those of the next.

    The curvature is either the exact second derivative (`laplace`), or made of the first derivatives of the predictions
    and the information that one measurement has of its prediction (`interaction`, NONMEM's FOCE with interaction). For
    normal errors the information is the expected one, which NONMEM takes too, else the observed one.

    Source: Wang 2007, doi:10.1007/s10928-007-9060-6.
    """

    def __init__(self, statistical: StatisticalModel, data: Dataset, curvature: str):
        """Prepare for a model and its data; `laplace` needs a solver with second derivatives."""
        self.statistical, self.data, self.kind = statistical, data, curvature
        self.levels = statistical.levels(data)
        self.size = random_effects.latent_size(statistical.population, self.levels)
        mixture = statistical.population.mixture
        self.classes = len(mixture.names) if mixture else 1
        self.rows = self.classes * len(data.subjects)

    def named(self, draw: Values, latent: Float[Array, "subject latent"]) -> dict[str, Array]:
        """Return a draw of the population level together with these random effects, by site."""
        population = self.statistical.population
        factor = population.factor(draw)
        own = random_effects.from_latent(population, draw, factor, self.levels, latent)
        return {name: jnp.asarray(value) for name, value in draw.items()} | own

    def parameters(self, draw: Values, latent: Float[Array, "row latent"]) -> Float[Array, "row parameter"]:
        """Return the subjects' own parameters, those that vary with time at every row."""

        def own(draw: Values, latent: Float[Array, "subject latent"]) -> Float[Array, "subject parameter"]:
            p = self.statistical.same_subjects(self.named(draw, latent), self.data)
            return jnp.concatenate([value.reshape(len(value), -1) for value in p.values()], axis=1)

        return self._each_class(own, draw, latent)

    def _predict(self, draw: Values, latent: Float[Array, "subject latent"]):
        p = self.statistical.same_subjects(self.named(draw, latent), self.data)
        return self.statistical.predict(p, self.data)

    def _subject(self, name: str) -> np.ndarray:
        """Return the subject of each entry of a prediction, by its name in what `predict` returns."""
        return self.data.observations[self.statistical.observed_at(name, self.data)].subject

    def _each_class(self, function: Callable[[Values, Array], Any], draw: Values, latent: Float[Array, "row latent"]):
        """Return what a function of draw and random effects [subject latent] gives, for the rows of all classes."""
        if self.classes == 1:
            return function(draw, latent)
        people = len(self.data.subjects)

        def one(which: Array, mine: Float[Array, "subject latent"]):
            return function({**draw, CLASS: jnp.broadcast_to(which, people)}, mine)

        found = jax.vmap(one)(jnp.arange(self.classes), latent.reshape(self.classes, people, -1))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)

    def log_density(self, draw: Values, latent: Float[Array, "row latent"]) -> Float[Array, " row"]:
        """Return log p(data of the subject, random effects | population level); -inf where the solve fails."""
        return self._each_class(self._log_density, draw, latent)

    def _log_density(self, draw: Values, latent: Float[Array, "subject latent"]) -> Float[Array, " subject"]:
        whole = self.named(draw, latent)
        p = self.statistical.same_subjects(whole, self.data)
        each = self.statistical.subject_log_likelihood(p, whole, self.data)
        return each + random_effects.latent_log_density(self.statistical.population, latent)

    def shape(
        self, draw: Values, latent: Float[Array, "row latent"]
    ) -> tuple[Float[Array, "row latent"], Float[Array, "row latent latent"]]:
        """Return gradient and curvature of the log density."""
        if self.kind == "laplace":
            return self._exact(draw, latent)
        return self._each_class(self._of_predictions, draw, latent)

    def _of_predictions(
        self, draw: Values, latent: Float[Array, "subject latent"]
    ) -> tuple[Float[Array, "subject latent"], Float[Array, "subject latent latent"]]:
        """Return gradient and curvature by the derivatives of the predictions."""
        (predicted, code), push = jax.linearize(lambda z: self._predict(draw, z), latent)
        solved = code == ResultCode.SOLVED
        safe = {n: jnp.where(solved[self._subject(n)], value, 1.0) for n, value in predicted.items()}
        # All sides at once: written out one by one, the program would be several times as long to compile.
        sides = jnp.broadcast_to(jnp.eye(self.size)[:, None], (self.size, *latent.shape))
        columns = jax.vmap(lambda side: push(side)[0])(sides)
        columns = {n: jnp.where(solved[self._subject(n)], columns[n], 0.0) for n in safe}
        slope, information = self._information(draw, safe)
        own, curve = self._prior(latent)
        gradient = jax.vmap(partial(self._sum, slope))(columns).T + own
        weighted = jax.vmap(information)(columns)
        products = jax.vmap(lambda w: jax.vmap(partial(self._sum, w))(columns))(weighted)
        return gradient, jnp.moveaxis(products, -1, 0) + curve

    def _exact(self, draw: Values, latent: Float[Array, "row latent"]):
        slope = jax.grad(lambda z: self.log_density(draw, z).sum())
        gradient, push = jax.linearize(slope, latent)
        rows = [push(jnp.broadcast_to(side, latent.shape)) for side in jnp.eye(self.size)]
        return gradient, -jnp.stack(rows, -2)

    def _prior(self, latent: Float[Array, "subject latent"]):
        """Return gradient and curvature of the log density of the random effects themselves."""
        density = random_effects.latent_log_density
        slope, bend = jax.jvp(
            jax.grad(lambda z: density(self.statistical.population, z).sum()), (latent,), (jnp.ones_like(latent),)
        )
        return slope, -bend[..., None] * jnp.eye(self.size)

    def _sum(self, weight: dict[str, Array], column: dict[str, Array]) -> Float[Array, " subject"]:
        total = jnp.zeros(len(self.data.subjects))
        for name, value in weight.items():
            total = total.at[self._subject(name)].add(value * column[name])
        return total

    def _information(
        self, draw: Values, predicted: dict[str, Array]
    ) -> tuple[dict[str, Array], Callable[[dict[str, Array]], dict[str, Array]]]:
        """Return the log-likelihood's gradient in the predictions, and their information as a linear map."""

        def total(predicted: dict[str, Array]) -> Float[Array, ""]:
            found = self.statistical.log_likelihood(predicted, draw, self.data)
            return jnp.asarray(sum(each.sum() for each in found.values()))

        slope, push = jax.linearize(jax.grad(total), predicted)
        found = {o: self._expected(o, draw, predicted[o]) for o in self.statistical.noise}
        expected = {o: value for o, value in found.items() if value is not None}

        def information(column: dict[str, Array]) -> dict[str, Array]:
            observed = push(column)
            known = {o: e * column[o] for o, e in expected.items()}
            return {name: -value for name, value in observed.items()} | known

        return slope, information

    def _expected(self, output: str, draw: Values, prediction: Float[Array, " obs"]) -> Float[Array, " obs"] | None:
        """Return the expected information of each measurement; None where it is not simply normal."""
        noise, seen = self.statistical.noise[output], self.data.observations[output]
        censored = seen.censored  # not numbers where the values of many data sets are arguments of a program
        if not isinstance(noise, AbstractGaussian) or not isinstance(censored, np.ndarray) or censored.any():
            return None
        values = self.statistical.noise_values(output, draw)

        def parts(f: Float[Array, " obs"]) -> tuple[Array, Array]:
            law = noise.law(f, values)
            return law.location, law.scale

        (_, scale), (location_slope, scale_slope) = jax.jvp(parts, (prediction,), (jnp.ones_like(prediction),))
        return (location_slope / scale) ** 2 + 2.0 * (scale_slope / scale) ** 2

    def modes(self, draw: Values, start: Float[Array, "row latent"]) -> Modes:
        """Climb to the mode of each row by Newton's steps, damped where they do not climb.

        The curvature of predictions leaves out how they bend, and its steps may take hundreds of iterations: what it
        lacks is learnt from the gradients along the way (symmetric rank one, as in Conn, Gould and Toint 1991,
        doi:10.1007/BF01594934).
        """

        def step(at: _Climb) -> _Climb:
            gradient, curvature = self.shape(draw, at.latent)
            curvature = jnp.where(jnp.isfinite(curvature), curvature, 0.0)
            lacking = _learnt(at, gradient, curvature)
            move, sure = _newton(gradient, curvature, lacking, at.damping)
            there = at.latent + move
            new = self.log_density(draw, there)
            gain = jnp.einsum("ij,ij->i", gradient, move)
            # Beside a mode the heights of a numerical solution differ by its error more than by the step.
            up = (new >= at.height - 1e-12 * jnp.abs(at.height)) | (sure & (gain < _BESIDE))
            small = (gain < _CLOSE) & sure & (at.damping < 1e-3)
            ok = up & ~at.found & jnp.isfinite(new)
            less = jnp.where(at.damping < 1e-6, 0.0, at.damping / 10.0)
            return _Climb(
                latent=jnp.where(ok[:, None], there, at.latent),
                height=jnp.where(ok, new, at.height),
                damping=jnp.where(ok, less, jnp.maximum(4.0 * at.damping, 0.1)),
                found=at.found | small,
                before=at.latent,
                gradient=gradient,
                curvature=curvature,
                lacking=lacking,
                done=at.found,
                count=at.count + 1,
            )

        zero, height = jnp.zeros(self.rows), self.log_density(draw, start)
        flat, no = jnp.zeros((self.rows, self.size, self.size)), zero > 0
        first = _Climb(start, height, zero, no, start, jnp.zeros_like(start), flat, flat, no, jnp.zeros((), int))
        last = jax.lax.while_loop(lambda at: (at.count < _ITERATIONS) & ~at.done.all(), step, first)
        found = last.done & jnp.isfinite(last.height)
        return Modes(last.before, last.gradient, last.curvature, last.height, found)


def _learnt(at: _Climb, gradient: Array, curvature: Array) -> Float[Array, "row latent latent"]:
    """Return what the curvature lacks, corrected so that it explains the change of the gradient over the last step."""
    move = at.latent - at.before
    rest = at.gradient - gradient - jnp.einsum("ijk,ik->ij", curvature + at.lacking, move)
    along = jnp.einsum("ij,ij->i", rest, move)
    sizes = jnp.linalg.norm(rest, axis=-1) * jnp.linalg.norm(move, axis=-1)
    tells = (jnp.abs(along) > _TELLS * sizes) & jnp.isfinite(sizes)
    update = jnp.einsum("ij,ik->ijk", rest, rest) / jnp.where(tells, along, 1.0)[:, None, None]
    return jnp.where(tells[:, None, None], at.lacking + update, at.lacking)


def _newton(
    gradient: Array, curvature: Array, lacking: Array, damping: Array
) -> tuple[Float[Array, "row latent"], Bool[Array, " row"]]:
    """Return a Newton step uphill by the best curvature that is one, and whether there is any; else a short step."""
    short = gradient / (1.0 + jnp.abs(gradient).max(-1, keepdims=True))
    found, sure = short, jnp.zeros(len(damping), bool)
    for known in (curvature, curvature + lacking):
        factor = jnp.linalg.cholesky(known + damping[:, None, None] * jnp.eye(gradient.shape[-1]))
        step = jax.vmap(lambda c, g: jax.scipy.linalg.cho_solve((c, True), g))(factor, gradient)
        good = jnp.isfinite(step).all(-1)
        found, sure = jnp.where(good[:, None], step, found), sure | good
    return found, sure


def differentiable(statistical: StatisticalModel, data: Dataset) -> StatisticalModel | None:
    """Return the same model with a solver that has derivatives of every order; None if there is none as exact."""
    solver = in_every_order(statistical.solver, statistical.model, data.events.tables[0].carried)
    return None if solver is None else eqx.tree_at(lambda s: s.solver, statistical, solver)
