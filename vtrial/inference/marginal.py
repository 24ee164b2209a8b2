"""The density of the population level with the subjects' random effects integrated out, by Laplace's method."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

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
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.inner import Inner, Modes, differentiable
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)

_STEP = 3e-3
"""Step of the central differences, on the unconstrained scale: errors of solvers (1e-6) stay small against it."""
_NOWHERE = 1e12
"""What the line search is told where there is no density."""
_TAILS = 5.0
"""Degrees of freedom of the t distribution that importance samples of a subject's random effects come from."""


class Fit(NamedTuple):
    """The greatest density of the population level, and how it falls off around."""

    vector: np.ndarray
    """Where it is [coordinate], on the unconstrained scale."""
    covariance: np.ndarray
    """Inverse of minus the second derivative there [coordinate coordinate]."""
    latent: np.ndarray
    """Modes of the subjects' standardised random effects there [row latent], rows as in `Inner`."""
    spread: np.ndarray
    """Variances of these given the data and the population level [subject latent], over all classes; 1 before the data."""
    objective: float
    """Minus twice the approximate log-likelihood there, without its constant: NONMEM's objective function."""
    evaluations: int


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
    ) -> tuple[Float[Array, ""], Float[Array, " coordinate"], Float[Array, "row latent"]]:
        """Return value, gradient and modes.

        At a mode the height changes with the population level alone (envelope theorem): its derivative is exact, and
        only that of log det H is taken by differences, which needs no third derivatives of the model. Classes count by
        their probabilities given the subject's data.
        """
        value, modes = self._value(vector, start)
        weight = jax.nn.softmax(self._classes(self.draw(vector), modes), axis=0).reshape(-1)

        def height(vector: Float[Array, " coordinate"]) -> Float[Array, ""]:
            draw = self.draw(vector)
            shares = jnp.repeat(self._log_shares(draw), len(self.data.subjects))
            return self._prior(vector) - (weight * (self.inner.log_density(draw, modes.latent) + shares)).sum()

        def size(vector: Float[Array, " coordinate"]) -> Float[Array, ""]:
            curvature = self.inner.modes(self.draw(vector), modes.latent, modes.lacking).curvature
            return 0.5 * (weight * jnp.linalg.slogdet(curvature)[1]).sum()

        sides = _STEP * jnp.concatenate([jnp.eye(len(vector)), -jnp.eye(len(vector))])
        above, below = jnp.split(jax.lax.map(lambda side: size(vector + side), sides), 2)
        return value, jax.grad(height)(vector) + (above - below) / (2 * _STEP), modes.latent

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

    def fit(self, start: np.ndarray) -> Fit:
        """Find the maximum from a vector by BFGS, and the curvature there by differences of the gradient.

        Raises:
            UserError: there is no density at the start.
        """
        seen = {"latent": self._nowhere(), "best": np.inf, "count": 0}

        def value(x: np.ndarray) -> tuple[float, np.ndarray]:
            u, g, modes = self.slope(jnp.asarray(x), seen["latent"])
            seen["count"] += 1
            gradient = np.asarray(g)
            if not (np.isfinite(u) and np.isfinite(gradient).all()):
                return _NOWHERE, np.zeros_like(x)
            if u < seen["best"]:
                seen["best"], seen["latent"] = float(u), modes
            return float(u), gradient

        if value(start)[0] == _NOWHERE:
            raise UserError(
                "The population level has no density at the prior medians: a solve fails there, or the data cannot be. "
                "Compare priors, units and doses with the data."
            )
        found = minimize(value, start, jac=True, method="BFGS", options={"gtol": 1e-3, "maxiter": 500})
        top = np.asarray(found.x)
        sides = _STEP * 10.0 * np.eye(len(top))
        rows = [(value(top + side)[1] - value(top - side)[1]) / (2.0 * side.max()) for side in sides]
        curvature = np.stack(rows)
        _, modes = self.value(jnp.asarray(top), seen["latent"])
        objective = -2.0 * float(self.each(self.draw(jnp.asarray(top)), modes).sum()) - self._constant
        spread = self._spread(jnp.asarray(top), modes)
        return Fit(
            top,
            _inverse((curvature + curvature.T) / 2),
            np.asarray(modes.latent),
            spread,
            objective,
            int(seen["count"]),
        )

    def _spread(self, vector: Float[Array, " coordinate"], modes: Modes) -> np.ndarray:
        """Return the variance of each subject's random effects [subject latent]: within its classes and between them."""
        shape = (self.inner.classes, len(self.data.subjects), self.inner.size)
        within = np.stack([np.diag(np.linalg.inv(c)) for c in np.asarray(modes.curvature)]).reshape(shape)
        weight = np.asarray(jax.nn.softmax(self._classes(self.draw(vector), modes), axis=0))[..., None]
        middle = np.asarray(modes.latent).reshape(shape)
        return (weight * (within + (middle - (weight * middle).sum(0)) ** 2)).sum(0)

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
        normal = jax.random.normal(keys.named(key, "normal"), (count, *start.shape))
        wide = jax.random.chisquare(keys.named(key, "tails"), _TAILS, (count, len(start))) / _TAILS
        standard = normal / jnp.sqrt(wide)[..., None]
        samples = modes.latent + jnp.einsum("ijk,sik->sij", factor, standard)
        size = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(-1)
        log_q = _log_t(standard) - size
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
    start = marginal.density.vector(marginal.density.centre(marginal.statistical.starts()))
    fit = marginal.fit(np.asarray(start))
    log.info("           Laplace fit: objective %.2f after %d evaluations", fit.objective, fit.evaluations)
    return fit


def _log_t(x: Float[Array, "sample subject latent"]) -> Float[Array, "sample subject"]:
    """Return the log density of the standard multivariate t with `_TAILS` degrees of freedom."""
    n = x.shape[-1]
    half = 0.5 * (_TAILS + n)
    constant = jax.lax.lgamma(half) - jax.lax.lgamma(0.5 * _TAILS) - 0.5 * n * jnp.log(_TAILS * jnp.pi)
    return constant - half * jnp.log1p((x**2).sum(-1) / _TAILS)


def _inverse(curvature: np.ndarray) -> np.ndarray:
    """Return the inverse of a symmetric matrix, directions in which it does not curve held at variance 1."""
    values, vectors = np.linalg.eigh(curvature)
    return (vectors / np.where(values > 1e-3, values, 1.0)) @ vectors.T
