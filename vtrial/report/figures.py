"""Figures of the report, as SVG text."""

import io
import math
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from vtrial import schema

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
_WIDTH = 9.0
"""Inches: text then has about the size of the page's."""
_GREY, _DARK = "#9a9a9a", "#333333"


def svg(draw: Callable[[], Figure]) -> str:
    """Draw in the report's style and return the SVG element, the same bytes for the same numbers."""
    with mpl.rc_context(_STYLE):
        figure, buffer = draw(), io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def sheet(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels, `columns` a row."""
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in panels[count:]:
        unused.set_visible(False)
    return figure, panels[:count]


def _outputs(tree: xr.DataTree) -> list[str]:
    return [str(o) for o in dict.fromkeys(tree[schema.OBSERVED_DATA]["output"].to_numpy())]


def _time(tree: xr.DataTree) -> str:
    return f"time [{tree[schema.OBSERVED_DATA]['time'].attrs['units']}]"


def _label(output: str, unit: str) -> str:
    return f"{output} [{unit}]" if unit else output


def data(tree: xr.DataTree) -> str:
    """Draw every subject's observations over time."""

    def draw() -> Figure:
        group, outputs = tree[schema.OBSERVED_DATA].dataset, _outputs(tree)
        figure, panels = sheet(len(outputs), 1, _WIDTH, 3.0)
        for axes, output in zip(panels, outputs, strict=True):
            mine = group.isel({schema.OBS: group["output"].to_numpy() == output})
            for subject in dict.fromkeys(mine["subject"].to_numpy()):
                own = mine.isel({schema.OBS: mine["subject"].to_numpy() == subject})
                axes.plot(own["time"], own[schema.DV], "o-", ms=3, lw=0.9, color=COLOURS[0], alpha=0.55)
            axes.set(xlabel=_time(tree), ylabel=_label(output, str(mine["unit"].to_numpy()[0])))
        return figure

    return svg(draw)


def individual_fits(tree: xr.DataTree, most: int = 16) -> str:
    """Draw observations against individual predictions, one panel a subject, at most `most` of them."""

    def draw() -> Figure:
        seen, predictive = tree[schema.OBSERVED_DATA].dataset, tree[schema.POSTERIOR_PREDICTIVE].dataset
        first = _outputs(tree)[0]
        subjects = list(dict.fromkeys(seen["subject"].to_numpy()))[:most]
        figure, panels = sheet(len(subjects), 4, _WIDTH, 1.55)
        for axes, subject in zip(panels, subjects, strict=True):
            mine = np.flatnonzero((seen["subject"].to_numpy() == subject) & (seen["output"].to_numpy() == first))
            time, value = seen["time"].to_numpy()[mine], seen[schema.DV].to_numpy()[mine]
            flat = predictive[schema.IPRED].to_numpy()[..., mine].reshape(-1, len(mine))
            again = predictive[schema.DV].to_numpy()[..., mine].reshape(-1, len(mine))
            low, high = np.quantile(again, (0.025, 0.975), axis=0)
            axes.fill_between(time, low, high, color=COLOURS[0], alpha=0.18, lw=0)
            axes.plot(time, np.median(flat, axis=0), color=COLOURS[0], lw=1.2)
            axes.plot(time, value, "o", ms=2.6, color=_DARK)
            axes.set_title(f"ID {subject}")
        for axes in panels[-4:]:
            axes.set_xlabel(_time(tree))
        figure.supylabel(_label(first, str(seen["unit"].to_numpy()[0])), fontsize=9)
        return figure

    return svg(draw)


def visual_predictive_check(tree: xr.DataTree) -> str:
    """Draw observed quantiles over the intervals of replicated ones, for each output."""

    def draw() -> Figure:
        group, seen, outputs = tree[schema.VPC].dataset, tree[schema.OBSERVED_DATA].dataset, _outputs(tree)
        figure, panels = sheet(len(outputs), 1, _WIDTH, 3.4)
        for axes, output in zip(panels, outputs, strict=True):
            mine = seen.isel({schema.OBS: seen["output"].to_numpy() == output})
            axes.plot(mine["time"], mine[schema.DV], "o", ms=2.4, color=_GREY, alpha=0.8, label="observations")
            time = group[f"{output}_time"].to_numpy()
            for i, quantile in enumerate(group[schema.QUANTILE].to_numpy()):
                colour = COLOURS[i]
                low, middle, high = group[f"{output}_simulated"].to_numpy()[..., i]
                axes.fill_between(
                    time,
                    low,
                    high,
                    color=colour,
                    alpha=0.22,
                    lw=0,
                    label=f"{100 * quantile:.0f} % simulated, 95 % interval",
                )
                axes.plot(time, middle, "--", lw=0.9, color=colour)
                label = "same quantiles observed" if i == 0 else None
                axes.plot(time, group[f"{output}_observed"].to_numpy()[:, i], "-", lw=1.3, color=_DARK, label=label)
            axes.set(xlabel=_time(tree), ylabel=_label(output, str(mine["unit"].to_numpy()[0])))
            axes.legend(fontsize=7.5, ncols=2)
        return figure

    return svg(draw)


def parameters(tree: xr.DataTree) -> str:
    """Draw each population parameter's posterior, chain by chain, over its prior."""

    def draw() -> Figure:
        posterior, prior = tree[schema.POSTERIOR].dataset, tree[schema.PRIOR].dataset
        names = [str(n) for n in tree[schema.FIT_HEALTH][schema.PARAMETER].to_numpy() if n in prior]
        figure, panels = sheet(len(names), 4, _WIDTH, 1.5)
        for axes, name in zip(panels, names, strict=True):
            chains, before = posterior[name].to_numpy(), prior[name].to_numpy().ravel()
            width = chains.std() * 5 or 0.1
            centre = float(np.median(chains))
            low, high = max(0.0, min(centre - width, float(chains.min()))), max(centre + width, float(chains.max()))
            grid = np.linspace(low, high, 160)
            axes.fill_between(grid, gaussian_kde(before)(grid), color="#d9d9d9", lw=0)
            for chain in chains:
                if np.ptp(chain) > 0:
                    axes.plot(grid, gaussian_kde(chain)(grid), lw=0.8, color=COLOURS[0], alpha=0.8)
                else:  # a chain that is stuck has no density
                    axes.axvline(chain[0], lw=0.8, color=COLOURS[0], alpha=0.8)
            unit = posterior[name].attrs["units"]
            axes.set(title=f"{name} [{unit}]" if unit else name, yticks=[], xlim=(low, high))
            axes.grid(visible=False)
        return figure

    return svg(draw)


def courses(tree: xr.DataTree) -> str:
    """Draw each arm's course: the spread of patients, and how uncertain its edges are."""

    def draw() -> Figure:
        group = tree[schema.OUTCOMES].dataset
        names = [str(a) for a in group[schema.ARM].to_numpy()]
        primary = tree[schema.OPERATING_CHARACTERISTICS].attrs["primary"]
        output = str(group[primary].attrs["output"])
        figure, panels = sheet(len(names), min(3, len(names)), _WIDTH, 2.9)
        course, time = group[f"course_{output}"], group[schema.TIME].to_numpy()
        top = 1.03 * float(np.nanmax(np.nanquantile(course.to_numpy()[..., 2], 0.975, axis=0)))
        for i, (axes, name) in enumerate(zip(panels, names, strict=True)):
            low, middle, high = np.nanquantile(course.sel({schema.ARM: name}).to_numpy(), (0.025, 0.5, 0.975), axis=0)
            colour = COLOURS[i % len(COLOURS)]
            axes.fill_between(
                time, middle[:, 0], middle[:, 2], color=colour, alpha=0.16, lw=0, label="90 % of patients"
            )
            for edge in (0, 2):
                axes.fill_between(time, low[:, edge], high[:, edge], color=colour, alpha=0.25, lw=0)
            axes.fill_between(time, low[:, 1], high[:, 1], color=colour, alpha=0.35, lw=0)
            axes.plot(time, middle[:, 1], color=colour, lw=1.6, label="median patient")
            for mark in group[primary].attrs.get("marks", []):
                axes.axhline(mark, color=_DARK, lw=0.9, ls=":")
            axes.set(
                title=str(group["label"].to_numpy()[i]),
                xlabel=f"time [{group[schema.TIME].attrs['units']}]",
                ylim=(0, top if np.isfinite(top) else 1),
            )
        panels[0].set_ylabel(_label(output, course.attrs["units"]))
        return figure

    return svg(draw)


def decision(tree: xr.DataTree) -> str:
    """Draw the true mean of the primary endpoint by arm with its uncertainty, and the probability of being best."""

    def draw() -> Figure:
        oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
        labels = [str(x) for x in outcomes["label"].to_numpy()]
        binary = bool(outcomes[oc.attrs["primary"]].attrs["binary"])
        scale, unit = (100.0, "%") if binary else (1.0, oc["truth"].attrs["units"])
        place = np.arange(len(labels))[::-1]
        figure = Figure(figsize=(_WIDTH, 0.9 + 0.42 * len(labels)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        low, high = scale * oc["truth_interval"].to_numpy()
        for i, at in enumerate(place):
            colour = COLOURS[i % len(COLOURS)]
            left.plot([low[i], high[i]], [at, at], color=colour, lw=3, alpha=0.45, solid_capstyle="butt")
            left.plot(scale * float(oc["truth"][i]), at, "o", color=colour, ms=6)
            for offset, name, alpha in ((0.17, "probability_best", 0.9), (-0.17, "probability_selected", 0.4)):
                error = 100 * float(oc[f"{name}_mcse"][i])
                right.barh(
                    at + offset,
                    100 * float(oc[name][i]),
                    0.3,
                    xerr=error,
                    color=colour,
                    alpha=alpha,
                    error_kw={"lw": 0.9},
                )
        left.set(
            yticks=place,
            yticklabels=labels,
            xlabel=f"{oc.attrs['primary']}: true mean [{unit}]",
            xlim=(0, None),
        )
        right.set(xlabel="probability [%]", xlim=(0, 100))
        right.tick_params(axis="y", length=0)
        return figure

    return svg(draw)
