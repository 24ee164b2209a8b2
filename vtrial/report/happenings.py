"""What happens to patients during treatment, as a table and a figure."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from vtrial import schema
from vtrial.report.numbers import percent
from vtrial.report.style import COLOURS, WIDTH, grid, svg
from vtrial.report.tables import Table

_POINTS = 200
"""Times at which the figure counts patients."""


def events(tree: xr.DataTree) -> Table | None:
    """Return the share of patients to whom each event happens, arm by arm; None if nothing may."""
    oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
    if "happened" not in oc:
        return None
    rows = []
    for name in (str(h) for h in oc[schema.HAPPENING].to_numpy()):
        mine = oc.sel({schema.HAPPENING: name})
        shares = zip(mine["happened"].to_numpy(), mine["happened_mcse"].to_numpy(), strict=True)
        rows.append([name, _does(outcomes, name), *(percent(float(p), float(e)) for p, e in shares)])
    return Table(["Event", "What it does", *(str(x) for x in outcomes["label"].to_numpy())], rows)


def said(tree: xr.DataTree) -> str:
    """Say what the shares of that table are of; "" if nothing may happen."""
    oc = tree[schema.OPERATING_CHARACTERISTICS].dataset
    return str(oc["happened"].attrs["long_name"]) if "happened" in oc else ""


def dies(tree: xr.DataTree) -> bool:
    """Return whether patients may die."""
    outcomes = tree[schema.OUTCOMES].dataset
    return any(bool(outcomes[name].attrs["dies"]) for name in outcomes if str(name).startswith("event_"))


def _does(outcomes: xr.Dataset, name: str) -> str:
    """Return what an event does, from the words of its variable."""
    said = str(outcomes[f"event_{name}"].attrs["long_name"])
    return said.partition(", which ")[2].partition(";")[0]


def shares(outcomes: xr.Dataset, arm: int, time: Float[np.ndarray, " time"]) -> dict[str, Float[np.ndarray, " time"]]:
    """Return the shares of patients in each state over time, which together are 1.

    Who is dead counts as that, who has left as that; of changes of treatment the latest tells the others.
    """
    names = sorted(str(name) for name in outcomes if str(name).startswith("event_"))
    when = {name.removeprefix("event_"): outcomes[name].to_numpy()[:, :, arm].ravel() for name in names}
    kinds = {name.removeprefix("event_"): outcomes[name].attrs for name in names}
    state = np.zeros((len(time), outcomes[names[0]].to_numpy()[:, :, arm].size), int)
    latest = np.full(state.shape, -np.inf)
    # Leaving covers changes of treatment, of which the latest covers the others; death covers all.
    order = sorted(when, key=lambda n: 4 * kinds[n]["dies"] + 2 * kinds[n]["leaves"] + kinds[n]["changes"] / 2)
    for i, name in enumerate(order, 1):
        so = when[name] <= time[:, None]
        if not (kinds[name]["leaves"] or kinds[name]["dies"]):
            so &= when[name] > latest
            latest = np.where(so, when[name], latest)
        state = np.where(so, i, state)
    return {name: (state == i).mean(1) for i, name in enumerate(["none of these", *order])}


def fates(tree: xr.DataTree) -> str:
    """Draw the shares of patients by what has happened to them, over time and arm by arm; "" if nothing may.

    In a design with periods over the time from the start of one to that of the next.
    """
    outcomes = tree[schema.OUTCOMES].dataset
    if not any(str(name).startswith("event_") for name in outcomes):
        return ""

    def draw() -> Figure:
        labels, last = [str(x) for x in outcomes["label"].to_numpy()], float(outcomes[schema.TIME].max())
        told = outcomes
        if schema.PERIOD in outcomes.dims:  # of those that are followed by another, to the start of that
            told, last = outcomes.isel({schema.PERIOD: slice(0, -1)}), float(outcomes["period_start"][1])
        time = np.linspace(0.0, last, _POINTS)
        figure, panels = grid(len(labels), min(3, len(labels)), WIDTH, 2.9)
        for i, axes in enumerate(panels):
            found = shares(told, i, time)
            colours = ["#e8eef1", *(COLOURS[k % len(COLOURS)] for k in range(len(found) - 1))]
            stack = axes.stackplot(time, [100 * share for share in found.values()], colors=colours, labels=list(found))
            for part in stack:
                part.set_linewidth(0)
            axes.set(title=labels[i], xlim=(0, last), ylim=(0, 100))
            axes.set_xlabel(f"time [{outcomes[schema.TIME].attrs['units']}]")
        panels[0].set_ylabel("virtual patients [%]")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)))
        return figure

    return svg(draw, "Share of patients by what has happened to them, over time and by arm.")
