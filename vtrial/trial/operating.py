"""Operating characteristics: what the trials say together, each number with its Monte-Carlo error."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from vtrial import schema
from vtrial.trial.conduct import Trials

INTERVAL = (0.025, 0.975)
"""Quantiles over replicates, that is over posterior draws, of what is true."""
SPREAD = (0.05, 0.5, 0.95)
"""Quantiles over virtual patients of an endpoint."""


def share(hit: Bool[np.ndarray, "replicate ..."] | Float[np.ndarray, "replicate ..."]) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of replicates that hit, and its Monte-Carlo error.

    The error is SD / sqrt(R), which for yes and no is sqrt(p (1 - p) / R); a hit may be divided among ties. At a share
    of 0 or 1 it is 0; there the error is that of one hit more or less, 1 / R.
    """
    count = len(hit)
    p = hit.mean(0)
    return p, np.where((p == 0) | (p == 1), 1.0 / count, hit.std(0) / np.sqrt(count))


def average(value: Float[np.ndarray, "replicate ..."]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over replicates, which unlike patients are independent, and its Monte-Carlo error."""
    known = np.isfinite(value).sum(0)
    return np.nanmean(value, 0), np.nanstd(value, 0, ddof=1) / np.sqrt(known)


def _best(truth: Float[np.ndarray, "replicate arm"]) -> Float[np.ndarray, "replicate arm"]:
    """Return 1 for the arm that is truly best in a replicate, divided among ties."""
    known = np.where(np.isfinite(truth), truth, -np.inf)
    top = known == known.max(1, keepdims=True)
    return top / top.sum(1, keepdims=True)


def _times(found: tuple[np.ndarray, np.ndarray], factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return found[0] * factor, found[1] * factor


def operating_characteristics(
    trials: Trials,
    endpoints: Mapping[str, Float[np.ndarray, "replicate subject arm"]],
    units: Mapping[str, str],
    *,
    names: tuple[str, ...],
    primary: str,
    alpha: float,
    reference: str,
) -> xr.Dataset:
    """Return the operating characteristics by arm; each variable `x` has its Monte-Carlo error `x_mcse`.

    Args:
        trials: the conducted trials.
        endpoints: every endpoint's potential outcomes, by name.
        units: the endpoints' units, by name.
        names: names of the arms.
        primary: the primary endpoint.
        alpha: two-sided significance level of the comparison.
        reference: name of the reference arm.
    """
    truth, comparison = np.asarray(trials.truth), trials.comparison
    selected = np.asarray(trials.selected)
    picked = selected[:, None] == np.arange(len(names))
    best = _best(truth)
    difference = truth - truth[:, [names.index(reference)]]
    lower, upper, p = (np.asarray(x) for x in (comparison.lower, comparison.upper, comparison.p))
    covered = (lower <= difference) & (difference <= upper)
    correct = (best * picked).sum(1)
    unit = units[primary]
    oc = xr.Dataset(coords={schema.ARM: list(names), schema.QUANTILE: list(SPREAD), "interval": list(INTERVAL)})

    def add(name: str, found: tuple[np.ndarray, np.ndarray], what: str, unit: str = "") -> None:
        dims = (schema.ARM,) if np.ndim(found[0]) else ()
        oc[name] = (dims, found[0], {"long_name": what, "units": unit})
        oc[f"{name}_mcse"] = (dims, found[1], {"long_name": f"Monte-Carlo error of: {what}", "units": unit})

    add("probability_best", share(best), f"Probability that the arm is truly best in {primary}")
    add("probability_selected", share(picked), "Probability that a trial selects the arm")
    add("probability_correct", share(correct), "Probability that a trial selects the truly best arm")
    add("truth", average(truth), f"Mean {primary} of all virtual patients", unit)
    add(
        "bias",
        average(np.asarray(comparison.estimate) - truth),
        f"Mean error of the trial's estimate of {primary}",
        unit,
    )
    other = np.where(
        np.array(names) == reference, np.nan, 1.0
    )  # against itself the reference has no power and no interval
    add("power", _times(share(p < alpha), other), f"Probability that the arm differs significantly from {reference}")
    add(
        "coverage",
        _times(share(covered), other),
        f"Probability that the confidence interval of the difference from {reference} covers the truth",
    )
    oc["truth_interval"] = (
        ("interval", schema.ARM),
        np.quantile(truth, INTERVAL, axis=0),
        {"long_name": f"95 % interval of mean {primary} over posterior draws", "units": unit},
    )
    for name, value in endpoints.items():
        add(f"{name}_mean", average(np.nanmean(value, 1)), f"Mean {name} of virtual patients", units[name])
        flat = value.reshape(-1, len(names))
        oc[f"{name}_quantiles"] = (
            (schema.QUANTILE, schema.ARM),
            np.nanquantile(flat, SPREAD, axis=0),
            {"long_name": f"Quantiles of {name} over all virtual patients and posterior draws", "units": units[name]},
        )
    oc.attrs |= {"primary": primary, "reference": reference, "alpha": alpha, "replicates": len(truth)}
    return oc
