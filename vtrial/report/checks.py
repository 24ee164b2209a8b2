"""Figures of the predictive checks."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtrial import schema
from vtrial.report.style import COLOURS, DARK, GREY, WIDTH, grid, label, logarithmic, points, svg


def _axis(group: xr.Dataset, tree: xr.DataTree) -> str:
    return label(str(group.attrs["axis"]), str(tree[schema.OBSERVED_DATA]["time"].attrs["units"]))


def _unit(group: xr.Dataset, output: str) -> str:
    return str(group[f"{output}_observed"].attrs["units"])


def visual(tree: xr.DataTree, output: str) -> str:
    """Draw observed quantiles over the intervals of replicated ones, one panel a stratum; censored parts below."""
    group = tree[schema.VPC].dataset
    layer = group[f"{output}_stratum"].to_numpy()
    strata, censored = list(dict.fromkeys(str(s) for s in layer)), f"{output}_below_observed" in group

    def draw() -> Figure:
        columns, rows = min(2, len(strata)), 2 if censored else 1
        count = -(-len(strata) // columns) * columns
        figure, panels = grid(count * rows, columns, WIDTH, 3.5 if rows == 1 else 2.8, sharey="row")
        for axes in panels:
            axes.set_visible(False)
        for i, stratum in enumerate(strata):
            mine = np.flatnonzero(layer == stratum)
            at = rows * columns * (i // columns) + i % columns
            _quantiles(panels[at], group, output, mine)
            panels[at].set(xlabel=_axis(group, tree), title=stratum)
            if i % columns == 0:
                panels[at].set_ylabel(_words(group, output))
            panels[at].set_visible(True)
            if censored:
                _below(panels[at + columns], group, output, mine)
                panels[at + columns].set(xlabel=_axis(group, tree))
                if i % columns == 0:
                    panels[at + columns].set_ylabel("below the limit [%]")
                panels[at + columns].set_visible(True)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
        return figure

    return svg(draw, f"Visual predictive check of {output}: {group.attrs['check']}.")


def categories(tree: xr.DataTree, output: str) -> str:
    """Draw the observed part of each category over the interval of replicated ones; "" if the output is no category."""
    group = tree[schema.VPC].dataset
    if f"{output}_category_observed" not in group:
        return ""
    layer = group[f"{output}_stratum"].to_numpy()
    strata, known = list(dict.fromkeys(str(s) for s in layer)), group[f"category_{output}"].to_numpy()

    def draw() -> Figure:
        columns = min(3, len(known))
        figure, panels = grid(len(strata) * -(-len(known) // columns) * columns, columns, WIDTH, 2.4, sharey=True)
        for axes in panels:
            axes.set_visible(False)
        for i, stratum in enumerate(strata):
            mine = np.flatnonzero(layer == stratum)
            for j, category in enumerate(known):
                axes = panels[i * -(-len(known) // columns) * columns + j]
                _category(axes, group, output, mine, j)
                axes.set(xlabel=_axis(group, tree), title=f"{output} {category:g} {stratum}".rstrip(), ylim=(0, 100))
                axes.set_ylabel("part [%]" if j % columns == 0 else "")
                axes.set_visible(True)
        return figure

    return svg(draw, f"Visual predictive check of the categories of {output}.")


def _category(axes: Axes, group: xr.Dataset, output: str, mine: np.ndarray, number: int) -> None:
    """Draw one category in the bins `mine` of one stratum."""
    time = group[f"{output}_time"].to_numpy()[mine]
    low, middle, high = 100 * group[f"{output}_category_simulated"].to_numpy()[:, mine, number]
    axes.fill_between(time, low, high, color=COLOURS[0], alpha=0.25, lw=0)
    axes.plot(time, middle, "--", lw=0.9, color=COLOURS[0])
    axes.plot(time, 100 * group[f"{output}_category_observed"].to_numpy()[mine, number], "o-", ms=3, lw=1.5, color=DARK)


def survival(tree: xr.DataTree, output: str) -> str:
    """Draw the Kaplan-Meier curve over the interval of replicated ones, a panel a stratum; "" if it is no event."""
    group = tree[schema.VPC].dataset
    if f"{output}_survival_observed" not in group:
        return ""
    time = group[f"survival_time_{output}"]
    strata = [str(words) for words in group[f"survival_stratum_{output}"].to_numpy()]

    def draw() -> Figure:
        figure, panels = grid(len(strata), min(2, len(strata)), WIDTH, 3.2, sharey=True)
        at = time.to_numpy()
        for i, (axes, words) in enumerate(zip(panels, strata, strict=True)):
            low, middle, high = 100 * group[f"{output}_survival_simulated"].to_numpy()[:, i]
            axes.fill_between(at, low, high, step="post", color=COLOURS[0], alpha=0.25, lw=0, label="replicated, 95 %")
            axes.step(at, middle, "--", where="post", lw=0.9, color=COLOURS[0])
            observed = 100 * group[f"{output}_survival_observed"].to_numpy()[i]
            axes.step(at, observed, where="post", lw=1.5, color=DARK, label="observed")
            axes.set(xlabel=label("time", str(time.attrs["units"])), title=words, ylim=(0, 102))
        panels[0].set_ylabel("free of the event [%]")
        panels[0].legend(fontsize=8)
        return figure

    return svg(draw, f"Kaplan-Meier visual predictive check of {output}.")


def _words(group: xr.Dataset, output: str) -> str:
    name = f"{output}, prediction-corrected" if group.attrs["corrected"] else output
    return label(name, _unit(group, output))


def _quantiles(axes: Axes, group: xr.Dataset, output: str, mine: np.ndarray) -> None:
    """Draw the bins `mine` of one stratum."""
    own = np.isin(group[f"{output}_point_bin"].to_numpy(), mine)
    x, y = group[f"{output}_point_time"].to_numpy()[own], group[f"{output}_point"].to_numpy()[own]
    log, floor = bool(group.attrs["log"]), -np.inf
    if log and np.any(y > 0):
        x, y = x[y > 0], y[y > 0]
        logarithmic(axes, "y")
        floor = y.min() / 2
    points(axes, x, y, color="#6f6f6f", label="observations")
    time = group[f"{output}_time"].to_numpy()[mine]
    wanted = group[schema.QUANTILE].to_numpy()
    for i, quantile in enumerate(wanted):
        colour = COLOURS[1] if abs(quantile - 0.5) < 0.01 else COLOURS[0]
        band = group[f"{output}_simulated"].to_numpy()[:, mine, i]
        low, middle, high = np.maximum(band, floor)
        words = f"{100 * quantile:g} % replicated, 95 % interval"
        axes.fill_between(time, low, high, color=colour, alpha=0.22, lw=0, label=words)
        axes.plot(time, middle, "--", lw=0.9, color=colour)
        observed = group[f"{output}_observed"].to_numpy()[mine, i]
        said = "same percentiles observed" if i == 0 else None
        axes.plot(time, np.maximum(observed, floor), "-", lw=1.5, color=DARK, label=said)
        outside = (observed < low) | (observed > high)
        mark = "observed outside its interval" if i == len(wanted) - 1 else None
        axes.plot(
            time[outside],
            np.maximum(observed, floor)[outside],
            "o",
            ms=6,
            mfc="none",
            mec=COLOURS[5],
            mew=1.4,
            label=mark,
        )
    if np.isfinite(floor):
        axes.set_ylim(bottom=floor)


def _below(axes: Axes, group: xr.Dataset, output: str, mine: np.ndarray) -> None:
    """Draw the part of observations below their limit over its interval in replicates."""
    time = group[f"{output}_time"].to_numpy()[mine]
    low, middle, high = 100 * group[f"{output}_below_simulated"].to_numpy()[:, mine]
    axes.fill_between(time, low, high, color=COLOURS[2], alpha=0.25, lw=0)
    axes.plot(time, middle, "--", lw=0.9, color=COLOURS[2])
    axes.plot(time, 100 * group[f"{output}_below_observed"].to_numpy()[mine], lw=1.5, color=DARK)
    axes.set_ylim(0, None)


def predictive(tree: xr.DataTree, output: str) -> str:
    """Draw the 95 % interval of single measurements in new subjects before the data (prior) and after (posterior)."""
    group, seen = tree[schema.VPC].dataset, tree[schema.OBSERVED_DATA].dataset
    layer = group[f"{output}_stratum"].to_numpy()
    strata = list(dict.fromkeys(str(s) for s in layer))
    values = seen[schema.DV].to_numpy()[seen["output"].to_numpy() == output]

    def draw() -> Figure:
        figure, panels = grid(len(strata), min(2, len(strata)), WIDTH, 3.2, sharey=True)
        for axes, stratum in zip(panels, strata, strict=True):
            mine = np.flatnonzero(layer == stratum)
            time = group[f"{output}_time"].to_numpy()[mine]
            for name, colour, alpha in (("prior", GREY, 0.3), ("posterior", COLOURS[0], 0.3)):
                low, middle, high = group[f"{output}_{name}_predictive"].to_numpy()[:, mine]
                axes.fill_between(time, low, high, color=colour, alpha=alpha, lw=0, label=f"{name} predictive, 95 %")
                axes.plot(time, middle, "--", lw=1.1, color=DARK if name == "prior" else colour)
            own = np.isin(group[f"{output}_point_bin"].to_numpy(), mine)
            points(axes, group[f"{output}_point_time"].to_numpy()[own], values[own], color=DARK, label="observations")
            axes.set(xlabel=_axis(group, tree), title=stratum)
            if bool(group.attrs["log"]) and np.any(values > 0):
                logarithmic(axes, "y")
                axes.set_ylim(bottom=values[values > 0].min() / 2)
        panels[0].set_ylabel(label(output, _unit(group, output)))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
        return figure

    return svg(draw, f"Prior and posterior predictive check of {output}.")
