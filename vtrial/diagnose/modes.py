"""Whether chains sit in different modes: each settled, but apart from one another."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

_APART = 3.0
"""Groups of chains are apart where their nearest means differ by more than this many standard deviations within."""
_SETTLED = 1.0
"""A chain has settled where the means of its halves differ by less than this many of its standard deviations."""


class Modes(NamedTuple):
    """What the chains say about the modes of a posterior."""

    count: int
    """Groups of chains that do not overlap; 1 is what one wants."""
    sentence: str
    """Which parameters are where, in words; empty for one mode."""
    parameters: tuple[str, ...]
    """Parameters in which the groups are apart, the most distant first."""


def modes(columns: Mapping[str, np.ndarray], sample_stats: xr.Dataset | None = None) -> Modes:
    """Look for modes in population-level parameters [chain draw].

    Positive parameters are compared on the log scale. A chain that still drifts is of no mode: with any such, the count
    is of the others. The log density `lp` of sample_stats says which mode is the higher; it is not its probability.
    """
    scaled = {n: np.log(x) if (x > 0).all() else x for n, x in columns.items() if np.isfinite(x).all()}
    if not scaled or next(iter(scaled.values())).shape[0] < 2:
        return Modes(1, "", ())
    settled = np.all([_settled(x) for x in scaled.values()], axis=0)
    if settled.sum() < 2:
        return Modes(1, "", ())
    chains = np.flatnonzero(settled)
    groups = {n: _groups(x[settled]) for n, x in scaled.items()}
    apart = {n: distance for n, (distance, _) in groups.items() if distance > _APART}
    if not apart:
        return Modes(1, "", ())
    order = tuple(sorted(apart, key=lambda n: -apart[n]))
    member = groups[order[0]][1]
    labels = np.unique(np.stack([groups[n][1] for n in order]), axis=1).shape[1]
    split = [chains[member == g] for g in np.unique(member)]
    return Modes(max(labels, len(split)), _sentence(order, split, columns, sample_stats), order)


def _settled(x: np.ndarray) -> np.ndarray:
    """Return which chains [chain] of a parameter [chain draw] stay where they are."""
    half = x.shape[1] // 2
    spread = x.std(1) + 1e-300
    return np.abs(x[:, :half].mean(1) - x[:, half:].mean(1)) < _SETTLED * spread


def _groups(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the largest gap between neighbouring chain means in SDs within, and the group of each chain [chain]."""
    means, order = x.mean(1), np.argsort(x.mean(1))
    within = np.sqrt(np.mean(x.var(1))) + 1e-300
    gaps = np.diff(means[order]) / within
    member = np.empty(len(means), int)
    member[order] = np.concatenate([[0], np.cumsum(gaps > _APART)])
    return float(gaps.max()), member


def _sentence(
    order: tuple[str, ...], split: list[np.ndarray], columns: Mapping[str, np.ndarray], stats: xr.Dataset | None
) -> str:
    """Say where each group of chains is."""
    said = []
    for chains in split:
        values = ", ".join(f"{n} {np.median(columns[n][chains]):.3g}" for n in order[:4])
        height = ""
        if stats is not None and "lp" in stats:
            height = f", mean log density {float(stats['lp'].to_numpy()[chains].mean()):.1f}"
        said.append(f"{_number(chains)} at {values}{height}")
    exchanged = _flip_flop(split, columns)
    return f"Chains sit in different modes: {'; '.join(said)}.{exchanged}"


def _number(chains: np.ndarray) -> str:
    shown = ", ".join(str(c) for c in chains[:6])
    return f"chain{'s' if len(chains) > 1 else ''} {shown}{' ...' if len(chains) > 6 else ''}"


def _flip_flop(split: list[np.ndarray], columns: Mapping[str, np.ndarray]) -> str:
    """Say so where KA of one group is CL/VC of the other: absorption and elimination exchanged."""
    if not all(name in columns for name in ("KA", "CL", "VC")):
        return ""
    rate = np.log(columns["CL"] / columns["VC"])
    absorbed = np.log(columns["KA"])
    sides = {bool(np.median(absorbed[chains]) > np.median(rate[chains])) for chains in split}
    if len(sides) < 2:
        return ""
    return (
        " KA and CL/VC are exchanged between them (flip-flop): give KA, CL or VC a narrower prior, and start at the "
        "prior medians (inference.start=medians)."
    )
