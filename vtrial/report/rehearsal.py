"""What rehearsals found, as text and as pages: ranks against uniform ones, and numbers recovered."""

from collections.abc import Mapping

import jinja2
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from vtrial import schema
from vtrial.report.numbers import known, significant, with_error
from vtrial.report.style import COLOURS, grid, svg
from vtrial.report.tables import Table

_BINS = 20


def calibration_table(tree: xr.DataTree) -> Table:
    """Return the verdict on each quantity."""
    found = tree["calibration"].dataset
    if not found.data_vars:
        return Table(["Quantity"], [])
    rows, alarming = [], set()
    for i, name in enumerate(str(n) for n in found[schema.PARAMETER].to_numpy()):
        one = found.isel({schema.PARAMETER: i})
        shares = zip(one["coverage"].to_numpy(), one["coverage_mcse"].to_numpy(), strict=True)
        covered = [with_error(100 * float(share), 100 * float(error)) for share, error in shares]
        p = [significant(float(one[n]), 2) for n in ("p", "p_adjusted", "p_chi_square")]
        moments = [significant(float(one[n]), 2) for n in ("contraction", "z_mean", "z_sd")]
        rows.append([name, *p, *covered, *moments])
        if float(one["p_adjusted"]) < found.attrs["alpha"]:
            alarming.add(i)
    levels = [f"{100 * level:.0f} % covers, %" for level in found["level"].to_numpy()]
    header = ["Quantity", "p", "p adjusted", "p chi-square", *levels, "Contraction", "Mean z", "SD z"]
    return Table(header, rows, frozenset(alarming))


def recovery_table(tree: xr.DataTree) -> Table:
    """Return bias, RMSE and coverage of each number."""
    found, rows = tree["recovery"].dataset, []
    for i, name in enumerate(str(n) for n in found[schema.PARAMETER].to_numpy()) if found.data_vars else ():
        mine = {str(n): float(found[n][i]) for n in found.data_vars}
        rows.append(
            [
                name,
                str(found["unit"][i].item()),
                significant(mine["truth"]),
                known(mine["estimate"], mine["bias_mcse"]),
                with_error(mine["bias"], mine["bias_mcse"]),
                f"{mine['relative_bias']:.1f}" if np.isfinite(mine["relative_bias"]) else "–",
                with_error(mine["rmse"], mine["rmse_mcse"]),
                with_error(100 * mine["coverage"], 100 * mine["coverage_mcse"]),
            ]
        )
    header = ["Parameter", "Unit", "Truth", "Mean estimate", "Bias", "Bias, %", "RMSE", "90 % covers, %"]
    return Table(header, rows)


def remarks(tree: xr.DataTree) -> list[str]:
    """Say how many fits there are, and why some are not used."""
    said = [f"{tree.attrs['fits'] - tree.attrs['failed']} of {tree.attrs['fits']} fits are used."]
    said += [f"Not used: {failure}." for failure in tree.attrs["failures"]]
    if tree.attrs["redrawn"]:
        said.append(f"{tree.attrs['redrawn']} simulated data sets could not be solved and were drawn again.")
    return said


def calibration_page(tree: xr.DataTree) -> str:
    """Write simulation-based calibration as a page that needs nothing else."""
    found = tree["calibration"]
    return _page(
        tree,
        title="Simulation-based calibration",
        lead=found.attrs["verdict"],
        alarming=not found.attrs.get("calibrated", 0),
        how=(
            "Population level and random effects are drawn from the study's prior, data of the study's design are "
            "simulated from them and fitted; if all is right, the rank of the truth among the posterior draws is "
            "uniform. Bars: ranks, with the 99 % interval of each bar; lines: distribution function of the ranks minus "
            "the uniform one, with the band that holds all of it unless there is a false alarm. Coverage and its "
            "Monte-Carlo error are in %. Contraction: share of the prior variance that the data took away."
        ),
        table=calibration_table(tree),
        sentences=found.attrs["sentences"],
        figure=_ranks(tree) if found.dataset.data_vars else "",
    )


def recovery_page(tree: xr.DataTree) -> str:
    """Write the recovery of known numbers as a page that needs nothing else."""
    found = tree["recovery"]
    return _page(
        tree,
        title="Recovery of known parameters",
        lead=f"{found.attrs['used']} data sets simulated at one truth and fitted.",
        alarming=tree.attrs["failed"] > 0.1 * tree.attrs["fits"],
        how=(
            "Random effects and residual errors are new in each data set, the population level is the same. The "
            "estimate is the posterior median: it leans towards the prior, the more the less the data say. Points: "
            "estimates with their 90 % intervals; line: the truth."
        ),
        table=recovery_table(tree),
        sentences=found.attrs["sentences"],
        figure=_estimates(tree) if found.dataset.data_vars else "",
    )


def _page(tree: xr.DataTree, **parts: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vtrial.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("rehearsal.html").render(about=tree.attrs, remarks=remarks(tree), **parts)


def _used(tree: xr.DataTree) -> xr.Dataset:
    fits = tree["fits"].to_dataset()
    return fits.isel({schema.REPLICATE: fits["reason"].to_numpy() == ""})


def _ranks(tree: xr.DataTree) -> str:
    """Draw of each quantity the histogram of ranks and the difference of their distribution function from uniform."""
    found, used = tree["calibration"].dataset, _used(tree)
    names, top = [str(n) for n in found[schema.PARAMETER].to_numpy()], found.sizes["point"]
    count, point = used.sizes[schema.REPLICATE], found["point"].to_numpy()
    bins = max(b for b in range(1, _BINS + 1) if (top + 1) % b == 0)
    expected, noise = count / bins, 2.576 * np.sqrt(count / bins * (1 - 1 / bins))

    def draw() -> Figure:
        figure, panels = grid(2 * len(names), 4, 9.0, 1.7)
        for i, name in enumerate(names):
            bars, lines = panels[2 * i : 2 * i + 2]
            heights = np.histogram(used["rank"].to_numpy()[:, i], bins, (0, top + 1))[0]
            bars.axhspan(max(0.0, expected - noise), expected + noise, color="#d9d9d9", lw=0)
            bars.bar((np.arange(bins) + 0.5) / bins, heights, 0.9 / bins, color=COLOURS[0])
            bars.set(title=name, yticks=[], xlim=(0, 1))
            low, high = (found[n].to_numpy() - point for n in ("band_low", "band_high"))
            lines.fill_between(point, low, high, color="#d9d9d9", lw=0)
            lines.plot(point, found["ecdf"].to_numpy()[i] - point, color=COLOURS[0], lw=1.3)
            lines.set(title=f"{name}: difference", xlim=(0, 1))
        return figure

    return svg(draw, "Ranks of the truth among posterior draws, for each quantity")


def _estimates(tree: xr.DataTree) -> str:
    """Draw the estimates of each number with their intervals, against the truth."""
    found, used = tree["recovery"].dataset, _used(tree)
    names = [str(n) for n in found[schema.PARAMETER].to_numpy()]
    place = np.arange(used.sizes[schema.REPLICATE])

    def draw() -> Figure:
        figure, panels = grid(len(names), 4, 9.0, 2.0)
        for axes, name in zip(panels, names, strict=True):
            mine: Mapping[str, np.ndarray] = {
                n: used[n].sel({schema.PARAMETER: name}).to_numpy() for n in ("median", "truth")
            }
            low, high = (used[n].sel({schema.PARAMETER: name, "level": 0.9}).to_numpy() for n in ("lower", "upper"))
            axes.vlines(place, low, high, color=COLOURS[0], lw=1.0, alpha=0.6)
            axes.plot(place, mine["median"], "o", ms=2.6, color=COLOURS[0])
            axes.axhline(mine["truth"][0], color=COLOURS[1], lw=1.2)
            axes.set(title=name, xticks=[])
        return figure

    return svg(draw, "Estimates with their 90 % intervals against the truth, for each number")
