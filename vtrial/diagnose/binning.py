"""Bins of time and strata of covariates, for checks that compare observations group by group."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

_FEW = 5
"""A covariate with at most so many distinct values is taken as categories."""


def time_bins(time: Float[np.ndarray, " obs"], wanted: int) -> Int[np.ndarray, " obs"]:
    """Assign each observation to one of at most `wanted` bins; equal times are never parted.

    Where there are no more distinct times than bins, each is a bin: the nominal times of a protocol. Else bins are of
    equal count, as far as ties allow.
    """
    distinct, place = np.unique(time, return_inverse=True)
    if len(distinct) <= wanted:
        return place
    edges = np.unique(np.quantile(time, np.linspace(0, 1, wanted + 1)[1:-1], method="closest_observation"))
    return np.unique(np.searchsorted(edges, time, side="left"), return_inverse=True)[1]


def given_bins(time: Float[np.ndarray, " obs"], edges: Float[np.ndarray, " edge"]) -> Int[np.ndarray, " obs"]:
    """Assign each observation to the bin that begins at the last edge at or before it; -1 outside the edges.

    The last bin holds its right edge too.
    """
    place = np.searchsorted(edges, time, side="right") - 1
    place = np.where(time == edges[-1], len(edges) - 2, place)
    return np.where((time < edges[0]) | (time > edges[-1]), -1, place)


def strata(
    value: Float[np.ndarray, " any"], wanted: int, name: str, unit: str
) -> tuple[Int[np.ndarray, " any"], list[str]]:
    """Cut a covariate into strata: its categories where it has few values, else `wanted` groups at its quantiles.

    Returns the stratum of each value, and what each stratum is, in words.
    """
    distinct = np.unique(value)
    if len(distinct) <= max(_FEW, wanted):
        return np.searchsorted(distinct, value), [f"{name} {v:g} {unit}".rstrip() for v in distinct]
    cuts = np.unique(np.quantile(distinct, np.linspace(0, 1, wanted + 1)[1:-1]))
    place = np.searchsorted(cuts, value, side="left")
    marks = [f"{cut:.3g}" for cut in cuts]
    words = [f"{name} ≤ {marks[0]} {unit}"]
    words += [f"{name} {a} to {b} {unit}" for a, b in pairwise(marks)]
    return place, [w.rstrip() for w in [*words, f"{name} > {marks[-1]} {unit}"]]
