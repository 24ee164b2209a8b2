"""The work of a stage in blocks of replicates: what is computed, and how a block lies in the arrays on disk."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
import zarr

from vtrial import schema
from vtrial.hashes import digest

type Groups = Mapping[str, xr.Dataset]
"""Groups by name."""


class Blocks(NamedTuple):
    """The work of a stage in blocks of replicates, each of which is kept once it is done."""

    total: int
    """Replicates in all."""
    size: int
    """Replicates in a block; the last may be smaller."""
    groups: tuple[str, ...]
    """The groups that blocks fill."""
    compute: Callable[[int, int], Groups]
    """Returns these groups of the replicates from one number to before another."""
    finish: Callable[[Groups], Groups]
    """Returns further groups of the stage, given those that the blocks have filled, not loaded."""


def write_block(array: zarr.Array, start: int, values: np.ndarray) -> None:
    """Write values into an array from `start` of its first axis on, as whole chunks.

    Raises:
        RuntimeError: the block does not begin and end where chunks do: a half-written chunk loses what others wrote.
    """
    stop, each = start + len(values), array.chunks[0]
    if start % each or (stop % each and stop != array.shape[0]) or stop > array.shape[0]:
        raise RuntimeError(f"Block {start} to {stop} of {array.shape[0]} does not fill whole chunks of {each}.")
    array[start:stop] = values


def by_replicate(dataset: xr.Dataset) -> list[str]:
    """Return the variables that blocks fill: those with replicates as first dimension."""
    return [str(name) for name, v in dataset.data_vars.items() if v.dims[:1] == (schema.REPLICATE,)]


def whole(dataset: xr.Dataset, blocks: Blocks) -> xr.Dataset:
    """Return a block's dataset with all replicates, which are zeros that take no memory and no disk."""
    filled = by_replicate(dataset)
    rest = dataset.drop_vars([*filled, schema.REPLICATE])
    empty = {
        name: (v.dims, np.broadcast_to(v.dtype.type(0), (blocks.total, *v.shape[1:])), v.attrs)
        for name, v in ((name, dataset[name].variable) for name in filled)
    }
    return rest.assign_coords({schema.REPLICATE: np.arange(blocks.total)}).assign(empty)


def chunk_shapes(dataset: xr.Dataset, blocks: Blocks) -> dict[str, tuple[int, ...]]:
    """Return the chunks of each variable that blocks fill: a block each."""
    return {name: (blocks.size, *(max(1, n) for n in dataset[name].shape[1:])) for name in by_replicate(dataset)}


def hashes(folder: Path, blocks: Blocks, start: int) -> dict[str, str]:
    """Return the hash of every chunk of a block by variable; a chunk of zeros is not on disk."""
    number, found = str(start // blocks.size), {}
    for group in blocks.groups:
        for variable in sorted(v for v in (folder / group).iterdir() if v.is_dir()):
            if (chunk := variable / "c" / number).exists():
                found[f"{group}/{variable.name}"] = digest(chunk)
    return found
