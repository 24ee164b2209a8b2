"""Where the variance of an endpoint comes from: parameters, patients, measurement."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

LEVELS = ("parameters", "subjects", "residual")
"""Between replicates: the posterior draw, and the study where studies vary. Between patients of a replicate:
covariates, etas, kappas. Between measurements of a patient: residual error, and what is drawn to read an endpoint."""


class Variance(eqx.Module):
    """Variance by level, with the Monte-Carlo standard error of each."""

    component: Float[np.ndarray, "level *rest"]
    """In the order of `LEVELS`; unbiased, so that one that is near 0 may come out below it."""
    component_error: Float[np.ndarray, "level *rest"]
    total: Float[np.ndarray, "*rest"]
    total_error: Float[np.ndarray, "*rest"]


def decompose(
    count: Float[np.ndarray, "replicate *rest"],
    mean: Float[np.ndarray, "replicate *rest"],
    variance: Float[np.ndarray, "replicate *rest"],
    residual: Float[np.ndarray, "replicate *rest"],
) -> Variance:
    """Return the variance components of nested draws, by the law of total variance.

    With m, v and e the mean, the variance and the residual variance in a replicate of n patients, over replicates:
    E[e] is residual, E[v] - E[e] lies between patients, and Var(m) - E[v / n] between replicates. Standard errors are
    jackknifed over replicates. Source: Searle, Casella and McCulloch 1992, doi:10.1002/9780470316856.

    Args:
        count: patients of each replicate.
        mean: their mean.
        variance: their variance, each measured once.
        residual: the part of it that comes of measuring, such as half the mean squared difference of two measurements.
    """
    size = len(mean)
    with np.errstate(divide="ignore", invalid="ignore"):  # nobody has a value: not a number, as are the components
        noise = variance / count

    def parts(averages, replicates):
        """Return total and levels from the averages of m, m^2, v, e and v / n."""
        m1, m2, v, e, n = averages
        between = (m2 - m1**2) * replicates / (replicates - 1) - n
        return np.stack([between + v, between, v - e, e])

    terms = (mean - mean.mean(0), (mean - mean.mean(0)) ** 2, variance, residual, noise)
    found = parts([t.mean(0) for t in terms], size)
    if size < 3:
        unknown = np.full_like(found, np.nan)
        return Variance(found[1:], unknown[1:], np.asarray(found[0]), np.asarray(unknown[0]))
    # Each replicate left out in turn.
    without = parts([(t.sum(0) - t) / (size - 1) for t in terms], size - 1)
    spread = without - without.mean(1, keepdims=True)
    error = np.sqrt((size - 1) / size * (spread**2).sum(1))
    return Variance(found[1:], error[1:], np.asarray(found[0]), np.asarray(error[0]))
