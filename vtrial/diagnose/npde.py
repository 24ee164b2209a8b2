"""Normalised prediction discrepancies and distribution errors: NPD and NPDE, and tests that they are standard normal.

Sources: Brendel et al. 2006, doi:10.1007/s11095-006-9067-5; Comets, Brendel and Mentré 2008,
doi:10.1016/j.cmpb.2007.12.002; Nguyen, Comets and Mentré 2012, doi:10.1007/s10928-012-9264-2 for censored values.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import chi2, norm, shapiro, wilcoxon


class Discrepancies(NamedTuple):
    """NPD and NPDE of every observation; NaN where they cannot be computed."""

    npd: Float[np.ndarray, " obs"]
    npde: Float[np.ndarray, " obs"]


class Verdict(NamedTuple):
    """What NPDE say of a model; under the true one mean 0, variance 1 and p-values above 0.05 are expected."""

    mean: float
    variance: float
    p_mean: float
    """Wilcoxon signed-rank test of mean 0."""
    p_variance: float
    """Fisher's test of variance 1."""
    p_normal: float
    """Shapiro-Wilk test of normality."""
    p_global: float
    """Three times the least of them, at most 1 (Bonferroni)."""


def rank(value: Float[np.ndarray, " obs"], simulated: Float[np.ndarray, "replicate obs"]) -> Float[np.ndarray, " obs"]:
    """Return the part of the replicates below each value.

    A tie counts half. No value is known to lie nearer to an edge than half a replicate: 0 becomes 1/(2K), 1 becomes
    1 - 1/(2K), of K replicates. Replicates that could not be solved are NaN and do not count.
    """
    count = np.isfinite(simulated).sum(axis=0)
    below = np.sum(simulated < value[None], axis=0) + 0.5 * np.sum(simulated == value[None], axis=0)
    some = np.maximum(count, 1)
    return np.where(count > 0, np.clip(below / some, 0.5 / some, 1 - 0.5 / some), np.nan)


def discrepancies(
    observed: Float[np.ndarray, " obs"],
    simulated: Float[np.ndarray, "replicate obs"],
    subject: Int[np.ndarray, " obs"],
    *,
    low: Float[np.ndarray, " obs"] | None = None,
    high: Float[np.ndarray, " obs"] | None = None,
    generator: np.random.Generator | None = None,
) -> Discrepancies:
    """Return NPD, of each observation by itself, and NPDE, of a subject's observations decorrelated.

    A subject's observations and replicates are shifted by the replicates' mean and multiplied by the inverse of the
    Cholesky factor of their covariance; the rank of each among its replicates, through the inverse normal
    distribution, is its NPDE.

    A value beyond a limit of quantification takes a rank drawn uniformly among those beyond it, and the value the
    replicates have at that rank. So do the replicates themselves, whose values are known no better: else the etas that
    a subject's replicates share, and its drawn ranks do not, would make NPDE too variable under the true model.

    Args:
        observed: the observations; one only known to be beyond a limit is -inf or inf.
        simulated: replicates of them, not censored.
        subject: whose they are. The order within a subject matters to NPDE: give it by time.
        low: the limit under which a value would not be known; -inf where there is none.
        high: the limit over which it would not; inf where there is none.
        generator: for the drawn ranks; needed where there is a limit.
    """
    low = np.full(len(observed), -np.inf) if low is None else low
    high = np.full(len(observed), np.inf) if high is None else high
    value, known = observed, simulated
    if np.any(np.isfinite(low) | np.isfinite(high)):
        if generator is None:
            raise ValueError("Censored observations take ranks at random; give a generator.")
        value, known = (_drawn_beyond(v, simulated, low, high, generator) for v in (observed, simulated))
    npde = norm.ppf(_decorrelated(value, known, subject))
    return Discrepancies(np.asarray(norm.ppf(rank(value, simulated))), np.asarray(npde))


def _drawn_beyond(
    value: Float[np.ndarray, "*any obs"],
    simulated: Float[np.ndarray, "replicate obs"],
    low: Float[np.ndarray, " obs"],
    high: Float[np.ndarray, " obs"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "*any obs"]:
    """Return values, those beyond a limit drawn anew from the part of the replicates beyond it."""
    result = value.copy()
    under, over = rank(low, simulated), rank(high, simulated)
    for i in np.flatnonzero(np.isfinite(simulated).any(axis=0)):
        column, own = value[..., i], simulated[np.isfinite(simulated[:, i]), i]
        for beyond, edge, part in ((column < low[i], 0.0, under[i]), (column > high[i], 1.0, over[i])):
            if np.any(beyond):
                places = edge + (part - edge) * generator.uniform(size=int(np.sum(beyond)))
                result[..., i] = np.where(beyond, 0.0, result[..., i])
                result[beyond, i] = np.quantile(own, places)
    return result


def _decorrelated(
    value: Float[np.ndarray, " obs"], simulated: Float[np.ndarray, "replicate obs"], subject: Int[np.ndarray, " obs"]
) -> Float[np.ndarray, " obs"]:
    """Return the ranks after decorrelation; NaN for a subject whose covariance cannot be estimated."""
    result = np.full(len(value), np.nan)
    for who in np.unique(subject):
        mine = np.flatnonzero(subject == who)
        own = simulated[:, mine]
        own = own[np.isfinite(own).all(axis=1)]
        if len(own) <= len(mine):
            continue
        try:
            factor = np.linalg.cholesky(np.atleast_2d(np.cov(own, rowvar=False)))
        except np.linalg.LinAlgError:  # an observation that does not vary
            continue
        centre = own.mean(0)
        both = np.linalg.solve(factor, np.column_stack([value[mine] - centre, (own - centre).T]))
        result[mine] = rank(both[:, 0], both[:, 1:].T)
    return result


def judge(npde: Float[np.ndarray, " obs"]) -> Verdict:
    """Test whether NPDE are a sample of the standard normal distribution."""
    known = npde[np.isfinite(npde)]
    if len(known) < 4 or np.ptp(known) == 0:
        return Verdict(*[float("nan")] * 6)
    mean, variance = float(known.mean()), float(known.var(ddof=1))
    tail = chi2.cdf((len(known) - 1) * variance, len(known) - 1)
    # Beyond 5,000 values the normality test's p-values are not to be trusted; it takes as many, evenly spaced.
    some = known[np.linspace(0, len(known) - 1, min(len(known), 5000)).astype(int)]
    p_mean, p_normal = float(np.asarray(wilcoxon(known))[1]), float(np.asarray(shapiro(some))[1])
    p_variance = float(2 * min(tail, 1 - tail))
    return Verdict(mean, variance, p_mean, p_variance, p_normal, min(1.0, 3 * min(p_mean, p_variance, p_normal)))
