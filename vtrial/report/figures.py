"""Figures of the data, the parameters, the courses under each arm, and the decision, as SVG text."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from vtrial import schema
from vtrial.report.style import COLOURS, DARK, WIDTH, grid, label, logarithmic, spans_decades, svg

_SMALL = 0.05
"""Share of an axis below which a limit cannot be told from 0."""


def outputs(tree: xr.DataTree) -> list[str]:
    """Return the observed outputs, in order."""
    return [str(o) for o in dict.fromkeys(tree[schema.OBSERVED_DATA]["output"].to_numpy())]


def _time(tree: xr.DataTree) -> str:
    return f"time [{tree[schema.OBSERVED_DATA]['time'].attrs['units']}]"


def data(tree: xr.DataTree) -> str:
    """Draw every subject's observations over time."""

    def draw() -> Figure:
        group, names = tree[schema.OBSERVED_DATA].dataset, outputs(tree)
        figure, panels = grid(len(names), 1, WIDTH, 3.0)
        for axes, output in zip(panels, names, strict=True):
            mine = group.isel({schema.OBS: group["output"].to_numpy() == output})
            for subject in dict.fromkeys(mine["subject"].to_numpy()):
                own = mine.isel({schema.OBS: mine["subject"].to_numpy() == subject})
                axes.plot(
                    own["time"],
                    own[schema.DV],
                    "o-",
                    ms=3,
                    lw=0.9,
                    color=COLOURS[0],
                    alpha=0.55,
                    rasterized=len(group[schema.DV]) > 3000,
                )
            axes.set(xlabel=_time(tree), ylabel=label(output, str(mine["unit"].to_numpy()[0])))
            if spans_decades(value := mine[schema.DV].to_numpy()):
                logarithmic(axes, "y")
                hidden = int((value <= 0).sum())
                axes.set_title(f"{hidden} value(s) of 0 or less not shown" if hidden else "", fontsize=8)
        return figure

    return svg(draw, "Observations of every subject over time.")


def parameters(tree: xr.DataTree) -> str:
    """Draw each population parameter's posterior, chain by chain, over its prior."""

    def draw() -> Figure:
        posterior, prior = tree[schema.POSTERIOR].dataset, tree[schema.PRIOR].dataset
        names = [str(n) for n in tree[schema.FIT_HEALTH][schema.PARAMETER].to_numpy() if n in prior]
        figure, panels = grid(len(names), 4, WIDTH, 1.5)
        for axes, name in zip(panels, names, strict=True):
            chains, before = posterior[name].to_numpy(), prior[name].to_numpy().ravel()
            width = chains.std() * 5 or 0.1
            centre = float(np.median(chains))
            least = 0.0 if before.min() >= 0 else -np.inf
            low, high = max(least, min(centre - width, float(chains.min()))), max(centre + width, float(chains.max()))
            at = np.linspace(low, high, 160)
            axes.fill_between(at, gaussian_kde(before)(at), color="#d9d9d9", lw=0)
            for chain in chains:
                if np.ptp(chain) > 0:
                    axes.plot(at, gaussian_kde(chain)(at), lw=0.8, color=COLOURS[0], alpha=0.8)
                else:  # a chain that is stuck has no density
                    axes.axvline(chain[0], lw=0.8, color=COLOURS[0], alpha=0.8)
            unit = posterior[name].attrs["units"]
            axes.set(title=f"{name} [{unit}]" if unit else name, yticks=[], xlim=(low, high))
            axes.grid(visible=False)
        return figure

    return svg(draw, "Posterior densities of the population parameters, chain by chain, over their priors.")


def courses(tree: xr.DataTree) -> str:
    """Draw each arm's course: the spread of patients, and how uncertain its edges are."""

    def draw() -> Figure:
        group = tree[schema.OUTCOMES].dataset
        names = [str(a) for a in group[schema.ARM].to_numpy()]
        primary = tree[schema.OPERATING_CHARACTERISTICS].attrs["primary"]
        output = str(group[primary].attrs["output"])
        figure, panels = grid(len(names), min(3, len(names)), WIDTH, 2.9)
        course, time = group[f"course_{output}"], group[schema.TIME].to_numpy()
        top = 1.03 * float(np.nanmax(np.nanquantile(course.to_numpy()[..., 2], 0.975, axis=0)))
        least = float(np.nanmin(np.nanquantile(course.to_numpy()[..., 0], 0.025, axis=0)))
        bottom = 0.97 * least if least > 0.5 * top else 0.0  # an output far from 0 shows what changes
        marks = [mark for mark in group[primary].attrs.get("marks", []) if mark > 0]
        far = bool(marks) and min(marks) < _SMALL * top  # a limit that could not be told from 0
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
                axes.axhline(mark, color=DARK, lw=0.9, ls=":")
            axes.set(
                title=str(group["label"].to_numpy()[i]),
                xlabel=f"time [{group[schema.TIME].attrs['units']}]",
                ylim=(bottom, top) if np.isfinite(top) else (0, 1),
            )
            if far:
                logarithmic(axes, "y")
                axes.set_ylim(0.2 * min(marks), 1.3 * top)
        panels[0].set_ylabel(label(output, course.attrs["units"]))
        return figure

    return svg(draw, "Course of the true output under each arm, with the spread of patients and its uncertainty.")


def decision(tree: xr.DataTree) -> str:
    """Draw the true mean of the primary endpoint by arm with its uncertainty, and the probability of being best."""

    def draw() -> Figure:
        oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
        labels = [str(x) for x in outcomes["label"].to_numpy()]
        binary = bool(outcomes[oc.attrs["primary"]].attrs["binary"])
        scale, unit = (100.0, "%") if binary else (1.0, oc["truth"].attrs["units"])
        place = np.arange(len(labels))[::-1]
        figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(labels)), layout="constrained")
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

    return svg(draw, "True mean of the primary endpoint by arm, and probabilities that it is best and selected.")
