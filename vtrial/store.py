"""The directory of a run: result.zarr written stage by stage, each whole or not at all, and its manifest."""

import errno
import fcntl
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from vtrial import schema
from vtrial.blocks import Blocks, Groups, by_replicate, chunk_shapes, hashes, whole, write_block
from vtrial.errors import UserError
from vtrial.hashes import digest, files
from vtrial.inference import Progress

log = logging.getLogger(__name__)

_PLAN = "plan.json"
"""Says what the blocks of an unfinished stage are; there once their arrays are."""
_GROUPS = schema.GROUPS | schema.SWEEP_GROUPS


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there completely or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    os.replace(partial, path)


def write_tree(tree: xr.DataTree, path: Path) -> None:
    """Write a tree so that it is there completely or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    tree.to_zarr(partial, mode="w", zarr_format=3, consolidated=False)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a run's directory for this process alone; the lock goes with the process, however it ends.

    Raises:
        UserError: another process runs in it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise UserError(f"Another process is running in {directory}; wait for it, or give another directory.") from None


class Store:
    """One run's directory.

    A stage's groups are written aside, renamed into result.zarr, then vouched for by a marker in `.stages/` that holds
    their hashes. A run killed at any instant leaves stages that are complete and marked, and rubbish that the next run
    removes; it resumes after the last marked stage.
    """

    def __init__(self, directory: Path, attributes: Mapping[str, Any], compiled: Callable[[], float] = lambda: 0.0):
        """Open the directory, or make it; `attributes` say what is run and become those of the root group.

        `compiled` returns the seconds spent compiling so far, for the account of each stage.

        Raises:
            UserError: the directory holds a run of another study, configuration, data or version.
        """
        self.directory, self.zarr = directory, directory / "result.zarr"
        self._marks, self._aside = directory / ".stages", directory / ".partial"
        self.seconds: dict[str, float] = {}
        self._compiled, self._texts = compiled, []
        with self._writing("start"):
            self._marks.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._aside, ignore_errors=True)
            root = self._marks / "root.json"
            if not root.exists():
                if self.zarr.is_dir() and any(f.is_dir() for f in self.zarr.iterdir()):
                    raise UserError(
                        f"{self.zarr} exists, but {self._marks} does not say what it is; give another directory."
                    )
                zarr.open_group(self._aside / "root", mode="w", attributes=dict(attributes))
                shutil.rmtree(self.zarr, ignore_errors=True)
                os.replace(self._aside / "root", self.zarr)
                write_whole(directory / "config.yaml", attributes["config"])
                write_whole(root, (self.zarr / "zarr.json").read_text(encoding="utf-8"))
            if not (self._marks / "store.json").exists():
                # A run killed while it indexed the result may have left half a root behind.
                write_whole(self.zarr / "zarr.json", root.read_text(encoding="utf-8"))
        self._compare(dict(zarr.open_group(self.zarr, mode="r").attrs), attributes)

    def _compare(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Refuse to mix two different runs in one directory."""
        for key in schema.IDENTITY:
            if found.get(key) != wanted[key]:
                raise UserError(
                    f"{self.directory} holds a run with another {key} ({_difference(found.get(key), wanted[key])}); "
                    "give another directory, or remove this one."
                )

    def done(self, stage: str) -> bool:
        """Return whether a stage is complete, and check that what it wrote is still what it wrote.

        Raises:
            UserError: a group was changed or removed since.
        """
        mark = self._marks / f"{stage}.json"
        if not mark.exists():
            return False
        noted = json.loads(mark.read_text(encoding="utf-8"))
        self.seconds |= noted["seconds"]
        if any(
            not (self.directory / f).is_file() or digest(self.directory / f) != h for f, h in noted["files"].items()
        ):
            return False  # a report that is gone or changed is simply written again
        for group, known in noted["groups"].items():
            if not (self.zarr / group).is_dir() or digest(self.zarr / group) != known:
                raise UserError(
                    f"Group '{group}' in {self.zarr} is not as stage '{stage}' wrote it; remove {self.directory} "
                    "and run again, or restore the group."
                )
        return True

    def stage(self, name: str, compute: Callable[[], Groups]) -> None:
        """Run a stage and write its groups, or skip it if it is complete."""
        if self.done(name):
            log.info("%-10s already complete, kept", name)
            return
        log.info("%-10s ...", name)
        begin, before = time.perf_counter(), self._compiled()
        groups = compute()
        with self._writing(name):
            self._write(name, groups)
            spent, compiling = time.perf_counter() - begin, self._compiled() - before
            self._mark(name, groups, {name: spent, f"{name}, compiling": compiling})
            shutil.rmtree(self.unfinished(name), ignore_errors=True)
        log.info("%-10s done in %.1f s", name, spent)

    def stream(self, name: str, blocks: Blocks) -> None:
        """Run a stage block by block, or skip it if it is complete; memory holds one block at a time.

        A block goes into chunks of its own of arrays that have the full size from the start, then a marker with the
        hashes of these chunks vouches for it. A run killed at any instant goes on after the blocks that are marked and
        unchanged. The groups move into result.zarr once all blocks are there.
        """

        def compute() -> Groups:
            folder, starts = self.unfinished(name), range(0, blocks.total, blocks.size)
            resumes = self._resumes(name, blocks)
            done = {start for start in starts if resumes and self._kept(folder, blocks, start)}
            kept = sum(min(blocks.size, blocks.total - start) for start in done)
            with Progress(blocks.total, kept, "replicates") as progress:
                for start in (start for start in starts if start not in done):
                    stop = min(start + blocks.size, blocks.total)
                    found = blocks.compute(start, stop)
                    if not self._plan(name):
                        self._prepare(name, blocks, found)
                    self._fill(name, blocks, start, found)
                    progress.advance(stop - start, name, str)
            return blocks.finish({group: _opened(folder, group) for group in blocks.groups})

        self.stage(name, compute)

    def _resumes(self, stage: str, blocks: Blocks) -> bool:
        """Return whether a killed run has left blocks; groups that it has moved already come back to them."""
        folder = self.unfinished(stage)
        if self._plan(stage) != _planned(blocks):
            shutil.rmtree(folder, ignore_errors=True)
            return False
        for group in blocks.groups:
            if not (folder / group).is_dir() and (self.zarr / group).is_dir():
                os.replace(self.zarr / group, folder / group)
        for half in folder.rglob("*.partial"):  # what was being written when the run was killed
            half.unlink()
        return True

    def _prepare(self, stage: str, blocks: Blocks, first: Groups) -> None:
        """Make the arrays of all blocks, as the first block has them."""
        folder = self.unfinished(stage)
        with self._writing(stage):
            folder.mkdir(parents=True, exist_ok=True)
            for group, dataset in first.items():
                _write_group(folder, group, stage, whole(dataset, blocks), chunk_shapes(dataset, blocks))
            write_whole(folder / _PLAN, json.dumps(_planned(blocks)))

    def _plan(self, stage: str) -> dict[str, Any]:
        """Return what the blocks of an unfinished stage are; {} if it has none."""
        file = self.unfinished(stage) / _PLAN
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def _fill(self, stage: str, blocks: Blocks, start: int, found: Groups) -> None:
        """Write a block and vouch for it."""
        folder = self.unfinished(stage)
        with self._writing(stage):
            for group, dataset in found.items():
                arrays = zarr.open_group(folder / group, mode="r+", zarr_format=3)
                for name in by_replicate(dataset):
                    array = arrays[name]
                    assert isinstance(array, zarr.Array)
                    write_block(array, start, dataset[name].to_numpy())
            write_whole(folder / f"{start}.json", json.dumps(hashes(folder, blocks, start)))

    def _kept(self, folder: Path, blocks: Blocks, start: int) -> bool:
        """Return whether a block is vouched for, and as it was written."""
        mark = folder / f"{start}.json"
        return mark.is_file() and json.loads(mark.read_text(encoding="utf-8")) == hashes(folder, blocks, start)

    def unfinished(self, stage: str) -> Path:
        """Return the folder where a stage may keep the state of its work; it goes once the stage is complete."""
        return self._marks / f"{stage}.unfinished"

    def _write(self, stage: str, groups: Groups) -> None:
        for group, dataset in groups.items():
            shutil.rmtree(self._aside / group, ignore_errors=True)
            _write_group(self._aside, group, stage, dataset, {})
        streamed = self._plan(stage).get("groups", ())
        for group, folder in [*((g, self.unfinished(stage)) for g in streamed), *((g, self._aside) for g in groups)]:
            shutil.rmtree(self.zarr / group, ignore_errors=True)
            os.replace(folder / group, self.zarr / group)
        shutil.rmtree(self._aside, ignore_errors=True)

    def _mark(self, stage: str, groups: Groups, seconds: Mapping[str, float]) -> None:
        """Vouch for a stage: from now on it is complete."""
        self.seconds |= seconds
        note = {
            "groups": {g: digest(self.zarr / g) for g in (*groups, *self._plan(stage).get("groups", ()))},
            "files": {file: digest(self.directory / file) for file in self._texts},
            "seconds": dict(seconds),
        }
        self._texts.clear()
        write_whole(self._marks / f"{stage}.json", json.dumps(note, indent=1))

    @contextmanager
    def _writing(self, stage: str) -> Iterator[None]:
        """Turn a failure to write into a sentence, and leave nothing half-written behind."""
        try:
            yield
        except OSError as error:
            shutil.rmtree(self._aside, ignore_errors=True)
            why = {
                errno.ENOSPC: "the disk is full",
                errno.EDQUOT: "the disk quota is used up",
                errno.EFBIG: "the file would be too large",
            }
            reason = why.get(error.errno or 0, str(error))
            raise UserError(
                f"Stage '{stage}' could not write to {self.directory}: {reason}. Nothing of this stage was kept but "
                "its complete blocks, the stages before it are complete; make room or permit writing, then run again "
                "with the same directory."
            ) from error

    def group(self, name: str) -> xr.Dataset:
        """Load a group that a complete stage wrote."""
        return self.opened(name).load()

    def opened(self, name: str) -> xr.Dataset:
        """Open a group that a complete stage wrote; variables are read when they are asked for."""
        return _opened(self.zarr, name)

    def index(self) -> None:
        """Gather the metadata of all groups in the root: opening result.zarr is then one read, always in one order."""
        root = self.zarr / "zarr.json"
        with self._writing("store"), warnings.catch_warnings():
            # Zarr warns that the Zarr 3 specification has no consolidated metadata yet; other readers may ignore it.
            warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
            zarr.consolidate_metadata(self.zarr)
        text = json.loads(root.read_text(encoding="utf-8"))
        known = text["consolidated_metadata"]["metadata"]
        text["consolidated_metadata"]["metadata"] = {path: known[path] for path in sorted(known)}
        with self._writing("store"):
            write_whole(root, json.dumps(text, indent=1))

    def tree(self) -> xr.DataTree:
        """Open all of result.zarr, once it is indexed."""
        return xr.open_datatree(self.zarr, engine="zarr", consolidated=True, chunks=None)

    def write_file(self, stage: str, name: str, content: str | bytes) -> None:
        """Write a file into the directory, whole or not at all."""
        with self._writing(stage):
            write_whole(self.directory / name, content)
        self._texts.append(name)

    def write_manifest(self, inputs: Mapping[str, str], about: Mapping[str, Any]) -> None:
        """Write manifest.json: the hash of every input, of every file of the result, and how the run went.

        The log is not in it: it is still being written.
        """
        beside = ("config.yaml", *schema.FILES)
        outputs = [f for f in (self.directory / name for name in beside) if f.is_file()] + files(self.zarr)
        listed = {f.relative_to(self.directory).as_posix(): digest(f) for f in outputs}
        text = json.dumps({"schema": schema.VERSION, **about, "inputs": dict(inputs), "outputs": listed}, indent=1)
        with self._writing("report"):
            write_whole(self.directory / "manifest.json", text + "\n")


def _planned(blocks: Blocks) -> dict[str, Any]:
    """Return what must be equal for blocks on disk to be used."""
    return {"total": blocks.total, "size": blocks.size, "groups": list(blocks.groups)}


def _opened(folder: Path, group: str) -> xr.Dataset:
    # Nothing is kept in memory once it has been read: whoever needs a variable twice keeps it.
    return xr.open_dataset(folder, group=group, engine="zarr", consolidated=False, chunks=None, cache=False)


def _write_group(folder: Path, group: str, stage: str, dataset: xr.Dataset, chunks: Mapping[str, Any]) -> None:
    """Write a group with what it is called and where it comes from."""
    described = dataset.assign_attrs({"long_name": _GROUPS[group], "stage": stage} | dataset.attrs)
    encoding = {name: {"chunks": shape} for name, shape in chunks.items()}
    described.to_zarr(folder / group, mode="w", zarr_format=3, consolidated=False, encoding=encoding)


def _difference(found: Any, wanted: Any) -> str:
    """Show the first line in which two values differ."""
    before, after = str(found).splitlines() or [""], str(wanted).splitlines() or [""]
    for old, new in zip(before, after, strict=False):
        if old != new:
            return f"'{old.strip()}' there, '{new.strip()}' here"
    return f"{len(before)} lines there, {len(after)} here"
