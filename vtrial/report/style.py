"""How every figure of the report looks, and what figures share."""

import io
import math
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

_STYLE: Any = {
    "svg.hashsalt": "vtrial",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
COLOURS = ("#0b6e99", "#d1690e", "#3a7d44", "#8a3f8f", "#7a5c2e", "#b0273a", "#4a5fa8", "#5b5b5b")
WIDTH = 9.0
"""Inches: text then has about the size of the page's."""
GREY, DARK = "#9a9a9a", "#333333"
_MANY = 1500
"""So many points and more are drawn as an image within the figure, which is then smaller."""
_DECADES = 30.0
"""From this ratio of the largest to small values on, an axis is logarithmic."""


def svg(draw: Callable[[], Figure], alternative: str) -> str:
    """Draw in the report's style and return the SVG element, the same bytes for the same numbers.

    Args:
        draw: makes the figure.
        alternative: says what it shows, for those who cannot see it.
    """
    with mpl.rc_context(_STYLE):
        figure, buffer = draw(), io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", dpi=150)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return f'<svg role="img" aria-label="{escape(alternative, quote=True)}"' + text.removeprefix("<svg")


def grid(count: int, columns: int, width: float, height: float, **settings) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels, `columns` a row."""
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **settings).ravel().tolist()
    for unused in panels[count:]:
        unused.set_visible(False)
    return figure, panels[:count]


def label(name: str, unit: str) -> str:
    """Write a quantity and its unit, as an axis has them."""
    return f"{name} [{unit}]" if unit else name


def spans_decades(values: Float[np.ndarray, " any"]) -> bool:
    """Return whether positive values spread so far that small ones cannot be seen on a linear axis."""
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive) < 0.5 * len(values) or not len(positive):
        return False
    return bool(positive.max() > _DECADES * np.quantile(positive, 0.1))


def logarithmic(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with plain numbers at its ticks."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def points(axes: Axes, x: Float[np.ndarray, " any"], y: Float[np.ndarray, " any"], **settings) -> None:
    """Draw points; many of them paler and as an image."""
    many = len(x) >= _MANY
    chosen: dict[str, Any] = {
        "rasterized": many,
        "ms": 2.2 if many else 3.2 if len(x) > 60 else 4.5,
        "mew": 0,
        "alpha": 0.25 if many else 0.6,
        "color": COLOURS[0],
    } | settings
    axes.plot(x, y, "o", **chosen)


def smooth(
    x: Float[np.ndarray, " any"], y: Float[np.ndarray, " any"], part: float = 0.66, count: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Return a local linear regression with tricube weights of the nearest `part` of the points, at places among them.

    Source: Cleveland 1979, doi:10.1080/01621459.1979.10481038, without its robustness iterations.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(np.unique(x)) < 4:
        return np.array([]), np.array([])
    # Places lie among the data: in a gap a local line says nothing.
    at = np.unique(np.quantile(x, np.linspace(0, 1, count), method="closest_observation"))
    near = max(4, math.ceil(part * len(x)))
    found = np.full(len(at), np.nan)
    for i, centre in enumerate(at):
        distance = np.abs(x - centre)
        width = 1.001 * np.partition(distance, min(near, len(x)) - 1)[min(near, len(x)) - 1]
        if width == 0:
            found[i] = y[distance == 0].mean()
            continue
        weight = np.clip(1 - (distance / width) ** 3, 0, None) ** 3
        middle = np.average(x, weights=weight)
        spread = np.sum(weight * (x - middle) ** 2)
        slope = np.sum(weight * (x - middle) * y) / spread if spread > 0 else 0.0
        found[i] = np.average(y, weights=weight) + slope * (centre - middle)
    return at, found
