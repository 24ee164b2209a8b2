"""Individual fits: one panel a subject."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtrial import schema
from vtrial.report.goodness import Column, column
from vtrial.report.style import COLOURS, DARK, GREY, WIDTH, grid, label, logarithmic, svg

MOST = 16
"""Subjects shown; the table beside the report has all."""


class Shown(NamedTuple):
    """A figure of some subjects."""

    svg: str
    shown: int
    of: int


def individual_fits(tree: xr.DataTree, output: str, most: int = MOST) -> Shown:
    """Draw observations and predictions of at most `most` subjects, taken evenly from the order of the data."""
    table = column(tree, output)
    every = list(dict.fromkeys(str(s) for s in table["subject"]))
    chosen = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, min(most, len(every))).astype(int))]
    where = np.flatnonzero(tree[schema.GOODNESS_OF_FIT]["output"].to_numpy() == output)
    again = tree[schema.POSTERIOR_PREDICTIVE][schema.DV].to_numpy()[..., where].reshape(-1, len(where))
    low, high = np.quantile(again, (0.025, 0.975), axis=0)

    def draw() -> Figure:
        figure, panels = grid(len(chosen), min(4, len(chosen)), WIDTH, 1.6, sharex=True, sharey=True)
        for axes, subject in zip(panels, chosen, strict=True):
            mine = np.flatnonzero(table["subject"] == subject)
            mine = mine[np.argsort(table["time"][mine], kind="stable")]
            _one(axes, table, mine, low[mine], high[mine])
            axes.set_title(f"ID {subject}")
        for axes in panels[-min(4, len(panels)) :]:
            axes.set_xlabel(label("time", table.time_unit))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
        figure.supylabel(label(output, table.unit), fontsize=9)
        return figure

    words = f"Observations and predictions of {output} of {len(chosen)} of {len(every)} subjects over time."
    return Shown(svg(draw, words), len(chosen), len(every))


def _one(axes: Axes, table: Column, mine: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Draw one subject."""
    time = table["time"][mine]

    def positive(value: np.ndarray) -> np.ndarray:
        return np.where(value > 0, value, np.nan) if table.log else value

    if table.log:
        logarithmic(axes, "y")
    floor = np.nanmin(positive(table["DV"])) / 3 if table.log else None
    below = np.maximum(low, floor) if floor is not None else low
    axes.fill_between(time, below, high, color=COLOURS[0], alpha=0.18, lw=0, label="replicated, 95 % interval")
    axes.plot(time, positive(table["PRED"][mine]), "--", color=GREY, lw=1.1, label="population prediction")
    axes.plot(time, positive(table["IPRED"][mine]), color=COLOURS[0], lw=1.3, label="individual prediction")
    axes.plot(time, positive(table["DV"][mine]), "o", ms=2.8, color=DARK, label="observation")
