"""The ledger of decisions that adapted doses within patients, as a table and a figure."""

from itertools import pairwise
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from vtrial import schema
from vtrial.report.numbers import interval, percent, significant
from vtrial.report.style import GREY, WIDTH, grid, svg
from vtrial.report.tables import Table

_FEW = 7
"""So many different doses are shown one by one; more by bands."""
_BANDS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Limits of these bands."""


class _Arm(NamedTuple):
    """The decisions of one arm, its patients (of all periods) in a row."""

    label: str
    time: Float[np.ndarray, " decision"]
    observed: Float[np.ndarray, "replicate patient decision"]
    before: Float[np.ndarray, "replicate patient decision"]
    after: Float[np.ndarray, "replicate patient decision"]


def decisions(tree: xr.DataTree) -> Table:
    """Return what was seen at each decision, and how many patients' doses it raised, lowered or stopped."""
    rows, header = [], ["Arm", "Time", "Seen: median (5 to 95 %)", "Raised", "Lowered", "None given", "Dose after"]
    for arm in _arms(tree):
        unit = str(tree[schema.OUTCOMES]["decision_time"].attrs["units"])
        for k, time in enumerate(arm.time):
            seen, before, after = (value[..., k] for value in (arm.observed, arm.before, arm.after))
            known = np.isfinite(seen)
            told = "–"
            if known.any():
                low, middle, high = np.quantile(seen[known], (0.05, 0.5, 0.95))
                told = f"{significant(middle)} ({interval(low, high)})"
            shares = [_share(x) for x in (after > before, (after < before) & (after > 0), after == 0)]
            low, middle, high = np.nanquantile(after, (0.05, 0.5, 0.95))
            dose = f"{significant(middle)} ({interval(low, high)})"
            rows.append([arm.label if k == 0 else "", f"{time:g} {unit}", told, *shares, dose])
    return Table(header, rows)


def levels(tree: xr.DataTree) -> str:
    """Draw the share of patients at each dose over the decisions, arm by arm; "" where no doses adapt."""
    arms = _arms(tree)
    if not arms:
        return ""

    def draw() -> Figure:
        figure, panels = grid(len(arms), min(2, len(arms)), WIDTH, 2.9)
        for axes, arm in zip(panels, arms, strict=True):
            parts = _parts(arm.after)
            colours = mpl.colormaps["viridis_r"](np.linspace(0.1, 0.95, max(len(parts), 2)))
            place, bottom = np.arange(len(arm.time)), np.zeros(len(arm.time))
            for colour, (name, part) in zip(colours, parts, strict=False):
                share = 100 * part.mean((0, 1))
                axes.bar(place, share, 0.8, bottom, color=GREY if name == "0" else colour, label=name)
                bottom += share
            axes.set(
                title=arm.label,
                xticks=place,
                xticklabels=[f"{time:g}" for time in arm.time],
                xlabel=f"time of the decision [{tree[schema.OUTCOMES]['decision_time'].attrs['units']}]",
                ylabel="patients [%]",
                ylim=(0, 100),
            )
            axes.grid(visible=False)
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True, fontsize=8)
        return figure

    return svg(draw, "Share of patients at each dose after each decision, by arm.")


def _arms(tree: xr.DataTree) -> list[_Arm]:
    """Return the arms whose doses adapt."""
    group, found = tree[schema.OUTCOMES].dataset, []
    if "decision_after" not in group:
        return []
    for i in range(group.sizes[schema.ARM]):
        mine = group.isel({schema.ARM: i})
        time = mine["decision_time"].to_numpy()
        count = int(np.isfinite(time).sum())
        if count:
            flat = []
            for name in ("observed", "before", "after"):
                value = mine[f"decision_{name}"].transpose(schema.REPLICATE, ..., schema.DECISION).to_numpy()
                flat.append(value.reshape(len(value), -1, value.shape[-1])[..., :count])
            found.append(_Arm(str(mine["label"].item()), time[:count], *flat))
    return found


def _share(which: np.ndarray) -> str:
    """Write the share of patients with its Monte-Carlo error over replicates."""
    each = which.mean(1)
    return percent(float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))))


def _parts(after: Float[np.ndarray, "replicate patient decision"]) -> list[tuple[str, np.ndarray]]:
    """Return which patients are at which dose: one by one if doses are few, else by bands."""
    own = np.round(after, 6)
    values = np.unique(own[np.isfinite(own)])
    if len(values) <= _FEW:
        return [(f"{value:g}", own == value) for value in values.tolist()]
    between = [(f"above {a:g} to {b:g}", (own > a) & (own <= b)) for a, b in pairwise(_BANDS)]
    parts = [("0", own == 0), *between, (f"above {_BANDS[-1]:g}", own > _BANDS[-1])]
    return [(name, part) for name, part in parts if part.any()]
