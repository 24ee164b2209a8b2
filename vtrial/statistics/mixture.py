"""Mixtures of conjugate distributions as priors: fitted to any density, made robust, updated, and weighed in patients.

Priors are computed once, in numpy; updates happen in thousands of trials and are traceable.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jax.scipy.stats import norm
from jaxtyping import Array, Float
from scipy.special import betaln, digamma, expit, log_expit, logsumexp, polygamma
from scipy.stats import beta as beta_distribution
from scipy.stats import norm as normal_distribution

from vtrial.errors import UserError
from vtrial.statistics.bayes import beta_above, log_beta

_ROUNDS = 2000
"""Most rounds of expectation and maximisation."""
_EDGE = 1e-12
"""Nearest a probability comes to 0 or 1, where its logarithm is still a number."""
_GAIN = 1e-9
"""Of the mean log likelihood, below which a round is the last."""
_NEWTON = 20

type Vector = Float[np.ndarray, " component"] | Float[Array, " component"]


class BetaMixture(NamedTuple):
    """Prior of a probability."""

    weight: Vector
    a: Vector
    b: Vector


class NormalMixture(NamedTuple):
    """Prior of a mean."""

    weight: Vector
    mean: Vector
    sd: Vector


def _parts(node: Float[np.ndarray, " node"], mass: Float[np.ndarray, " node"], number: int) -> np.ndarray:
    """Return starting memberships [node, component]: parts of equal mass, one after the other, blurred."""
    place = np.cumsum(mass) - 0.5 * mass
    centre = (np.arange(number) + 0.5) / number
    close = np.exp(-0.5 * ((place[:, None] - centre) * 1.5 * number) ** 2)
    return close / close.sum(1, keepdims=True)


def _match_beta(log_p: np.ndarray, log_q: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return [a, b] of the beta distributions with these means of log p and log (1 - p), by Newton from the moments."""
    size = np.maximum(mean * (1 - mean) / variance - 1, 0.1)
    found = np.stack([mean * size, (1 - mean) * size])
    for _ in range(_NEWTON):
        off = np.stack([log_p, log_q]) - digamma(found) + digamma(found.sum(0))
        own, both = polygamma(1, found), polygamma(1, found.sum(0))
        # Inverse of diag(own) - both, in closed form.
        pull = (off / own).sum(0) / (1 / both - (1 / own).sum(0))
        found = np.maximum(found + (off + pull) / own, 0.5 * found)
    return found


def fit_beta(node: Float[np.ndarray, " node"], mass: Float[np.ndarray, " node"], number: int) -> BetaMixture:
    """Return the beta mixture nearest to a distribution of a probability (least Kullback-Leibler divergence).

    Args:
        node: probabilities, increasing.
        mass: of the distribution at each.
        number: of components.
    """
    node, mass = np.clip(node, _EDGE, 1 - _EDGE), mass / mass.sum()
    member = _parts(node, mass, number)
    before = -np.inf
    for _ in range(_ROUNDS):
        share = mass[:, None] * member
        weight = share.sum(0)
        share = share / weight
        mean = share.T @ node
        variance = (share * (node[:, None] - mean) ** 2).sum(0)
        a, b = _match_beta(share.T @ np.log(node), share.T @ np.log1p(-node), mean, variance)
        joint = np.log(weight) + beta_distribution.logpdf(node[:, None], a, b)
        total = np.asarray(logsumexp(joint, axis=1))
        member = np.exp(joint - total[:, None])
        if mass @ total - before < _GAIN:
            break
        before = mass @ total
    return BetaMixture(weight, a, b)


def fit_normal(node: Float[np.ndarray, " node"], mass: Float[np.ndarray, " node"], number: int) -> NormalMixture:
    """Return the normal mixture nearest to a distribution of a mean; arguments as for `fit_beta`."""
    mass = mass / mass.sum()
    member = _parts(node, mass, number)
    before = -np.inf
    for _ in range(_ROUNDS):
        share = mass[:, None] * member
        weight = share.sum(0)
        share = share / weight
        mean = share.T @ node
        sd = np.sqrt((share * (node[:, None] - mean) ** 2).sum(0))
        joint = np.log(weight) + normal_distribution.logpdf(node[:, None], mean, sd)
        total = np.asarray(logsumexp(joint, axis=1))
        member = np.exp(joint - total[:, None])
        if mass @ total - before < _GAIN:
            break
        before = mass @ total
    return NormalMixture(weight, mean, sd)


def robust_beta(prior: BetaMixture, weight: float, mean: float = 0.5, size: float = 2.0) -> BetaMixture:
    """Add a vague component, for the case that history does not apply.

    Source: Schmidli et al. 2014, doi:10.1111/biom.12242.

    Args:
        prior: informative one.
        weight: of the vague component.
        mean: of it.
        size: of it, in patients.

    Raises:
        UserError: the weight is no probability.
    """
    check_weight(weight)
    return BetaMixture(
        np.append((1 - weight) * prior.weight, weight),
        np.append(prior.a, mean * size),
        np.append(prior.b, (1 - mean) * size),
    )


def robust_normal(prior: NormalMixture, weight: float, mean: float, sd: float) -> NormalMixture:
    """Add a vague component of this mean and standard deviation (that of one patient, say).

    Raises:
        UserError: the weight is no probability.
    """
    check_weight(weight)
    return NormalMixture(
        np.append((1 - weight) * prior.weight, weight), np.append(prior.mean, mean), np.append(prior.sd, sd)
    )


def check_weight(weight: float) -> None:
    """Refuse a weight that is no probability.

    Raises:
        UserError: it is not.
    """
    if not 0 <= weight <= 1:
        raise UserError(f"The weight of a vague prior component is between 0 and 1, not {weight:g}.")


def update_beta(prior: BetaMixture, events: Float[Array, ""] | float, number: Float[Array, ""] | float) -> BetaMixture:
    """Return the posterior after `events` in `number` patients: each component updated, weights by how it predicted."""
    a, b = jnp.asarray(prior.a) + events, jnp.asarray(prior.b) + number - events
    evidence = log_beta(a, b) - log_beta(jnp.asarray(prior.a), jnp.asarray(prior.b))
    return BetaMixture(jax.nn.softmax(jnp.log(jnp.asarray(prior.weight)) + evidence), a, b)


def update_normal(
    prior: NormalMixture, estimate: Float[Array, ""] | float, error: Float[Array, ""] | float
) -> NormalMixture:
    """Return the posterior after an estimate with its standard error."""
    mean, variance = jnp.asarray(prior.mean), jnp.asarray(prior.sd) ** 2
    evidence = norm.logpdf(jnp.asarray(estimate), mean, jnp.sqrt(variance + error**2))
    precision = 1 / variance + 1 / jnp.asarray(error) ** 2
    middle = (mean / variance + estimate / jnp.asarray(error) ** 2) / precision
    weight = jax.nn.softmax(jnp.log(jnp.asarray(prior.weight)) + evidence)
    return NormalMixture(weight, middle, 1 / jnp.sqrt(precision))


def beta_mixture_below(
    mixture: BetaMixture,
    a: Float[Array, ""] | float,
    b: Float[Array, ""] | float,
    margin: Float[Array, ""] | float = 0.0,
) -> Float[Array, ""]:
    """Return the probability that Beta(a, b) exceeds a mixture by more than a margin."""
    each = jax.vmap(lambda c, d: beta_above(a, b, c, d, margin))(jnp.asarray(mixture.a), jnp.asarray(mixture.b))
    return (mixture.weight * each).sum()


def normal_mixture_below(
    mixture: NormalMixture,
    mean: Float[Array, ""] | float,
    sd: Float[Array, ""] | float,
    margin: Float[Array, ""] | float = 0.0,
) -> Float[Array, ""]:
    """Return the probability that a normal quantity exceeds a mixture by more than a margin."""
    spread = jnp.sqrt(jnp.asarray(mixture.sd) ** 2 + sd**2)
    return (mixture.weight * norm.cdf((mean - jnp.asarray(mixture.mean) - margin) / spread)).sum()


def beta_moments(mixture: BetaMixture) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return mean and standard deviation."""
    a, b = jnp.asarray(mixture.a), jnp.asarray(mixture.b)
    mean = a / (a + b)
    square = mean * (a + 1) / (a + b + 1)
    middle = (mixture.weight * mean).sum()
    return middle, jnp.sqrt((mixture.weight * square).sum() - middle**2)


def normal_moments(mixture: NormalMixture) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return mean and standard deviation."""
    mean = (mixture.weight * jnp.asarray(mixture.mean)).sum()
    square = (mixture.weight * (jnp.asarray(mixture.mean) ** 2 + jnp.asarray(mixture.sd) ** 2)).sum()
    return mean, jnp.sqrt(square - mean**2)


def beta_log_density(mixture: BetaMixture, p: Float[Array, ""]) -> Float[Array, ""]:
    """Return the log density at a probability."""
    a, b = jnp.asarray(mixture.a), jnp.asarray(mixture.b)
    each = (a - 1) * jnp.log(p) + (b - 1) * jnp.log1p(-p) - gammaln(a) - gammaln(b) + gammaln(a + b)
    return jax.scipy.special.logsumexp(each + jnp.log(jnp.asarray(mixture.weight)))


def normal_log_density(mixture: NormalMixture, mean: Float[Array, ""]) -> Float[Array, ""]:
    """Return the log density at a mean."""
    each = norm.logpdf(mean, jnp.asarray(mixture.mean), jnp.asarray(mixture.sd))
    return jax.scipy.special.logsumexp(each + jnp.log(jnp.asarray(mixture.weight)))


_QUADRATURE = 801
"""Nodes of each component for expectations under a mixture, by the trapezoidal rule."""


def beta_worth(mixture: BetaMixture) -> float:
    """Return how many patients a prior of a probability is worth: the expected local information ratio.

    Source: Neuenschwander et al. 2020, doi:10.1111/biom.13252. Beta(a, b) is worth a + b.
    """
    a, b = np.asarray(mixture.a), np.asarray(mixture.b)
    sd = np.sqrt(polygamma(1, a) + polygamma(1, b))
    odds = digamma(a) - digamma(b) + sd * np.linspace(-15, 15, _QUADRATURE)[:, None]
    p = expit(odds)
    mass = np.exp(a * log_expit(odds) + b * log_expit(-odds) - betaln(a, b)) * sd * 30 / (_QUADRATURE - 1)
    curve = _curve(beta_log_density, jax.tree.map(jnp.asarray, mixture), jnp.asarray(p))
    return float((np.asarray(mixture.weight) * (mass * -np.asarray(curve) * p * (1 - p)).sum(0)).sum())


def normal_worth(mixture: NormalMixture, sd: float) -> float:
    """Return how many patients a prior of a mean is worth, outcomes having this standard deviation.

    Source: Neuenschwander et al. 2020. N(m, s) is worth sd²/s².
    """
    unit = np.linspace(-10, 10, _QUADRATURE)[:, None]
    mass = normal_distribution.pdf(unit) * 20 / (_QUADRATURE - 1)
    value = jnp.asarray(np.asarray(mixture.mean) + np.asarray(mixture.sd) * unit)
    curve = _curve(normal_log_density, jax.tree.map(jnp.asarray, mixture), value)
    return float((np.asarray(mixture.weight) * (mass * -np.asarray(curve)).sum(0)).sum() * sd**2)


@partial(jax.jit, static_argnums=0)
def _curve(
    log_density: Callable[..., Array], mixture: BetaMixture | NormalMixture, value: Float[Array, "node component"]
) -> Float[Array, "node component"]:
    """Return the second derivative of a mixture's log density at each value."""
    return jax.vmap(jax.vmap(jax.grad(jax.grad(lambda x: log_density(mixture, x)))))(value)
