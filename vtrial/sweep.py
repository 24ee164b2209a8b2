"""A sweep: designs x scenarios, each combination conducted on common random numbers, in one tree."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr

from vtrial import __version__, schema
from vtrial.cells import Cell, Found, judge_cell
from vtrial.errors import UserError
from vtrial.report.comparison import as_text
from vtrial.store import locked, write_tree, write_whole

log = logging.getLogger(__name__)


def sweep(cells: Sequence[Cell], directory: Path, name: str) -> str:
    """Conduct the trials of every cell; write sweep.zarr, sweep.csv and sweep.html; return what to tell in a terminal.

    An interrupted sweep goes on after the last complete cell; a finished one may be given further values.

    Args:
        cells: the full grid of the values of some keys, the last key going fastest.
        directory: where everything goes.
        name: of the study.

    Raises:
        UserError: a cell cannot be run, or the directory holds something else.
    """
    from vtrial.report.sweep import sweep_page, sweep_rows, sweep_table  # matplotlib is slow to import

    with locked(directory):
        refuse_other(directory, name)
        found = []
        for number, cell in enumerate(cells, 1):
            log.info("cell %d of %d: %s", number, len(cells), cell.describe())
            found.append(judge_cell(directory / ".cells", name, cell))
        tree = combined(cells, found, name)
        write_tree(tree, directory / "sweep.zarr")
        write_whole(directory / "sweep.csv", sweep_rows(tree).write_csv())
        write_whole(directory / "sweep.html", sweep_page(tree))
    return as_text(sweep_table(tree), [f"Report: {directory / 'sweep.html'}"])


def refuse_other(directory: Path, name: str) -> None:
    """Refuse a directory of a run, or of another study's cells; make it this study's.

    Raises:
        UserError: it is.
    """
    if (directory / "result.zarr").exists():
        raise UserError(f"{directory} holds a run; give another directory for a sweep.")
    folder = directory / ".cells"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "study"
    if note.exists() and note.read_text(encoding="utf-8") != name:
        raise UserError(
            f"{directory} holds variants of the study '{note.read_text(encoding='utf-8')}'; give another directory."
        )
    write_whole(note, name)


def combined(cells: Sequence[Cell], found: Sequence[Found], name: str) -> xr.DataTree:
    """Return what all cells say, with a dimension for each key that varies, whose coordinate is the value as text."""
    study, axes = cells[0].study, {key: list(dict.fromkeys(c.values[key] for c in cells)) for key in cells[0].values}
    taken = {str(n) for one in found for part in one for n in (*part.variables, *part.dims)}
    names = {key: f"{key}_swept" if key in taken else key for key in axes}
    characteristics = [
        one.characteristics.assign(
            recommended=((), one.characteristics.attrs["recommended"], {"long_name": "Arm recommended; empty: none"})
        )
        for one in found
    ]
    root = xr.Dataset(
        attrs={
            "study": name,
            "question": study.question,
            "context_of_use": study.context_of_use,
            "version": __version__,
            "keys": list(names.values()),
            "replicates": min(one.each.sizes[schema.REPLICATE] for one in found),
        }
    )
    values = {names[key]: value for key, value in axes.items()}
    groups = {
        schema.OPERATING_CHARACTERISTICS: stacked(characteristics, values),
        schema.EACH_TRIAL: stacked([one.each for one in found], values),
    }
    return xr.DataTree.from_dict({"/": root} | groups)


def stacked(datasets: Sequence[xr.Dataset], axes: Mapping[str, Sequence[str]]) -> xr.Dataset:
    """Return datasets of a grid as one, the last axis going fastest; what a dataset has not is not a number."""
    if not axes:
        return datasets[0]
    (key, values), *rest = axes.items()
    each = len(datasets) // len(values)
    parts = [stacked(datasets[i * each : (i + 1) * each], dict(rest)) for i in range(len(values))]
    whole = xr.concat(
        parts,
        dim=key,
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="drop_conflicts",
    )
    return whole.assign_coords({key: list(values)})
