"""Sample sizes of a comparison of two arms; all are total numbers, not rounded.

`share` is the share of patients in the treatment arm, `alpha` one-sided. Multiply by the inflation factor of
`vtrial.statistics.futility` for a group-sequential test.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri
from scipy.stats import nct, t

from vtrial.errors import UserError
from vtrial.statistics.root import root

_MOST = 1e9
"""Patients; nobody plans for more."""


def for_means(effect: float, sd: float, alpha: float = 0.025, power: float = 0.9, share: float = 0.5) -> float:
    """Return the size for a difference of means with known standard deviation (z test)."""
    check_error(alpha, power)
    _check_effect(effect, sd, share)
    return _quantiles(alpha, power) ** 2 * (sd / effect) ** 2 / (share * (1 - share))


def for_means_t(effect: float, sd: float, alpha: float = 0.025, power: float = 0.9, share: float = 0.5) -> float:
    """Return the size for a difference of means by the t test: the power is of the non-central t distribution."""
    check_error(alpha, power)
    _check_effect(effect, sd, share)

    def excess(n: float) -> float:
        noncentrality = abs(effect) / sd * math.sqrt(n * share * (1 - share))
        return float(nct.sf(t.isf(alpha, n - 2), n - 2, noncentrality)) - power

    least = max(2.5, for_means(effect, sd, alpha, power, share))
    return root(excess, least - 0.5, 4 * least + 10)


def for_rates(treatment: float, control: float, alpha: float = 0.025, power: float = 0.9, share: float = 0.5) -> float:
    """Return the size for a difference of rates by the score test with pooled variance.

    Source: Fleiss, Tytun and Ury 1980, doi:10.2307/2529990 (without continuity correction).

    Raises:
        UserError: a rate is not between 0 and 1, or they are equal.
    """
    check_error(alpha, power)
    for rate in (treatment, control):
        if not 0 < rate < 1:
            raise UserError(f"A rate is between 0 and 1, not {rate}.")
    _check_effect(treatment - control, 1.0, share)
    pooled = share * treatment + (1 - share) * control
    null = pooled * (1 - pooled) / (share * (1 - share))
    other = treatment * (1 - treatment) / share + control * (1 - control) / (1 - share)
    root = ndtri(1 - alpha) * math.sqrt(null) + ndtri(power) * math.sqrt(other)
    return float((root / (treatment - control)) ** 2)


def for_risk_ratios(
    log_ratio: Float[np.ndarray, "*any"], control: float, alpha: float = 0.025, power: float = 0.9
) -> Float[np.ndarray, "*any"]:
    """Return the size, with two equal arms, to show that risks are lowered, by the normal law of the log risk ratio.

    With power 0.5 the expected two-sided interval just excludes 1, and this is the formula of Volkova et al. 2023,
    doi:10.3389/fcvm.2023.1242845: N = 1.96^2 (2 - 4 k r + 2 r) / (k r log(r)^2).

    Args:
        log_ratio: log(r), of the risk under treatment over that under control.
        control: k, the risk under control.
        alpha: one-sided level.
        power: wanted.

    Returns:
        Patients; infinity where no risk is lowered.
    """
    check_error(alpha, power)
    with np.errstate(divide="ignore"):
        needed = _quantiles(alpha, power) ** 2 * _risk_ratio_variance(log_ratio, control) / log_ratio**2
    return np.where(log_ratio < 0, needed, np.inf)


def risk_ratio_power(
    log_ratio: Float[np.ndarray, "*any"], control: float, patients: float, alpha: float = 0.025
) -> Float[np.ndarray, "*any"]:
    """Return the power of a trial of so many patients in two equal arms; see `for_risk_ratios`."""
    error = np.sqrt(_risk_ratio_variance(log_ratio, control) / patients)
    return np.asarray(ndtr(-log_ratio / error - ndtri(1 - alpha)))


def _risk_ratio_variance(log_ratio: Float[np.ndarray, "*any"], control: float) -> Float[np.ndarray, "*any"]:
    """Return the variance of the estimated logarithm, times the patients; treatment cannot raise a risk above 1."""
    treated = np.minimum(control * np.exp(log_ratio), 1 - 1e-9)
    return 2 * (1 - treated) / treated + 2 * (1 - control) / control


def events_needed(ratio: float, alpha: float = 0.025, power: float = 0.9, share: float = 0.5) -> float:
    """Return the events that the log-rank test needs for a hazard ratio (Schoenfeld 1981, doi:10.1093/biomet/68.1.316).

    Raises:
        UserError: the ratio is not positive, or 1.
    """
    check_error(alpha, power)
    if not ratio > 0:
        raise UserError(f"A hazard ratio is positive, not {ratio}.")
    _check_effect(math.log(ratio), 1.0, share)
    return _quantiles(alpha, power) ** 2 / (share * (1 - share) * math.log(ratio) ** 2)


def event_probability(hazard: float, time: float, accrual: float, dropout: float = 0.0) -> float:
    """Return the expected events by a calendar time, per patient of the whole trial.

    Patients enter evenly over `accrual`; hazards of event and dropout are constant, in 1 / the unit of time.
    """
    total = hazard + dropout
    latest = max(time - accrual, 0.0)
    exposed = (time - latest) - (math.exp(-total * latest) - math.exp(-total * time)) / total
    return hazard / total * exposed / accrual


def patients_for_events(
    events: float,
    hazards: tuple[float, float],
    *,
    accrual: float,
    follow_up: float,
    dropout: float = 0.0,
    share: float = 0.5,
) -> float:
    """Return how many patients give a number of events by the end of follow-up of the last one.

    Args:
        events: wanted.
        hazards: of treatment and control.
        accrual: time over which patients enter, evenly.
        follow_up: time after the last one entered.
        dropout: hazard of dropout in either arm.
        share: of patients in the treatment arm.

    Raises:
        UserError: a time or hazard is not positive.
    """
    if min(*hazards, accrual) <= 0 or follow_up < 0 or dropout < 0:
        raise UserError("Hazards and accrual time are positive, follow-up and dropout not negative.")
    return events / _mean_probability(hazards, accrual + follow_up, accrual, dropout, share)


def time_of_events(
    events: float,
    patients: float,
    hazards: tuple[float, float],
    *,
    accrual: float,
    dropout: float = 0.0,
    share: float = 0.5,
) -> float:
    """Return the calendar time at which a number of events is expected; infinity if it never is."""

    def excess(time: float) -> float:
        return patients * _mean_probability(hazards, time, accrual, dropout, share) - events

    latest = accrual + 60.0 / min(h + dropout for h in hazards)
    return root(excess, 0.0, latest) if excess(latest) > 0 else math.inf


def assurance(mean: float, sd: float, error: float, critical: float) -> float:
    """Return the probability that a trial succeeds, its effect being normal with a mean and standard deviation.

    Source: O'Hagan, Stevens and Campbell 2005, doi:10.1002/pst.175.

    Args:
        mean: of the effect, before the trial.
        sd: of the effect, before the trial; 0 gives the power at the mean.
        error: standard error of its estimate in the trial.
        critical: statistic that is a success.
    """
    return float(ndtr((mean - critical * error) / np.hypot(error, sd)))


def check_error(alpha: float, power: float) -> None:
    """Refuse error probabilities that no test has.

    Raises:
        UserError: saying which.
    """
    if not 0 < alpha < 0.5:
        raise UserError(f"A one-sided level is between 0 and 0.5, not {alpha}.")
    if not alpha < power < 1:
        raise UserError(f"Power is between the level and 1, not {power}.")


def _check_effect(effect: float, sd: float, share: float) -> None:
    if not 0 < share < 1:
        raise UserError(f"The share of patients in the treatment arm is between 0 and 1, not {share}.")
    if not sd > 0:
        raise UserError(f"A standard deviation is positive, not {sd}.")
    if not abs(effect / sd) > 1 / math.sqrt(_MOST):
        raise UserError(f"An effect of {effect:g} is too small for any sample size; name the effect worth detecting.")


def _quantiles(alpha: float, power: float) -> float:
    return float(ndtri(1 - alpha) + ndtri(power))


def _mean_probability(hazards: tuple[float, float], time: float, accrual: float, dropout: float, share: float) -> float:
    """Return the expected events per patient, over both arms."""
    treatment, control = (event_probability(h, time, accrual, dropout) for h in hazards)
    return share * treatment + (1 - share) * control
