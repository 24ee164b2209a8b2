"""One fit of a simulated data set: what it says of the truth, and whether it may be used."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
import xarray as xr
from jaxtyping import Float

from vtrial import schema
from vtrial.diagnose.columns import array_stats
from vtrial.errors import UserError

LEVELS = (0.5, 0.9, 0.95)
"""Central intervals that are checked."""

_WHAT = {
    "truth": "True value",
    "mean": "Posterior mean",
    "sd": "Posterior standard deviation",
    "median": "Posterior median",
    "lower": "Lower limit of the central interval",
    "upper": "Upper limit of the central interval",
    "rank": "Rank of the truth among thinned draws",
    "r_hat": "Rank-normalised split R-hat",
    "ess": "Bulk effective sample size",
}

type Summary = dict[str, np.ndarray]
"""What is kept of a fit, each [quantity] or [quantity level]."""


class Limits(eqx.Module):
    """Which fits are used. They judge by the data set alone, never by the truth, so that those left are still fair."""

    r_hat: float = eqx.field(static=True, default=1.05)
    """Greatest R-hat of any quantity."""
    divergences: float = eqx.field(static=True, default=0.05)
    """Greatest share of divergent draws."""
    failed: float = eqx.field(static=True, default=0.1)
    """With a greater share of failed fits there is no verdict: it would be of the easy data sets only."""

    def __check_init__(self):
        """Refuse limits that nothing or everything passes."""
        if not (self.r_hat > 1 and 0 <= self.divergences <= 1 and 0 <= self.failed <= 1):
            raise UserError("limits need r_hat above 1, and divergences and failed between 0 and 1.")

    def trouble(self, row: Summary, diverging: float, quantities: tuple[str, ...], needed: int) -> str:
        """Return why a fit is not used, or ""."""
        if not all(np.isfinite(row[name]).all() for name in ("mean", "sd")):
            return "draws that are not finite"
        worst = int(np.nanargmax(np.nan_to_num(row["r_hat"], nan=np.inf)))
        if not row["r_hat"][worst] <= self.r_hat:
            return f"R-hat of {quantities[worst]} above {self.r_hat:g}"
        if diverging > self.divergences:
            return f"more than {100 * self.divergences:g} % divergent draws"
        least = int(np.nanargmin(row["ess"]))
        if not row["ess"][least] >= needed:
            return f"fewer than {needed:g} effective draws of {quantities[least]}"
        return ""


def summarised(
    columns: Float[np.ndarray, "chain draw quantity"], truth: Float[np.ndarray, " quantity"], thinned: int
) -> Summary:
    """Return what a fit says of each quantity, and the rank of its truth among so many draws, evenly thinned.

    Ranks are those of nearly independent draws if there are as many effective ones.
    """
    flat = columns.reshape(-1, columns.shape[-1])
    kept = flat[((np.arange(thinned) + 0.5) * len(flat) / thinned).astype(int)]
    tails = [(1 - level) / 2 for level in LEVELS]
    each = np.moveaxis(columns, -1, 0)
    axes = {"chain_axis": 0, "draw_axis": 1}
    return {
        "truth": truth,
        "mean": flat.mean(0),
        "sd": flat.std(0, ddof=1),
        "median": np.median(flat, axis=0),
        "lower": np.quantile(flat, tails, axis=0).T,
        "upper": np.quantile(flat, [1 - t for t in tails], axis=0).T,
        "rank": (kept < truth).sum(0),
        "r_hat": np.array([float(array_stats.rhat(column, **axes)) for column in each]),
        "ess": np.array([float(array_stats.ess(column, **axes, method="bulk")) for column in each]),
    }


def gathered(
    rows: Sequence[Summary], quantities: tuple[str, ...], units: Sequence[str], limits: Limits, needed: int
) -> xr.Dataset:
    """Return all fits as one dataset, with the reason why each one that failed is not used.

    Args:
        rows: what `summarised` says of each, and `diverging`, `redrawn` and `trouble`.
        quantities: their names.
        units: their units.
        limits: which fits are used.
        needed: so many effective draws of each quantity.
    """
    dims = (schema.REPLICATE, schema.PARAMETER, "level")
    stacked = {name: np.stack([row[name] for row in rows]) for name in _WHAT}
    variables = {n: (dims[: value.ndim], value, {"long_name": _WHAT[n]}) for n, value in stacked.items()}
    reasons = [str(r["trouble"]) or limits.trouble(r, float(r["diverging"]), quantities, needed) for r in rows]
    by_fit = {
        "reason": (reasons, "Why the fit is not used; empty if it is"),
        "diverging": ([float(row["diverging"]) for row in rows], "Share of divergent draws"),
        "redrawn": ([int(row["redrawn"]) for row in rows], "How often a data set was drawn again"),
    }
    variables |= {n: (schema.REPLICATE, np.array(value), {"long_name": what}) for n, (value, what) in by_fit.items()}
    coords = {schema.PARAMETER: list(quantities), "unit": (schema.PARAMETER, list(units)), "level": list(LEVELS)}
    return xr.Dataset(variables, coords)


def share_error(share: np.ndarray, count: int) -> np.ndarray:
    """Return the Monte-Carlo error of a share, not 0 where all or none of few were inside (Agresti and Coull 1998)."""
    moved = (share * count + 2) / (count + 4)
    return np.sqrt(moved * (1 - moved) / (count + 4))
