"""Restricted maximum likelihood for repeated measurements with any covariance, fitted by safeguarded Newton steps.

Patients measured at the same visits have the same covariance and form a group; what the data say is then the sum over
patients of products of their columns and outcomes, visit by visit. Visits that are missing are masked: a group's
covariance has a unit row there, its inverse a row of zeros.

Source of the likelihood: Harville 1977, doi:10.1080/01621459.1977.10480998.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial.statistics.linear import invert

STEPS = 50
"""Most Newton steps; those that converge take about six."""
_SHARES = (1.0, 0.5, 0.2, 0.04)
"""Of a step that are tried."""
_NEAR = 1e-6
"""Newton's decrement below which the deviance is not compared."""
_CLOSE = 1e-9
"""Newton's decrement, in units of the deviance, at which it has converged: quadratic, so the next is below rounding."""


class Groups(NamedTuple):
    """What the data say, by groups of patients with the same covariance."""

    known: Bool[Array, "group visit"]
    count: Float[Array, " group"]
    """Patients in it (or their weights)."""
    gram: Callable[[Float[Array, "group visit visit"]], Float[Array, "column+1 column+1"]]
    """Takes weights B to the sum over patients of [X, y]' B [X, y]; linear."""


class Profile(NamedTuple):
    """The likelihood at one covariance."""

    deviance: Float[Array, ""]
    """Minus two restricted log likelihoods; infinite if the covariance is not positive definite."""
    weight: Float[Array, "group visit visit"]
    """Inverse covariance among the known visits."""
    coefficient: Float[Array, " column"]
    covariance: Float[Array, "column column"]
    """Of the coefficients, at this covariance of outcomes."""
    estimable: Bool[Array, " column"]


class Solution(NamedTuple):
    """The part of it that a search needs."""

    deviance: Float[Array, ""]
    coefficient: Float[Array, " column"]
    covariance: Float[Array, "column column"]
    estimable: Bool[Array, " column"]


class Restricted(NamedTuple):
    """A model fitted by REML."""

    coefficient: Float[Array, " column"]
    covariance: Float[Array, "column column"]
    estimable: Bool[Array, " column"]
    theta: Float[Array, " theta"]
    """Parameters of the covariance of outcomes."""
    theta_covariance: Float[Array, "theta theta"]
    """Of them, from the observed information."""
    sensitivity: Float[Array, "theta column column"]
    """Derivatives of `covariance` in theta."""
    deviance: Float[Array, ""]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]


class Curvature(NamedTuple):
    """Derivatives of the deviance in theta."""

    gradient: Float[Array, " theta"]
    observed: Float[Array, "theta theta"]
    """The Hessian."""
    safe: Float[Array, "theta theta"]
    """A positive semidefinite one, for where the Hessian is not."""


def each(
    design: Float[Array, "patient visit column"],
    outcome: Float[Array, "patient visit"],
    known: Bool[Array, "patient visit"],
) -> Groups:
    """Return every patient as a group: for covariances, or columns, of the patient's own."""
    both = jnp.where(known[:, :, None], jnp.concatenate([design, outcome[:, :, None]], -1), 0.0)

    def gram(b: Float[Array, "patient visit visit"]) -> Float[Array, "all all"]:
        return jnp.einsum("pta,ptb->ab", jnp.einsum("psa,pst->pta", both, b), both)

    return Groups(known=known, count=jnp.ones(len(outcome), both.dtype), gram=gram)


def profile(covariance: Float[Array, "group visit visit"], groups: Groups) -> Profile:
    """Return the restricted likelihood, maximised over the coefficients."""
    both = groups.known[:, :, None] & groups.known[:, None, :]
    identity = jnp.broadcast_to(jnp.eye(both.shape[-1], dtype=covariance.dtype), both.shape)
    inverse, logarithm, definite = jax.vmap(invert)(jnp.where(both, covariance, identity))
    weight = jnp.where(both, inverse, 0.0)
    logarithm = (groups.count * logarithm).sum()
    measurements = (groups.count[:, None] * groups.known).sum()
    found = solve(groups.gram(weight), logarithm, measurements, definite.all())
    return Profile(found.deviance, weight, found.coefficient, found.covariance, found.estimable)


def solve(
    total: Float[Array, "all all"],
    logarithm: Float[Array, ""],
    measurements: Float[Array, ""] | Int[Array, ""],
    definite: Bool[Array, ""],
) -> Solution:
    """Return the restricted likelihood, maximised over the coefficients, from what all patients sum up to.

    Args:
        total: sum over patients of [X, y]' V^-1 [X, y].
        logarithm: that of the logarithms of the determinants of V.
        measurements: how many there are.
        definite: whether every V is positive definite.
    """
    error, precision, estimable = invert(total[:-1, :-1])
    solution = error @ total[:-1, -1]
    squares = total[-1, -1] - total[:-1, -1] @ solution
    constant = (measurements - estimable.sum()) * jnp.log(2 * jnp.pi)
    deviance = logarithm + precision + squares + constant
    return Solution(jnp.where(definite & jnp.isfinite(deviance), deviance, jnp.inf), solution, error, estimable)


class _Search(NamedTuple):
    theta: Array
    deviance: Array
    decrement: Array
    step: Array


def minimise(
    deviance: Callable[[Float[Array, " theta"]], Float[Array, ""]],
    curvature: Callable[[Float[Array, " theta"]], Curvature],
    start: Float[Array, " theta"],
    steps: int = STEPS,
) -> tuple[Float[Array, " theta"], Int[Array, ""], Bool[Array, ""]]:
    """Return where the deviance is least, the steps taken, and whether it converged.

    Of Newton's step, where the Hessian is positive definite, and of that by the safe one, the share that serves best is
    taken. Directions in which the deviance is flat are left alone.
    """

    def advance(search: _Search) -> _Search:
        gradient, observed, safe = curvature(search.theta)
        newton, _, convex = invert(observed)
        scoring, _, determined = invert(safe)
        scoring = -scoring @ gradient
        newton = jnp.where(convex.sum() >= determined.sum(), -newton @ gradient, scoring)
        trial = jnp.concatenate([search.theta[None] + share * jnp.stack([newton, scoring]) for share in _SHARES])
        value = jax.vmap(deviance)(trial)
        decrement = -gradient @ newton
        # Near the minimum rounding decides which value is less: a full step is right there.
        close = decrement < _NEAR
        chosen = jnp.where(close, 0, jnp.argmin(value))
        better = close | (value[chosen] < search.deviance)
        return _Search(
            theta=jnp.where(better, trial[chosen], search.theta),
            deviance=jnp.where(better, value[chosen], search.deviance),
            decrement=jnp.where(better, decrement, jnp.nan),
            step=search.step + 1,
        )

    def unfinished(search: _Search) -> Bool[Array, ""]:
        return (search.step < steps) & (search.decrement > _CLOSE)

    first = _Search(start, deviance(start), jnp.full((), jnp.inf, start.dtype), jnp.zeros((), int))
    last = jax.lax.while_loop(unfinished, advance, first)
    return last.theta, last.step, last.decrement <= _CLOSE


def fit(
    start: Float[Array, " theta"],
    covariance: Callable[[Float[Array, " theta"]], Float[Array, "group visit visit"]],
    groups: Groups,
    steps: int = STEPS,
) -> Restricted:
    """Fit a model whose covariance of outcomes is any differentiable function of theta, as with random slopes.

    Derivatives are automatic, and the safe Hessian has the absolute eigenvalues of the observed one.
    """
    return search(start, lambda theta: profile(covariance(theta), groups), steps)


def search(
    start: Float[Array, " theta"], at: Callable[[Float[Array, " theta"]], Solution | Profile], steps: int = STEPS
) -> Restricted:
    """Fit a model whose restricted likelihood is known at each theta; `fit` with covariances by another way."""

    def deviance(theta: Float[Array, " theta"]) -> Float[Array, ""]:
        return at(theta).deviance

    def slope(theta: Float[Array, " theta"]) -> tuple[Array, Array]:
        found = jax.jacfwd(deviance)(theta)  # theta is short: forward through the loops of `invert`, never back
        return found, found

    def curvature(theta: Float[Array, " theta"]) -> Curvature:
        observed, gradient = jax.jacfwd(slope, has_aux=True)(theta)
        value, vector = jnp.linalg.eigh(observed)
        return Curvature(gradient, observed, (vector * jnp.abs(value)[None]) @ vector.T)

    def ending(theta: Float[Array, " theta"]) -> tuple[tuple[Array, Array], Solution | Profile]:
        found = at(theta)
        return (slope(theta)[0], found.covariance), found

    theta, taken, converged = minimise(deviance, curvature, start, steps)
    # All that is wanted there at once: one by one it would be compiled three times.
    (observed, sensitivity), final = jax.jacfwd(ending, has_aux=True)(theta)
    return Restricted(
        coefficient=final.coefficient,
        covariance=final.covariance,
        estimable=final.estimable,
        theta=theta,
        theta_covariance=2 * invert(observed)[0],
        sensitivity=jnp.moveaxis(sensitivity, -1, 0),
        deviance=final.deviance,
        steps=taken,
        converged=converged,
    )


def satterthwaite(
    fitted: Restricted, contrast: Float[Array, " column"]
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Return a contrast's estimate, standard error and degrees of freedom.

    Source: Giesbrecht and Burns 1985, doi:10.2307/2530872.
    """
    variance = contrast @ fitted.covariance @ contrast
    gradient = jnp.einsum("a,jab,b->j", contrast, fitted.sensitivity, contrast)
    spread = gradient @ fitted.theta_covariance @ gradient
    return contrast @ fitted.coefficient, jnp.sqrt(variance), 2 * variance**2 / spread
