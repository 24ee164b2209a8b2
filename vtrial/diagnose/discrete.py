"""Predictive checks of what is not continuous: values below a limit, categories, and times to an event."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

INTERVAL = (0.025, 0.5, 0.975)
"""Quantiles over the replicated datasets."""


def known_quantiles(values: Float[np.ndarray, "..."], wanted: Sequence[float], axis: int) -> Float[np.ndarray, "..."]:
    """Return quantiles over an axis of what is known; a replicate that could not be solved is NaN and left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice", category=RuntimeWarning)
        return np.nanquantile(values, wanted, axis=axis)


class Band(NamedTuple):
    """A statistic of the data, and its 2.5, 50 and 97.5 % quantiles over replicated datasets."""

    observed: Float[np.ndarray, "*any"]
    simulated: Float[np.ndarray, "interval *any"]


def fractions(
    observed: Bool[np.ndarray, " obs"], simulated: Bool[np.ndarray, "replicate obs"], group: Int[np.ndarray, " obs"]
) -> Band:
    """Return the part of a bin's observations for which something holds, such as being below a limit [bin]."""
    groups = [np.flatnonzero(group == g) for g in np.unique(group[group >= 0])]
    seen = np.array([observed[g].mean() for g in groups])
    again = np.stack([simulated[:, g].mean(axis=1) for g in groups], axis=-1)
    return Band(seen, np.quantile(again, INTERVAL, axis=0))


def category_check(
    observed: Int[np.ndarray, " obs"],
    simulated: Int[np.ndarray, "replicate obs"],
    group: Int[np.ndarray, " obs"],
    categories: Int[np.ndarray, " category"],
) -> Band:
    """Return the part of each category by bin [bin category]: the visual predictive check of categorical data."""
    each = [fractions(observed == c, simulated == c, group) for c in categories]
    return Band(np.stack([b.observed for b in each], -1), np.stack([b.simulated for b in each], -1))


def kaplan_meier(
    time: Float[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"], grid: Float[np.ndarray, " time"]
) -> Float[np.ndarray, " time"]:
    """Return the Kaplan-Meier estimate of surviving beyond each time of a grid; 1 - event is a censored subject.

    At one time, events come before censorings (Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452).
    """
    at, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, event.astype(float), len(at))
    at_risk = len(time) - np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(at)))[:-1]])
    surviving = np.concatenate([[1.0], np.cumprod(1 - events / at_risk)])
    return surviving[np.searchsorted(at, grid, side="right")]


def survival_check(
    time: Float[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    simulated_time: Float[np.ndarray, "replicate subject"],
    simulated_event: Bool[np.ndarray, "replicate subject"],
    grid: Float[np.ndarray, " time"],
) -> Band:
    """Return the Kaplan-Meier curve of the data and the band of those of replicates, on a grid of times.

    Replicates must be censored as the data are, by the end of each subject's observation: the curves are comparable
    only then.
    """
    again = np.stack([kaplan_meier(t, e, grid) for t, e in zip(simulated_time, simulated_event, strict=True)])
    return Band(kaplan_meier(time, event, grid), np.quantile(again, INTERVAL, axis=0))
