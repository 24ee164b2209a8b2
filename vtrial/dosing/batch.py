"""Batch: the event tables of many persons, padded in buckets of similar size."""

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import numpy as np
from jaxtyping import Array

from vtrial.dosing.table import EventTable, stack


class Batch(eqx.Module):
    """Event tables of persons in as few buckets as keep padding small; each bucket is solved at once."""

    tables: tuple[EventTable, ...]
    """One a bucket, stacked on a leading axis of its members."""
    members: tuple[np.ndarray, ...]
    """Positions of the persons in each bucket, ascending."""
    used: int = eqx.field(static=True)
    """Entries and samples before padding."""

    @property
    def waste(self) -> float:
        """Padded cells, as a part of those that are used."""
        return sum(len(m) * sum(t.sizes[:2]) for t, m in zip(self.tables, self.members, strict=True)) / self.used - 1.0

    def positions(self, subject: np.ndarray, sample: np.ndarray | Array) -> np.ndarray | Array:
        """Return where samples of persons lie in the buckets' values [member, sample], flattened and joined."""
        starts = np.zeros(sum(len(m) for m in self.members), int)
        start = 0
        for table, members in zip(self.tables, self.members, strict=True):
            width = table.sizes[1]
            starts[members] = start + width * np.arange(len(members))
            start += width * len(members)
        return starts[np.asarray(subject)] + sample


def batch(tables: Sequence[EventTable], waste: float = 0.2) -> Batch:
    """Put event tables into the smallest number of buckets that keeps padding at or below `waste` of what is used.

    Persons are sorted by entries plus samples and cut into runs; of all cuts into so many buckets the one with least
    padding is taken (dynamic programming over the distinct sizes).
    """
    sizes = np.array([t.sizes[:2] for t in tables])
    order = np.lexsort((sizes[:, 0], sizes.sum(1)))
    distinct, count = _runs(sizes[order])
    used = int(sizes.sum())
    bounds = _cuts(_costs(distinct, count), (1.0 + waste) * used)
    person = np.concatenate([[0], np.cumsum(count)])
    members = [np.sort(order[person[a] : person[b]]) for a, b in pairwise(bounds)]
    return Batch(tuple(stack([tables[i] for i in m]) for m in members), tuple(members), used)


def _runs(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct sizes of sorted ones, and how many persons have each."""
    new = np.flatnonzero(np.any(np.diff(sizes, axis=0, prepend=-1) != 0, axis=1))
    return sizes[new], np.diff(np.append(new, len(sizes)))


def _costs(distinct: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the padded cells of a bucket of the sizes i to j, as a matrix [i, j]."""
    cost = np.full((len(count), len(count)), np.inf)
    for i in range(len(count)):
        cells = np.maximum.accumulate(distinct[i:], axis=0).sum(1)
        cost[i, i:] = np.cumsum(count[i:]) * cells
    return cost


def _cuts(cost: np.ndarray, allowed: float) -> list[int]:
    """Return the bounds of the fewest buckets whose cells together are at most `allowed`."""
    best, back = cost[0], []
    while best[-1] > allowed * (1 + 1e-12) and len(back) + 1 < len(best):
        # One bucket more: it begins at i, after the best cut of the sizes before i.
        total = np.vstack([np.full(len(best), np.inf), best[:-1, None] + cost[1:]])
        back.append(np.argmin(total, axis=0))
        best = total.min(axis=0)
    bounds = [len(best)]
    for previous in reversed(back):
        bounds.append(int(previous[bounds[-1] - 1]))
    return [0, *reversed(bounds)]
