"""Finished runs of several models, compared: as text for the terminal and as a page."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
import polars as pl
import xarray as xr

from vtrial import schema
from vtrial.diagnose import compare
from vtrial.errors import UserError
from vtrial.report.numbers import known, with_error
from vtrial.report.tables import Table, characteristics

_LITTLE = 4.0
"""Difference of elpd below which models predict alike (Sivula, Magnusson and Vehtari 2020, arXiv:2008.10296)."""

_NAMED = 5
"""Subjects named, the worst first."""


def compare_runs(runs: Sequence[Path]) -> tuple[xr.Dataset, Table, list[str]]:
    """Open finished runs and compare them; return the numbers, their table, and what to know of it.

    Args:
        runs: directories of runs, or their result.zarr; each model is named after its own.

    Raises:
        UserError: one is no finished run, or they cannot be compared.
    """
    found = compare({str(run): open_run(run) for run in runs})
    return found, _table(found), _remarks(found)


def open_run(run: Path) -> xr.DataTree:
    """Open a finished run.

    Raises:
        UserError: it is none.
    """
    path = run if run.name == "result.zarr" else run / "result.zarr"
    if not (path / "zarr.json").is_file():
        raise UserError(f"'{run}' is no run: there is no {path}. Give directories of finished runs.")
    try:
        return xr.open_datatree(path, engine="zarr", consolidated=True, chunks=None)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"'{run}' is not finished; run it to its end with the same directory, then compare.") from error


def _table(found: xr.Dataset) -> Table:
    rows, alarming = [], set()
    for i, name in enumerate(str(m) for m in found["model"].to_numpy()):
        mine = {str(n): found[n].to_numpy()[i].item() for n in found.data_vars if found[n].dims == ("model",)}
        error = mine["elpd_mcse"]
        rows.append(
            [
                name,
                with_error(mine["elpd"], error),
                known(mine["elpd_se"], error, 3),
                known(mine["p_loo"], error, 3),
                "best" if i == 0 else known(mine["difference"], mine["difference_mcse"], 3),
                "–" if i == 0 else known(mine["difference_se"], mine["difference_mcse"], 3),
                f"{mine['high_k']:.0f}",
                f"{100 * mine['weight']:.0f} %",
                "passed" if mine["passed"] else "FAILED",
            ]
        )
        if not mine["passed"]:
            alarming.add(i)
    header = ["Model", "elpd_loo ± MCSE", "SE", "p_loo", "Difference", "SE of difference", "k > 0.7", "Weight", "Gate"]
    return Table(header, rows, frozenset(alarming))


def _remarks(found: xr.Dataset) -> list[str]:
    """Say what the table does not."""
    said = []
    for i, name in enumerate(str(m) for m in found["model"].to_numpy()):
        away, error = -float(found["difference"][i]), float(found["difference_se"][i])
        if i and (away < _LITTLE or away < 2 * error):
            said.append(f"{name} is not told from the best: the difference is below {_LITTLE:g} or twice its error.")
        if count := int(found["high_k"][i]):
            k = found["subject_pareto_k"][i].to_series()
            worst = ", ".join(f"{who} ({value:.2f})" for who, value in k.nlargest(min(count, _NAMED)).items())
            said.append(f"{name}: elpd of {count} subject(s) is uncertain (Pareto k above 0.7): ID {worst}.")
        if not bool(found["passed"][i]):
            said.append(f"{name} did not pass its gate: its numbers are those of a fit that is not to be trusted.")
    if found.sizes["subject"] < 20:
        said.append(f"With {found.sizes['subject']} subjects the standard errors themselves are uncertain.")
    return said


def as_text(table: Table, remarks: Sequence[str]) -> str:
    """Write the comparison for a terminal."""
    widths = [max(len(row[i]) for row in (table.header, *table.rows)) for i in range(len(table.header))]
    rows = (table.header, *table.rows)
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *remarks])


def keep(place: Path, found: xr.Dataset, table: Table, remarks: Sequence[str]) -> None:
    """Write comparison.html and comparison.csv into a directory."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "comparison.html").write_text(as_page(table, remarks), encoding="utf-8")
    names = ["model", *(str(n) for n in found.data_vars if found[n].dims == ("model",))]
    pl.DataFrame({n: found[n].to_numpy().tolist() for n in names}).write_csv(place / "comparison.csv")


def as_page(table: Table, remarks: Sequence[str], averaged: xr.DataTree | None = None) -> str:
    """Write the comparison as a page that needs nothing else."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vtrial.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("comparison.html").render(
        table=table,
        remarks=remarks,
        averaged=None if averaged is None else characteristics(averaged),
        recommended="" if averaged is None else averaged[schema.OPERATING_CHARACTERISTICS].attrs["recommended"],
    )
