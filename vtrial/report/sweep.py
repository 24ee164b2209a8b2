"""Sweeps and searches, as tables and as pages: characteristics of many variants of a study side by side."""

from collections.abc import Sequence
from itertools import product

import jinja2
import numpy as np
import polars as pl
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtrial import schema
from vtrial.report.numbers import percent, with_error
from vtrial.report.style import COLOURS, DARK, WIDTH, grid, label, svg
from vtrial.report.tables import Table

_SHOWN = {
    "power_any": "Power",
    "type_one_error_any": "Type I error",
    "family_wise_error": "FWER",
    "probability_correct": "P(right arm selected)",
    "enrolled": "Patients",
    "duration": "Duration",
    "toxicities_all": "Toxicities",
    "overdosed": "Share overdosed",
    "value_of_trial": "Value of the trial",
}
"""What tables and figures show of a cell, where it is known: numbers of a whole trial."""
_SHARES = ("power_any", "type_one_error_any", "family_wise_error", "probability_correct", "overdosed")
_ERRORS = 2.0
"""Length of the bars, in Monte-Carlo errors."""


def sweep_table(tree: xr.DataTree) -> Table:
    """Return a row for each cell: its values, and what its trials do."""
    group, keys = tree[schema.OPERATING_CHARACTERISTICS].to_dataset(), list(tree.attrs["keys"])
    shown = known(group)
    rows = []
    for values in cells(group, keys):
        mine = group.sel(values)
        numbers = [number(mine, name) for name in shown]
        rows.append([*values.values(), *numbers, str(mine["recommended"].item()) or "none"])
    return Table([*keys, *(f"{_SHOWN[name]} ± MCSE" for name in shown), "Recommended"], rows)


def known(group: xr.Dataset) -> list[str]:
    """Return which of the numbers shown some cell has."""
    return [name for name in _SHOWN if name in group and bool(np.isfinite(group[name]).any())]


def cells(group: xr.Dataset, keys: Sequence[str]) -> list[dict[str, str]]:
    """Return the values of each cell, by key."""
    lists = [[str(v) for v in group[key].to_numpy()] for key in keys]
    return [dict(zip(keys, each, strict=True)) for each in product(*lists)]


def number(cell: xr.Dataset, name: str) -> str:
    """Write a characteristic of a cell with its Monte-Carlo error."""
    value, error = float(cell[name]), float(cell[f"{name}_mcse"])
    if name in _SHARES:
        return percent(value, error)
    return with_error(value, error, cell[name].attrs.get("units", ""))


def sweep_rows(tree: xr.DataTree) -> pl.DataFrame:
    """Return every characteristic of every cell in long form: cell, characteristic, arm, value, error, unit."""
    group, keys, rows = tree[schema.OPERATING_CHARACTERISTICS].to_dataset(), list(tree.attrs["keys"]), []
    names = [str(n) for n in group.data_vars if f"{n}_mcse" in group and set(group[n].dims) <= {*keys, schema.ARM}]
    for values in cells(group, keys):
        mine = group.sel(values)
        for name in names:
            arms = [str(a) for a in mine[schema.ARM].to_numpy()] if schema.ARM in mine[name].dims else [""]
            found = zip(arms, np.atleast_1d(mine[name]), np.atleast_1d(mine[f"{name}_mcse"]), strict=True)
            unit = str(mine[name].attrs.get("units", ""))
            rows += [
                {**values, "characteristic": name, "arm": arm, "value": float(v), "mcse": float(e), "unit": unit}
                for arm, v, e in found
                if np.isfinite(v)
            ]
    return pl.DataFrame(rows)


def sweep_page(tree: xr.DataTree) -> str:
    """Write a sweep as a page that needs nothing else."""
    group, keys = tree[schema.OPERATING_CHARACTERISTICS].to_dataset(), list(tree.attrs["keys"])
    count = len(cells(group, keys))
    return page(
        tree,
        title="Sweep",
        lead=f"{count} variants of the study, {tree.attrs['replicates']} virtual trials each.",
        sentences=[],
        table=sweep_table(tree),
        figure=_figure(group, keys),
        how=(
            "Variants share patients, outcomes and random numbers as far as they depend on the same settings, so that "
            "differences between them are known better than each. Bars: two Monte-Carlo errors. Power: that some arm "
            "is claimed; type I error: the same at the edge of the null hypothesis. Value of the trial: expected gain "
            "of deciding after it, against deciding now."
        ),
    )


def page(tree: xr.DataTree, **parts: object) -> str:
    """Write the page of a sweep or search."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vtrial.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("sweep.html").render(about=tree.attrs, **parts)


def _numeric(values: np.ndarray) -> bool:
    """Return whether all texts are numbers."""
    try:
        return bool(np.isfinite([float(v) for v in values]).all())
    except ValueError:
        return False


def _figure(group: xr.Dataset, keys: list[str]) -> str:
    """Draw each number against the key with most values that are numbers; the other keys are lines of their own."""
    along = max(keys, key=lambda k: (_numeric(group[k].to_numpy()), group.sizes[k]))
    others = [k for k in keys if k != along]
    values = [str(v) for v in group[along].to_numpy()]
    numeric = _numeric(group[along].to_numpy())
    place = np.array([float(v) for v in values]) if numeric else np.arange(len(values), dtype=float)
    order, lines = np.argsort(place), cells(group, others)
    shift = 0.006 * (np.ptp(place) or 1.0)

    def draw() -> Figure:
        figure, panels = grid(len(known(group)), 3, WIDTH, 2.5)
        for axes, name in zip(panels, known(group), strict=True):
            for i, fixed in enumerate(lines):
                mine = group[[name, f"{name}_mcse"]].sel(fixed)
                at = place + shift * (i - (len(lines) - 1) / 2)
                _line(axes, at[order], mine.isel({along: order}), name, i, ", ".join(fixed.values()))
            if not numeric:
                axes.set_xticks(place, values)
            axes.set(title=_SHOWN[name], xlabel=along)
            if name in _SHARES:
                low, high = axes.get_ylim()
                axes.set_ylim(max(low, 0.0), min(high, 100.0))
        if others:
            panels[0].legend(title=", ".join(others), fontsize=7, title_fontsize=7)
        return figure

    return svg(draw, f"Characteristics of the trials against {along}, with Monte-Carlo error bars.")


def _line(axes: Axes, at: np.ndarray, mine: xr.Dataset, name: str, number: int, said: str) -> None:
    """Draw one line with its bars."""
    scale, unit = (100.0, "%") if name in _SHARES else (1.0, str(mine[name].attrs.get("units", "")))
    value, error = scale * mine[name].to_numpy(), scale * _ERRORS * mine[f"{name}_mcse"].to_numpy()
    axes.errorbar(
        at, value, error, fmt="o-", ms=3.5, lw=1.2, capsize=2, color=COLOURS[number % len(COLOURS)], label=said
    )
    axes.set_ylabel(label("", unit).strip())


def search_figure(points: xr.Dataset, attrs: dict) -> str:
    """Draw the characteristic at every value tried, the target, and the interval of the answer."""
    share = bool(attrs["share"])
    scale = 100.0 if share else 1.0

    def draw() -> Figure:
        figure, (axes,) = grid(1, 1, 6.0, 3.2)
        order = np.argsort(points["at"].to_numpy())
        at, value, error = (points[n].to_numpy()[order] for n in ("at", "value", "value_mcse"))
        axes.axvspan(attrs["lower"], attrs["upper"], color="#d9d9d9", lw=0)
        axes.errorbar(at, scale * value, _ERRORS * scale * error, fmt="o-", ms=4, lw=1.2, capsize=2, color=COLOURS[0])
        axes.axhline(scale * attrs["target"], color=DARK, lw=0.9, ls=":")
        axes.axvline(attrs["answer"], color=COLOURS[1], lw=1.2)
        axes.set(xlabel=attrs["vary"], ylabel=label(attrs["characteristic"], "%" if share else attrs["unit"]))
        return figure

    return svg(draw, "The characteristic at every value tried, the target, and the interval of the answer.")


def search_table(points: xr.Dataset, attrs: dict) -> Table:
    """Return a row for each value tried."""
    order = np.argsort(points["at"].to_numpy())
    write = percent if attrs["share"] else with_error
    rows = [
        [f"{float(points['at'][i]):g}", write(float(points["value"][i]), float(points["value_mcse"][i]))] for i in order
    ]
    return Table([attrs["vary"], f"{attrs['characteristic']} ± MCSE"], rows)


def search_page(tree: xr.DataTree) -> str:
    """Write a search as a page that needs nothing else."""
    points, attrs = tree["search"].to_dataset(), dict(tree["search"].attrs)
    return page(
        tree,
        title="Calibration of the design",
        lead=attrs["sentence"],
        sentences=[],
        table=search_table(points, attrs),
        figure=search_figure(points, attrs),
        how=(
            "All values are judged on the same virtual patients. Bars: two Monte-Carlo errors; dotted: the target; "
            "line: the answer; grey: the values that Monte-Carlo error leaves possible (95 %), from resampled trials."
        ),
    )
