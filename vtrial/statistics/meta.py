"""Meta-analytic-predictive priors: what earlier trials say of the next one's control, by exact quadrature.

θ_h ~ N(μ, τ) for every trial, μ ~ N(mean, sd), τ ~ half-normal(scale); the prior is that of θ in a new trial.

Source: Neuenschwander et al. 2010, doi:10.1177/1740774509356002; Schmidli et al. 2014, doi:10.1111/biom.12242.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar
from scipy.special import expit, gammaln, log_expit, logsumexp, ndtr
from scipy.stats import norm

from vtrial.errors import UserError

_TAU = 96
"""Gauss-Legendre nodes of τ, from 0 to `_FAR` times its scale."""
_FAR = 6.0
_MU = 1200
"""Most nodes of μ; they lie `_FINE` of the narrowest posterior standard deviation apart."""
_FINE = 0.4
_THETA = 41
"""Nodes of a trial's own θ, 8 standard deviations to each side of the mode."""
_SHARE = 1e-12
"""Posterior mass, relative to the peak, that is left out."""
_NODES = 600
"""Of the predictive distribution."""
_REACH = 40.0
"""Standard deviations of the predictive distribution its nodes go to each side: with few trials its tails are long."""


class MetaPosterior(NamedTuple):
    """Posterior of μ and τ, on a grid of pairs."""

    mu: Float[np.ndarray, " pair"]
    """Mean of μ in the pair."""
    mu_sd: Float[np.ndarray, " pair"]
    """Standard deviation of μ within the pair: 0 if μ is a node."""
    tau: Float[np.ndarray, " pair"]
    mass: Float[np.ndarray, " pair"]


def binary(
    events: Float[np.ndarray, " trial"],
    number: Float[np.ndarray, " trial"],
    *,
    mean: float = 0.0,
    sd: float = 2.0,
    scale: float = 1.0,
) -> MetaPosterior:
    """Return the posterior for binomial counts, θ being log odds.

    Args:
        events: of each earlier trial's control arm.
        number: of its patients.
        mean: prior mean of μ.
        sd: prior standard deviation of μ.
        scale: of the half-normal prior of τ.

    Raises:
        UserError: counts are impossible, or a scale is not above 0.
    """
    if len(events) == 0 or np.any(events < 0) or np.any(events > number) or np.any(number < 1):
        raise UserError("History needs trials with 0 <= events <= number of patients and at least one patient.")
    _check_scales(sd, scale)
    tau, tau_weight = _tau_nodes(scale)
    rough = np.log((events + 0.5) / (number - events + 0.5))
    narrow = 1 / np.sqrt((number * expit(rough) * expit(-rough)).sum() + 1 / sd**2)
    wide = np.linspace(min(rough.min(), mean) - 3 * sd, max(rough.max(), mean) + 3 * sd, 200)
    seen = _binary_evidence(wide, tau, events, number) + norm.logpdf(wide[:, None], mean, sd) + tau_weight
    peak = (seen > seen.max() + np.log(_SHARE)).any(1)
    step = wide[1] - wide[0]
    low, high = wide[peak].min() - step, wide[peak].max() + step
    mu = np.linspace(low, high, min(max(int((high - low) / (_FINE * narrow)), 100), _MU))
    log_mass = _binary_evidence(mu, tau, events, number) + norm.logpdf(mu[:, None], mean, sd) + tau_weight
    mass = np.exp(log_mass - np.asarray(logsumexp(log_mass))).ravel()
    pair = np.broadcast_arrays(mu[:, None], tau[None])
    return MetaPosterior(pair[0].ravel(), np.zeros(mass.size), pair[1].ravel(), mass)


def normal(
    estimate: Float[np.ndarray, " trial"],
    error: Float[np.ndarray, " trial"],
    *,
    mean: float,
    sd: float,
    scale: float,
) -> MetaPosterior:
    """Return the posterior for means with known standard errors; μ is integrated in closed form.

    Raises:
        UserError: an error or a scale is not above 0.
    """
    if len(estimate) == 0 or np.any(error <= 0):
        raise UserError("History needs trials whose means have standard errors above 0.")
    _check_scales(sd, scale)
    tau, tau_weight = _tau_nodes(scale)
    variance = error[None] ** 2 + tau[:, None] ** 2
    precision = (1 / variance).sum(1) + 1 / sd**2
    middle = ((estimate / variance).sum(1) + mean / sd**2) / precision
    squares = (estimate**2 / variance).sum(1) + mean**2 / sd**2 - middle**2 * precision
    log_mass = tau_weight - 0.5 * (np.log(variance).sum(1) + np.log(precision) + squares)
    return MetaPosterior(middle, 1 / np.sqrt(precision), tau, np.exp(log_mass - np.asarray(logsumexp(log_mass))))


def predictive(posterior: MetaPosterior) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Return nodes of θ in a new trial, increasing and wider apart in the tails, and the mass at each."""
    centre = posterior.mass @ posterior.mu
    sd = np.sqrt(posterior.mass @ (posterior.tau**2 + posterior.mu_sd**2 + (posterior.mu - centre) ** 2))
    edge = centre + sd * np.sinh(np.linspace(-1, 1, _NODES + 1) * np.arcsinh(_REACH))
    share = np.diff(_below(posterior, edge))
    return 0.5 * (edge[1:] + edge[:-1]), share / share.sum()


def quantile(posterior: MetaPosterior, share: float) -> float:
    """Return the value θ of a new trial is below with this probability."""
    node, mass = predictive(posterior)
    near = node[np.searchsorted(np.cumsum(mass), share).clip(1, _NODES - 2) + np.array([-1, 1])]
    return root_scalar(lambda value: _below(posterior, np.array([value]))[0] - share, bracket=tuple(near)).root


def _below(posterior: MetaPosterior, value: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
    """Return the probability that θ of a new trial is below each value."""
    keep = posterior.mass > _SHARE * posterior.mass.max()
    mass, mu = posterior.mass[keep], posterior.mu[keep]
    spread = np.hypot(posterior.tau[keep], posterior.mu_sd[keep])
    return ndtr((value[:, None] - mu) / spread) @ mass / mass.sum()


def _check_scales(sd: float, scale: float) -> None:
    """Refuse scales that are not above 0.

    Raises:
        UserError: one is not.
    """
    if sd <= 0 or scale <= 0:
        raise UserError(f"Prior scales of a meta-analysis are above 0, not {sd:g} and {scale:g}.")


def _tau_nodes(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes of τ and the logarithms of their weights under the half-normal prior."""
    node, weight = np.polynomial.legendre.leggauss(_TAU)
    share = 0.5 * (node + 1)
    # Squared, so that nodes crowd where τ is small.
    tau = _FAR * scale * share**2
    return tau, np.log(weight * share) - 0.5 * (tau / scale) ** 2


def _binary_evidence(mu: np.ndarray, tau: np.ndarray, events: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the log probability of all counts at each [mu, tau]: the trials' own θ integrated around its mode."""
    total = np.zeros((len(mu), len(tau)))
    unit = np.linspace(-8, 8, _THETA)
    for r, n in zip(events, number, strict=True):
        mode = np.broadcast_to(mu[:, None], total.shape)
        for _ in range(30):
            p = expit(mode)
            slope = r - n * p - (mode - mu[:, None]) / tau**2
            mode = mode + np.clip(slope / (n * p * (1 - p) + 1 / tau**2), -2.0, 2.0)
        width = 1 / np.sqrt(n * expit(mode) * expit(-mode) + 1 / tau**2)
        theta = mode[..., None] + width[..., None] * unit
        log_joint = r * log_expit(theta) + (n - r) * log_expit(-theta)
        log_joint = log_joint - 0.5 * ((theta - mu[:, None, None]) / tau[None, :, None]) ** 2
        choose = gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1)
        step = np.log(width * (unit[1] - unit[0]) / (tau * np.sqrt(2 * np.pi)))
        total += logsumexp(log_joint, axis=-1) + step + choose
    return total
