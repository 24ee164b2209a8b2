"""Goodness-of-fit figures in the field's form: residuals and distribution errors."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import beta, norm

from vtrial import schema
from vtrial.report.style import COLOURS, DARK, GREY, WIDTH, grid, label, logarithmic, points, smooth, spans_decades, svg

_TREND = {"color": COLOURS[1], "lw": 1.6}


class Column(NamedTuple):
    """One output's part of the goodness-of-fit table."""

    table: xr.Dataset
    output: str
    unit: str
    time_unit: str
    log: bool
    """Whether its values span decades."""

    def __getitem__(self, name: str) -> np.ndarray:  # pyright: ignore
        """Return a column."""
        return self.table[name].to_numpy()


def column(tree: xr.DataTree, output: str) -> Column:
    """Return an output's part of the table, DV with it; what is censored has none."""
    table, seen = tree[schema.GOODNESS_OF_FIT].to_dataset(), tree[schema.OBSERVED_DATA].dataset
    known = table["CENS"].to_numpy() == 0
    table = table.assign(DV=(schema.OBS, np.where(known, seen[schema.DV].to_numpy(), np.nan)))
    mine = table.isel({schema.OBS: table["output"].to_numpy() == output})
    unit, time = str(mine["unit"].to_numpy()[0]), str(seen["time"].attrs["units"])
    return Column(mine, output, unit, time, spans_decades(mine["DV"].to_numpy()))


def fits(tree: xr.DataTree, output: str) -> str:
    """Draw DV against PRED and IPRED, CWRES against time and NPDE against PRED."""
    table = column(tree, output)

    def draw() -> Figure:
        figure, panels = grid(4, 2, WIDTH, 3.0)
        against_prediction(panels[0], table, "PRED", "population prediction")
        against_prediction(panels[1], table, "IPRED", "individual prediction")
        trend(panels[2], table["time"], table["CWRES"], log=False)
        panels[2].set(xlabel=label("time", table.time_unit), ylabel="CWRES")
        trend(panels[3], table["PRED"], table["NPDE"], log=table.log)
        panels[3].set(xlabel=label("population prediction", table.unit), ylabel="NPDE")
        return figure

    return svg(
        draw,
        f"Goodness of fit of {output}: observations against population and individual predictions, CWRES against time, "
        "NPDE against population predictions.",
    )


def residuals(tree: xr.DataTree, output: str) -> str:
    """Draw the size of IWRES against IPRED, NPDE against time, and quantiles of NPDE and CWRES."""
    table = column(tree, output)

    def draw() -> Figure:
        figure, panels = grid(4, 2, WIDTH, 3.0)
        trend(panels[0], table["IPRED"], np.abs(table["IWRES"]), log=table.log, signed=False)
        panels[0].axhline(np.sqrt(2 / np.pi), color=DARK, lw=0.9, ls=":")
        panels[0].set(xlabel=label("individual prediction", table.unit), ylabel="|IWRES|", ylim=(0, None))
        trend(panels[1], table["time"], table["NPDE"], log=False)
        panels[1].set(xlabel=label("time", table.time_unit), ylabel="NPDE")
        for axes, name in zip(panels[2:], ("NPDE", "CWRES"), strict=True):
            quantiles(axes, table[name])
            axes.set(xlabel="standard normal quantile", ylabel=f"{name} quantile")
        return figure

    return svg(
        draw,
        f"Residuals of {output}: absolute IWRES against individual predictions, NPDE against time, and quantile plots "
        "of NPDE and CWRES.",
    )


def against_prediction(axes: Axes, table: Column, name: str, words: str) -> None:
    """Draw observations against one kind of prediction, with the line of identity."""
    x, y = table[name], table["DV"]
    known = np.isfinite(x) & np.isfinite(y) & (((x > 0) & (y > 0)) | (not table.log))
    x, y = x[known], y[known]
    if table.log:
        logarithmic(axes, "x")
        logarithmic(axes, "y")
    if len(x):
        both = np.concatenate([x, y])
        low, high = both.min(), both.max()
        margin = 0.04 * (high - low)
        limits = (low / 1.15, high * 1.15) if table.log else (low - margin, high + margin)
        axes.plot(limits, limits, color=DARK, lw=0.9)
        axes.set(xlim=limits, ylim=limits)
    points(axes, x, y)
    at, value = smooth(np.log(x), np.log(y)) if table.log else smooth(x, y)
    axes.plot(np.exp(at) if table.log else at, np.exp(value) if table.log else value, **_TREND)
    axes.set(xlabel=label(words, table.unit), ylabel=label("observation", table.unit))


def trend(axes: Axes, x: np.ndarray, y: np.ndarray, *, log: bool, signed: bool = True) -> None:
    """Draw residuals against something, with a smooth; where they have a sign, with lines at 0 and ±1.96."""
    known = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log))
    x, y = x[known], y[known]
    if signed:
        axes.axhline(0, color=DARK, lw=0.9)
        for edge in (-1.96, 1.96):
            axes.axhline(edge, color=GREY, lw=0.9, ls=":")
        reach = max(3.0, 1.08 * float(np.abs(y).max())) if len(y) else 3.0
        axes.set_ylim(-reach, reach)
    points(axes, x, y)
    if log:
        logarithmic(axes, "x")
    at, value = smooth(np.log(x) if log else x, y)
    axes.plot(np.exp(at) if log else at, value, **_TREND)


def quantiles(axes: Axes, values: Float[np.ndarray, " any"], scale: float = 1.0) -> None:
    """Draw ordered values against those of N(0, scale^2), with the 95 % band of each order statistic (beta quantiles).

    The band is of independent values.
    """
    ordered = np.sort(values[np.isfinite(values)])
    count = len(ordered)
    if not count:
        return
    expected = scale * norm.ppf((np.arange(1, count + 1) - 0.5) / count)
    rank = np.unique(np.round(np.linspace(1, count, 200)))  # the band needs no more places
    low, high = (scale * norm.ppf(beta.ppf(q, rank, count + 1 - rank)) for q in (0.025, 0.975))
    axes.fill_between(scale * norm.ppf((rank - 0.5) / count), low, high, color=GREY, alpha=0.25, lw=0)
    axes.plot(expected[[0, -1]], expected[[0, -1]], color=DARK, lw=0.9)
    points(axes, expected, ordered)
