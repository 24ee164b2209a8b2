"""Operating characteristics: what the trials say together, each number with its Monte-Carlo error."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped

from vtrial import schema
from vtrial.trial.conduct import Trials

type WithError = tuple[np.ndarray | np.floating, np.ndarray | np.floating]
"""A number, or one for each arm, and its Monte-Carlo error."""

INTERVAL = (0.025, 0.975)
"""Quantiles over replicates, that is over posterior draws, of what is true."""
SPREAD = (0.05, 0.5, 0.95)
"""Quantiles over virtual patients of an endpoint."""


def share(hit: Shaped[np.ndarray, "replicate ..."]) -> WithError:
    """Return the share of replicates that hit, and its Monte-Carlo error; what is not a number counts for neither.

    The error is SD / sqrt(R), which for yes and no is sqrt(p (1 - p) / R); a hit may be divided among ties. Where all
    replicates agree that is 0, and the error given is that of one hit more or less, 1 / R.
    """
    value = np.asarray(hit, float)
    known = np.isfinite(value).sum(0)
    count = np.where(known > 0, known, np.nan)
    p = np.where(np.isfinite(value), value, 0.0).sum(0) / count
    spread = np.sqrt(np.where(np.isfinite(value), (value - p) ** 2, 0.0).sum(0) / count)
    return p, np.where(spread == 0, 1.0 / count, spread / np.sqrt(count))


def average(value: Float[np.ndarray, "replicate ..."]) -> WithError:
    """Return the mean over replicates, which unlike patients are independent, and its Monte-Carlo error."""
    known = np.isfinite(value).sum(0)
    return np.nanmean(value, 0), np.nanstd(value, 0, ddof=1) / np.sqrt(known)


def _best(truth: Float[np.ndarray, "replicate arm"]) -> Float[np.ndarray, "replicate arm"]:
    """Return 1 for the arm that is truly best in a replicate, divided among ties."""
    known = np.where(np.isfinite(truth), truth, -np.inf)
    top = known == known.max(1, keepdims=True)
    return top / top.sum(1, keepdims=True)


def _times(found: WithError, factor: np.ndarray) -> WithError:
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
    oc = xr.Dataset(coords={schema.ARM: list(names), schema.QUANTILE: list(SPREAD), "interval": list(INTERVAL)})
    oc.attrs |= {"primary": primary, "reference": reference, "alpha": alpha, "replicates": len(trials.selected)}
    _selection(oc, trials, primary, units[primary])
    _comparison(oc, trials, alpha, reference, units[primary])
    for name, value in endpoints.items():
        _add(oc, f"{name}_mean", average(np.nanmean(value, 1)), f"Mean {name} of virtual patients", units[name])
        quantiles = np.nanquantile(value.reshape(-1, len(names)), SPREAD, axis=0)
        what = f"Quantiles of {name} over all virtual patients and posterior draws"
        oc[f"{name}_quantiles"] = ((schema.QUANTILE, schema.ARM), quantiles, {"long_name": what, "units": units[name]})
    return oc


def _add(oc: xr.Dataset, name: str, found: WithError, what: str, unit: str = "") -> None:
    """Add a number and its Monte-Carlo error."""
    dims = (schema.ARM,) if np.ndim(found[0]) else ()
    oc[name] = (dims, found[0], {"long_name": what, "units": unit})
    oc[f"{name}_mcse"] = (dims, found[1], {"long_name": f"Monte-Carlo error of: {what}", "units": unit})


def _selection(oc: xr.Dataset, trials: Trials, primary: str, unit: str) -> None:
    """Add what is true of each arm, and which one the trials select."""
    truth, selected = np.asarray(trials.truth), np.asarray(trials.selected)
    best, picked = _best(truth), selected[:, None] == np.arange(truth.shape[1])
    _add(oc, "probability_best", share(best), f"Probability that the arm is truly best in {primary}")
    _add(oc, "probability_selected", share(picked), "Probability that a trial selects the arm")
    correct = share((best * picked).sum(1))
    _add(oc, "probability_correct", correct, "Probability that a trial selects the truly best arm")
    _add(oc, "truth", average(truth), f"Mean {primary} of virtual patients who are in no trial", unit)
    what = f"95 % interval of mean {primary} over posterior draws"
    interval = np.quantile(truth, INTERVAL, axis=0)
    oc["truth_interval"] = (("interval", schema.ARM), interval, {"long_name": what, "units": unit})


def _comparison(oc: xr.Dataset, trials: Trials, alpha: float, reference: str, unit: str) -> None:
    """Add how the analysis does: bias, power, coverage. Against itself the reference has neither power nor interval."""
    truth, names = np.asarray(trials.truth), oc[schema.ARM].to_numpy().tolist()
    estimate, lower, upper, p = (np.asarray(getattr(trials.comparison, n)) for n in ("estimate", "lower", "upper", "p"))
    difference = truth - truth[:, [names.index(reference)]]
    other = np.where(np.array(names) == reference, np.nan, 1.0)
    _add(oc, "bias", average(estimate - truth), "Mean error of the trial's estimate", unit)
    power = f"Probability that the arm differs significantly from {reference}"
    _add(oc, "power", _times(share(np.where(np.isfinite(p), p < alpha, np.nan)), other), power)
    coverage = f"Probability that the interval of the difference from {reference} covers the truth"
    covered = (lower <= difference) & (difference <= upper)
    _add(
        oc,
        "coverage",
        _times(share(np.where(np.isfinite(lower + upper + difference), covered, np.nan)), other),
        coverage,
    )
    what = {"long_name": f"Trials in which the arm could be compared with {reference}", "units": ""}
    oc["analysed"] = (schema.ARM, np.isfinite(p).sum(0), what)
