"""The density of the population level with the subjects' random effects integrated out, by Laplace's method."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key
from scipy.optimize import minimize

from vtrial import keys
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.inference.ahead import Ahead
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.inner import Inner, Modes, differentiable
from vtrial.inference.proposal import draw_t, log_t
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)

_STEP = 3e-3
"""Step of the central differences, on the unconstrained scale: errors of solvers (1e-6) stay small against it."""
_SHARE = 0.3
"""Step of the differences of the gradient around the maximum, as a share of the width there."""
_CLIMBS = 3
"""At most so often the search begins again, with the curvature where it stopped."""
_LEFT = 0.1
"""A maximum is found where a Newton step promises to gain less than half of this."""
_BESIDE = 2
"""Gradients computed side by side."""
_NOWHERE = 1e12
"""What the line search is told where there is no density."""


class Subjects(NamedTuple):
    """The subjects' standardised random effects given data and population level, over all classes, as a normal."""

    mean: np.ndarray
    """[subject latent]; 0 before the data."""
    covariance: np.ndarray
    """[subject latent latent]; 1 before the data."""
    along: np.ndarray
    """How the mean moves with the population level [subject latent coordinate]."""


class InClasses(NamedTuple):
    """The subjects' standardised random effects given the class as well, as normals; one class if there are none."""

    mean: np.ndarray
    """[class subject latent]."""
    covariance: np.ndarray
    """[class subject latent latent]."""
    along: np.ndarray
    """How the mean moves with the population level [class subject latent coordinate]."""
    probability: np.ndarray
    """Of the class given the subject's data [class subject]."""

    def joined(self) -> Subjects:
        """Return the normal of each subject, that of each class counted by its probability."""
        weight = self.probability[..., None]
        mean = (weight * self.mean).sum(0)
        away = self.mean - mean
        between = away[..., :, None] * away[..., None, :]
        covariance = (weight[..., None] * (self.covariance + between)).sum(0)
        return Subjects(mean, covariance, (weight[..., None] * self.along).sum(0))


class Fit(NamedTuple):
    """The greatest density of the population level, and how it falls off around."""

    vector: np.ndarray
    """Where it is [coordinate], on the unconstrained scale."""
    covariance: np.ndarray
    """Inverse of minus the second derivative there [coordinate coordinate]."""
    classes: InClasses
    """The subjects' random effects there, in each class."""
    subjects: Subjects
    """These over all classes."""
    objective: float
    """Minus twice the approximate log-likelihood there, without its constant: NONMEM's objective function."""
    evaluations: int

    @property
    def latent(self) -> np.ndarray:
        """Modes of the subjects' standardised random effects [row latent], rows as in `Inner`."""
        return self.classes.mean.reshape(-1, self.classes.mean.shape[-1])

    @property
    def spread(self) -> np.ndarray:
        """Variances of the random effects given data and population level [subject latent]; 1 before the data."""
        return np.diagonal(self.subjects.covariance, axis1=1, axis2=2)


class Moved(NamedTuple):
    """Modes of the subjects' random effects, and how they move."""

    modes: Modes
    latent: Float[Array, "row latent"]
    """Nearer to the modes than the search went."""
    along: Float[Array, "row latent coordinate"]
    """Derivatives with respect to the population level."""


class Marginal:
    """The approximate posterior of the population level, or its likelihood.

    log p(y) of a subject is taken as log p(y, z) + n/2 log 2pi - 1/2 log det H at the mode z of its n standardised
    random effects, H being the curvature of `Inner`. Of a population with classes p(y) is the sum over them, each with
    its share and a mode of its own, as in NONMEM. Sources: Tierney and Kadane 1986, doi:10.1080/01621459.1986.10478240;
    Wang 2007, doi:10.1007/s10928-007-9060-6.
    """

    def __init__(self, statistical: StatisticalModel, data: Dataset, curvature: str, *, prior: bool = True):
        """Prepare.

        Args:
            statistical: the model.
            data: the observed data.
            curvature: "interaction" or "laplace", see `Inner`.
            prior: False leaves the prior of the population level out: the maximum is that of the likelihood.

        Raises:
            UserError: exact curvature is asked for with a solver that has no second derivatives.
        """
        smooth = differentiable(statistical, data)
        if curvature == "laplace" and smooth is None:
            raise UserError(
                "inference.curvature=laplace needs second derivatives of the predictions, which this solver has not; "
                "use inference.curvature=interaction, which needs first ones only."
            )
        exact = curvature == "laplace" and smooth is not None
        self.statistical, self.data, self._with_prior = statistical, data, prior
        self.inner = Inner(smooth if exact and smooth is not None else statistical, data, curvature)
        self.density = UnconstrainedDensity(statistical.population_level(data))
        self._constant = sum(len(seen.value) for seen in data.observations.values()) * float(np.log(2 * np.pi))
        self.value = jax.jit(self._value)
        self.slope = jax.jit(self._slope)
        self.steps = jax.jit(self._steps)
        self.drawn = jax.jit(self.draw)
        """`draw`, compiled."""
        self.factored = jax.jit(lambda vector: statistical.population.factor(self.draw(vector)))
        """The Cholesky factor of OMEGA at a vector."""
        self.judged = jax.jit(self._judged)

    def draw(self, vector: Float[Array, " coordinate"]) -> dict[str, Array]:
        """Return the numbers of the population level by site."""
        return self.density.constrain(self.density.point(vector))

    def modes(self, vector: Float[Array, " coordinate"], start: Float[Array, "row latent"]) -> Modes:
        """Return the modes of the subjects, in each class."""
        return self.inner.modes(self.draw(vector), start)

    def each(self, draw: Values, modes: Modes) -> Float[Array, " subject"]:
        """Return each subject's approximate log-likelihood; -inf where there is none."""
        return logsumexp(self._classes(draw, modes), axis=0)

    def _classes(self, draw: Values, modes: Modes) -> Float[Array, "class subject"]:
        """Return the log of each class's share times the approximate likelihood in it."""
        sign, size = jnp.linalg.slogdet(modes.curvature)
        found = modes.height + 0.5 * self.inner.size * jnp.log(2 * jnp.pi) - 0.5 * size
        usable = jnp.where((sign > 0) & jnp.isfinite(found), found, -jnp.inf)
        return usable.reshape(self.inner.classes, -1) + self._log_shares(draw)[:, None]

    def _log_shares(self, draw: Values) -> Float[Array, " class"]:
        mixture = self.statistical.population.mixture
        return mixture.log_shares(draw) if mixture else jnp.zeros(1)

    def _prior(self, vector: Float[Array, " coordinate"]) -> Float[Array, ""]:
        found = self.density.potential(self.density.point(vector))
        return found if self._with_prior else jnp.zeros_like(found)

    def _value(
        self, vector: Float[Array, " coordinate"], start: Float[Array, "row latent"]
    ) -> tuple[Float[Array, ""], Modes]:
        """Return minus the log density up to a constant, and the modes."""
        modes = self.modes(vector, start)
        return self._prior(vector) - self.each(self.draw(vector), modes).sum(), modes

    def _slope(
        self, vector: Float[Array, " coordinate"], start: Float[Array, "row latent"]
    ) -> tuple[Float[Array, ""], Float[Array, " coordinate"], Moved]:
        """Return value, gradient, and the modes with their derivatives.

        At a mode the height changes with the population level alone (envelope theorem): its derivative is exact. That
        of log det H is the sum of what changes H: the population level, and the modes, which move by the implicit
        function theorem. The derivatives of H and of the height's gradient, which this takes, are differences: so first
        derivatives of the model are enough. Classes count by their probabilities given the subject's data.
        """
        value, modes = self._value(vector, start)
        weight = jax.nn.softmax(self._classes(self.draw(vector), modes), axis=0).reshape(-1)
        bend, turn = self._bends(vector, modes.latent)
        size = 0.5 * jnp.einsum("ijk,ikjc->ic", jnp.linalg.inv(modes.curvature), bend)
        count, observed = len(vector), _observed(turn[..., len(vector) :], modes.curvature)
        # The search ends a little off the mode, so that log det H has an error: a last step by the true curvature.
        step = jnp.linalg.solve(observed, modes.gradient[..., None])[..., 0]
        step = jnp.where(modes.found[:, None] & jnp.isfinite(step), step, 0.0)
        value = value + weight @ ((size[:, count:] - 0.5 * modes.gradient) * step).sum(1)

        def height(vector: Float[Array, " coordinate"]) -> Float[Array, ""]:
            draw = self.draw(vector)
            shares = jnp.repeat(self._log_shares(draw), len(self.data.subjects))
            return self._prior(vector) - (weight * (self.inner.log_density(draw, modes.latent + step) + shares)).sum()

        along = jnp.linalg.solve(observed, turn[..., :count])
        total = size[:, :count] + jnp.einsum("ij,ijc->ic", size[:, count:], along)
        return value, jax.grad(height)(vector) + weight @ total, Moved(modes, modes.latent + step, along)

    def _bends(
        self, vector: Float[Array, " coordinate"], latent: Float[Array, "row latent"]
    ) -> tuple[Float[Array, "row latent latent both"], Float[Array, "row latent both"]]:
        """Return how curvature and gradient change with each coordinate of the population level, then each effect."""
        count = len(vector)
        steps = jnp.concatenate([self.steps(vector, latent), jnp.full(self.inner.size, _STEP)])

        def shape(side: Float[Array, " both"]) -> tuple[Array, Array]:
            return self.inner.shape(self.draw(vector + side[:count]), latent + side[count:])

        sides = jnp.diag(steps)
        slopes, curvatures = jax.lax.map(shape, jnp.concatenate([sides, -sides]))
        found = []
        for part in (curvatures, slopes):
            above, below = jnp.split(part, 2)
            width = (2.0 * steps).reshape(-1, *[1] * (part.ndim - 1))
            found.append(jnp.moveaxis((above - below) / width, 0, -1))
        return found[0], found[1]

    def _steps(
        self, vector: Float[Array, " coordinate"], latent: Float[Array, "row latent"]
    ) -> Float[Array, " coordinate"]:
        """Return steps for differences, short where a coordinate moves somebody's parameters far, as slopes do."""
        moves = jax.jacfwd(lambda v: self.inner.parameters(self.draw(v), latent))(vector)
        here = self.inner.parameters(self.draw(vector), latent)[..., None]
        far = jnp.where(here == 0, 0.0, jnp.abs(moves / jnp.where(here == 0, 1.0, here)))
        return _STEP / jnp.maximum(1.0, far.max(axis=(0, 1)))

    def objective(self, draw: Mapping[str, float] | Values) -> np.ndarray:
        """Return NONMEM's objective function of each subject at stated values of the population level."""
        start, known = self._nowhere(), {name: jnp.asarray(value) for name, value in draw.items()}
        modes = jax.jit(self.inner.modes)(known, start)
        count = np.zeros(len(self.data.subjects))
        for seen in self.data.observations.values():
            np.add.at(count, seen.subject, np.log(2 * np.pi))
        return -2.0 * np.asarray(self.each(known, modes)) - count

    def _nowhere(self) -> Float[Array, "row latent"]:
        """Return random effects of nothing."""
        return jnp.zeros((self.inner.rows, self.inner.size))

    def fit(self, start: np.ndarray, slopes: Callable[..., Any] | None = None) -> Fit:
        """Find the maximum from a vector by BFGS, and the curvature there by differences of the gradient.

        Args:
            start: the vector.
            slopes: what stands for `slope`, of other measured values of the same design; left out, `slope`.

        Raises:
            UserError: there is no density at the start.
        """
        seen = {"latent": self._nowhere(), "best": np.inf, "count": 0}
        slopes = slopes or Ahead(self.slope, jnp.asarray(start), seen["latent"])
        # Coordinates that move parameters far, such as slopes, are measured in smaller units.
        unit = np.asarray(self.steps(jnp.asarray(start), seen["latent"])) / _STEP

        def value(u: np.ndarray) -> tuple[float, np.ndarray]:
            height, slope, moved = slopes(jnp.asarray(u * unit), seen["latent"])
            seen["count"] += 1
            gradient = np.asarray(slope)
            if not (np.isfinite(height) and np.isfinite(gradient).all()):
                return _NOWHERE, np.zeros_like(u)
            if height < seen["best"]:
                seen["best"], seen["latent"] = float(height), moved.latent
            return float(height), gradient * unit

        if value(start / unit)[0] == _NOWHERE:
            raise UserError(
                "The population level has no density at the prior medians: a solve fails there, or the data cannot be. "
                "Compare priors, units and doses with the data."
            )
        top, inverse = start / unit, np.eye(len(start))
        for _ in range(_CLIMBS):
            options = {"gtol": 5e-3, "maxiter": 500, "hess_inv0": inverse}
            found = minimize(value, top, jac=True, method="BFGS", options=options)
            top, width = found.x, np.sqrt(np.diagonal(found.hess_inv))
            inverse = _inverse(_curvature(slopes, top, unit, width, seen["latent"]))
            seen["count"] += 2 * len(top)
            if found.jac @ inverse @ found.jac < _LEFT:
                break
        moved = slopes(jnp.asarray(top * unit), seen["latent"])[2]
        return self._fit(top * unit, inverse * np.outer(unit, unit), moved, seen["count"])

    def _fit(self, top: np.ndarray, covariance: np.ndarray, moved: Moved, count: int) -> Fit:
        """Return the fit with a maximum, a covariance and modes there."""
        at = jnp.asarray(top)
        modes = moved.modes
        height, probability = (np.asarray(one) for one in self.judged(at, modes))
        objective = -2.0 * float(height) - self._constant
        classes = self._in_classes(probability, modes, np.asarray(moved.along))
        return Fit(top, covariance, classes, classes.joined(), objective, count)

    def _judged(
        self, vector: Float[Array, " coordinate"], modes: Modes
    ) -> tuple[Float[Array, ""], Float[Array, "class subject"]]:
        """Return the approximate log-likelihood, and the probability of each class given the subject's data."""
        classes = self._classes(self.draw(vector), modes)
        return logsumexp(classes, axis=0).sum(), jax.nn.softmax(classes, axis=0)

    def _in_classes(
        self, probability: Float[np.ndarray, "class subject"], modes: Modes, along: np.ndarray
    ) -> InClasses:
        """Return the normal of each subject's random effects in each class."""
        shape = (self.inner.classes, len(self.data.subjects), self.inner.size)
        covariance = np.linalg.inv(np.asarray(modes.curvature)).reshape(*shape, self.inner.size)
        mean = np.asarray(modes.latent).reshape(shape)
        return InClasses(mean, covariance, along.reshape(*shape, -1), probability)

    def importance(
        self,
        key: Key[Array, ""],
        vector: Float[Array, " coordinate"],
        start: Float[Array, "row latent"],
        count: int,
    ) -> tuple[Float[Array, "subject sample"], Float[Array, "subject latent"]]:
        """Sample each subject's random effects around its mode, so many times in each class.

        Returns:
            The log weights, whose sum over `count` is the subject's likelihood, and one sample of each subject drawn by
            them.
        """
        draw = self.draw(vector)
        modes = self.inner.modes(draw, start)
        factor = jax.vmap(lambda h: jnp.linalg.cholesky(jnp.linalg.inv(h)))(modes.curvature)
        standard = draw_t(key, (count, *start.shape))
        samples = modes.latent + jnp.einsum("ijk,sik->sij", factor, standard)
        size = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(-1)
        log_q = log_t(standard) - size
        log_p = jax.lax.map(partial(self.inner.log_density, draw), samples)
        people = len(self.data.subjects)
        shares = jnp.repeat(self._log_shares(draw), people)
        weights = jnp.where(jnp.isnan(log_p), -jnp.inf, log_p) - log_q + shares
        # Samples of all classes are samples of the subject.
        weights = weights.reshape(count * self.inner.classes, people)
        samples = samples.reshape(count * self.inner.classes, people, -1)
        each = keys.numbered(keys.named(key, "choice"), people)
        chosen = jax.vmap(lambda k, w: jax.random.categorical(k, w))(each, weights.T)
        return weights.T, jnp.take_along_axis(samples, chosen[None, :, None], axis=0)[0]


def first_look(marginal: Marginal) -> Fit:
    """Return the maximum from the prior medians, and say what it is in the log."""
    fit = marginal.fit(medians(marginal))
    words = "           Laplace fit: NONMEM's objective function %.2f after %d evaluations"
    log.info(words, fit.objective, fit.evaluations)
    return fit


def medians(marginal: Marginal) -> np.ndarray:
    """Return the prior medians as a vector."""
    return np.asarray(marginal.density.vector(marginal.density.centre(marginal.statistical.starts())))


def _observed(
    turn: Float[Array, "row latent latent"], curvature: Float[Array, "row latent latent"]
) -> Float[Array, "row latent latent"]:
    """Return minus the second derivative, given that of the gradient; the curvature where it is that of no mode."""
    found = -(turn + jnp.swapaxes(turn, 1, 2)) / 2
    steep = jnp.isfinite(jnp.linalg.cholesky(found)).all(axis=(1, 2))
    return jnp.where(steep[:, None, None], found, curvature)


def _curvature(
    slope: Callable[..., tuple[Array, Array, Moved]], top: np.ndarray, unit: np.ndarray, width: np.ndarray, start: Array
) -> np.ndarray:
    """Return the second derivative by differences of the gradient, coordinates and their widths in some units."""
    steps = _SHARE * np.minimum(width, 1.0)
    sides = np.concatenate([np.diag(steps), -np.diag(steps)])

    def at(side: np.ndarray) -> np.ndarray:
        return np.asarray(slope(jnp.asarray((top + side) * unit), start)[1]) * unit

    with ThreadPoolExecutor(_BESIDE) as beside:  # XLA computes without Python, and few subjects keep one core busy
        slopes = np.stack(list(beside.map(at, sides)))
    slopes = np.where(np.isfinite(slopes).all(axis=1, keepdims=True), slopes, 0.0)
    above, below = np.split(slopes, 2)
    curvature = (above - below) / (2.0 * steps[:, None])
    return (curvature + curvature.T) / 2


def _inverse(curvature: np.ndarray) -> np.ndarray:
    """Return the inverse of a symmetric matrix, directions in which it does not curve held at variance 1."""
    values, vectors = np.linalg.eigh(curvature)
    root = vectors / np.sqrt(np.where(values > 1e-3, values, 1.0))
    return root @ root.T
