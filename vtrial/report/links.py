"""Outcomes of larger trials, by the effect on an endpoint: their table and their figure."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from vtrial import schema
from vtrial.report.numbers import interval, percent, significant, with_error
from vtrial.report.style import COLOURS, DARK, WIDTH, svg
from vtrial.report.tables import Table


def _names(tree: xr.DataTree) -> list[tuple[str, str]]:
    """Return name and words of each outcome; none where the study has no links."""
    said = tree[schema.OPERATING_CHARACTERISTICS].attrs.get("links", [])
    return [(name, words) for name, _, words in (str(one).partition(": ") for one in said)]


def _arms(tree: xr.DataTree) -> list[tuple[int, str]]:
    """Return number and label of each arm but the reference."""
    oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
    named = enumerate(str(arm) for arm in oc[schema.ARM].to_numpy())
    return [(i, str(outcomes["label"].sel({schema.ARM: n}).item())) for i, n in named if n != oc.attrs["reference"]]


def links(tree: xr.DataTree) -> Table | None:
    """Return the risk of each outcome under each arm, and the patients of a trial that shows it; None without links."""
    oc, names = tree[schema.OPERATING_CHARACTERISTICS].dataset, _names(tree)
    if not names:
        return None
    header = ["Outcome", "Arm", "Risk ratio ± MCSE", "95 % interval", "Risk", "P(prevented)"]
    header += ["Patients needed (5 to 95 %)", "P(trial shows it)"]
    rows = []
    for name, words in names:
        for row, (arm, label) in enumerate(_arms(tree)):
            rows.append(["" if row else words, label, *_row(oc.isel({schema.ARM: arm}), name)])
    return Table(header, rows)


def _row(mine: xr.Dataset, name: str) -> list[str]:
    """Write the numbers of one outcome under one arm."""

    def pair(what: str) -> tuple[float, float]:
        return float(mine[f"{name}_{what}"]), float(mine[f"{name}_{what}_mcse"])

    return [
        with_error(*pair("ratio")),
        interval(*mine[f"{name}_ratio_interval"].to_numpy()),
        percent(*pair("risk")),
        percent(*pair("prevented")),
        _sizes(mine[f"{name}_size_quantiles"].to_numpy()),
        percent(*pair("success")) if f"{name}_success" in mine else "–",
    ]


def _sizes(quantiles: np.ndarray) -> str:
    """Write the middle of the patients needed, and its 5th and 95th percentile."""
    low, middle, high = (significant(one) if np.isfinite(one) else "no number" for one in quantiles)
    return f"{middle} ({low} to {high})"


def ratios(tree: xr.DataTree) -> str:
    """Draw the risk ratio of each outcome under each arm, with its 95 % interval; "" without links."""
    names, arms = _names(tree), _arms(tree)
    if not names:
        return ""

    def draw() -> Figure:
        oc = tree[schema.OPERATING_CHARACTERISTICS].dataset
        figure = Figure(figsize=(WIDTH, 0.9 + 0.3 * len(names) * (len(arms) + 0.6)), layout="constrained")
        axes, ticks = figure.subplots(), []
        for block, (name, _) in enumerate(names):
            top = -block * (len(arms) + 0.6)
            ticks.append(top - (len(arms) - 1) / 2)
            for row, (arm, label) in enumerate(arms):
                colour = COLOURS[arm % len(COLOURS)]
                low, high = oc[f"{name}_ratio_interval"].to_numpy()[:, arm]
                axes.plot([low, high], [top - row] * 2, color=colour, lw=3, alpha=0.45, solid_capstyle="butt")
                shown = label if block == 0 else None
                axes.plot(float(oc[f"{name}_ratio"][arm]), top - row, "o", color=colour, ms=6, label=shown)
        axes.axvline(1.0, color=DARK, lw=0.9, ls=":")
        axes.set(yticks=ticks, yticklabels=[words for _, words in names], xlabel="risk ratio against the reference")
        axes.legend(loc="best")
        return figure

    return svg(draw, "Risk ratio of each outcome under each arm, with its 95 % interval.")
