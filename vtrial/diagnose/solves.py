"""Solves that failed: how many, why, and whose."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from vtrial import schema

_FIRST = 3
"""So many are named."""


class Failure(NamedTuple):
    """All solves that failed for one reason."""

    code: int
    reason: str
    count: int
    first: tuple[str, ...]
    """Those who are named."""
    others: int
    """How many more there are."""

    def whose(self) -> str:
        """Name the first, and count the others."""
        return "; ".join(self.first) + (f"; and {self.others} more" if self.others else "")

    def sentence(self) -> str:
        """Say it."""
        return f"code {self.code}, {self.reason}: {self.count} solve(s), {self.whose()}"


def failed_solves(code: xr.DataArray, named: Sequence[str]) -> list[Failure]:
    """Return the failures by result code, in ascending order.

    Args:
        code: result code of each solve; 0 is solved.
        named: dimensions that say whose solve it is; along the others it counts and is not named.
    """
    values, found = code.to_numpy(), []
    for one in np.unique(values[values != 0]).tolist():
        at = np.argwhere(values == one)
        own = at[:, [code.dims.index(d) for d in named]]
        whose, place = np.unique(own, axis=0, return_index=True)
        order = np.argsort(place)
        first = tuple(
            ", ".join(f"{d} {_label(code, d, i)}" for d, i in zip(named, row, strict=True))
            for row in whose[order[:_FIRST]].tolist()
        )
        reason = schema.RESULT_CODES[int(one)]
        found.append(Failure(int(one), reason, len(at), first, len(whose) - len(first)))
    return found


def _label(code: xr.DataArray, dimension: str, place: int) -> object:
    """Return what a place along a dimension is called."""
    return code[dimension].to_numpy()[place] if dimension in code.coords else place


def fit_failures(code: xr.DataArray) -> list[str]:
    """Return what the solves at the kept draws of a fit say, as sentences; none if all succeeded.

    Args:
        code: result code by chain, draw and ID.
    """
    total = int((code != 0).sum())
    return [
        f"At the draws kept, {total} of {code.size} solves of observed subjects failed ({one.sentence()}): such draws "
        "have no density, and what follows from them is not known; change inference, priors or solver."
        for one in failed_solves(code, (schema.ID,))
    ]


def lost_on_the_way(sample_stats: xr.Dataset) -> list[str]:
    """Return what the solves that failed where chains went say, reason by reason; none if none did, or no chain walked.

    Args:
        sample_stats: what the sampler reported.
    """
    if "failed_solves" not in sample_stats:
        return []
    counts, found = sample_stats["failed_solves"], []
    for code in counts[schema.CODE].to_numpy().tolist():
        mine = counts.sel({schema.CODE: code})
        each = mine.sum(schema.PHASE).to_numpy()
        order = np.argsort(-each, kind="stable")[: int((each > 0).sum())]
        if len(order):
            whose = tuple(f"{schema.ID} {_label(mine, schema.ID, i)}" for i in order[:_FIRST].tolist())
            named = Failure(code, schema.RESULT_CODES[code], int(each.sum()), whose, len(order) - len(whose))
            by_phase = (f"{int(mine.sel({schema.PHASE: one}).sum())} in {one}" for one in schema.PHASES)
            found.append(f"{named.sentence()} ({', '.join(by_phase)})")
    return found


def lost_after_warmup(sample_stats: xr.Dataset) -> list[str]:
    """Return what is to be said of solves that failed where chains went after the warm-up: one sentence, or none."""
    failed = sample_stats.get("failed_solves")
    if failed is None or not failed.sel({schema.PHASE: schema.PHASES[1]}).any():
        return []
    reasons = ". ".join(lost_on_the_way(sample_stats))
    return [
        f"Chains turned back where solves failed, after the warm-up too: {reasons}. These are divergences that no step "
        "size mends; if they are many, the posterior ends where the solver does: look at priors, data of these "
        "subjects, or the solver's tolerances and limit of steps."
    ]
