"""Stages in blocks: whole chunks, memory of one block, and equal bytes after a kill at any instant."""

import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
import zarr

from tests.helpers import ROOT
from tests.test_store import ATTRS
from vtrial import schema
from vtrial.blocks import Blocks, write_block
from vtrial.hashes import digest
from vtrial.store import Store


def block(start, stop):
    """Numbers that tell which replicate they are of; the codes are zeros, which take no chunk."""
    number = np.arange(start, stop, dtype=float)
    return {
        schema.OUTCOMES: xr.Dataset(
            {
                "peak": (("replicate", "subject"), number[:, None] + np.array([0.0, 0.25, 0.5])),
                "code": (("replicate", "subject"), np.zeros((stop - start, 3), np.int32)),
                "course": (("replicate", "time"), number[:, None] * np.ones(2)),
            },
            {"replicate": np.arange(stop - start), "subject": [0, 1, 2], "label": ("time", ["a", "b"])},
        )
    }


def blocks(total=10, size=4, compute=block):
    def finish(filled):
        return {schema.VARIANCE: xr.Dataset({"mean": filled[schema.OUTCOMES]["peak"].mean()})}

    return Blocks(total, size, (schema.OUTCOMES,), compute, finish)


def test_blocks_are_one_array_on_disk(tmp_path):
    store = Store(tmp_path / "run", ATTRS)
    store.stream("simulate", blocks())
    found, whole = store.group(schema.OUTCOMES), block(0, 10)[schema.OUTCOMES]
    for name in whole.variables:
        np.testing.assert_array_equal(found[name].to_numpy(), whole[name].to_numpy())
    assert found.attrs["stage"] == "simulate"
    assert store.group(schema.VARIANCE)["mean"] == pytest.approx(4.5 + 0.25)
    array = zarr.open_group(store.zarr / schema.OUTCOMES, mode="r")["peak"]
    assert array.chunks == (4, 3)
    assert not store.unfinished("simulate").exists()
    assert Store(tmp_path / "run", ATTRS).done("simulate")


@pytest.mark.parametrize("stopped", [0, 4, 8])
def test_an_interrupted_stage_goes_on_with_the_blocks_that_are_missing(tmp_path, stopped):
    calls = []

    def interrupted(start, stop):
        calls.append(start)
        if start == stopped and len(calls) <= stopped // 4 + 1:
            raise KeyboardInterrupt
        return block(start, stop)

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path / "run", ATTRS).stream("simulate", blocks(compute=interrupted))
    Store(tmp_path / "run", ATTRS).stream("simulate", blocks(compute=interrupted))
    assert calls == [*range(0, stopped + 1, 4), *range(stopped, 10, 4)]
    Store(tmp_path / "other", ATTRS).stream("simulate", blocks())
    for group in (schema.OUTCOMES, schema.VARIANCE):
        assert digest(tmp_path / "run" / "result.zarr" / group) == digest(tmp_path / "other" / "result.zarr" / group)


def test_a_block_that_was_changed_or_is_of_another_plan_is_computed_again(tmp_path):
    store, calls = Store(tmp_path / "run", ATTRS), []

    def counted(start, stop):
        calls.append(start)
        if start == 8 and len(calls) < 4:
            raise KeyboardInterrupt
        return block(start, stop)

    with pytest.raises(KeyboardInterrupt):
        store.stream("simulate", blocks(compute=counted))
    chunk = store.unfinished("simulate") / schema.OUTCOMES / "peak" / "c" / "1" / "0"
    chunk.write_bytes(b"broken")
    store.stream("simulate", blocks(compute=counted))
    assert calls == [0, 4, 8, 4, 8]
    assert json.loads((tmp_path / "run" / ".stages" / "simulate.json").read_text())["groups"].keys() >= {"outcomes"}
    np.testing.assert_array_equal(store.group(schema.OUTCOMES)["peak"], block(0, 10)[schema.OUTCOMES]["peak"])


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.test_blocks import ATTRS, blocks
from vtrial import store
left, seen = int(sys.argv[2]), []
def counted(real):
    def call(*given):
        seen.append(1)
        if len(seen) > left:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)
    return call
run = store.Store(Path(sys.argv[1]), ATTRS)
store.write_block, store.os.replace = counted(store.write_block), counted(os.replace)
run.stream("simulate", blocks())
"""


@pytest.mark.slow
def test_kill_9_at_every_write_and_rename(tmp_path):
    """Killed at its n-th write of a chunk or rename, in one directory, for every n until nothing is left to kill."""
    Store(tmp_path / "other", ATTRS).stream("simulate", blocks())
    for left in range(100):
        command = [sys.executable, "-c", KILLED, str(tmp_path / f"run{left}"), str(left)]
        code = subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode
        Store(tmp_path / f"run{left}", ATTRS).stream("simulate", blocks())
        for group in (schema.OUTCOMES, schema.VARIANCE):
            one, other = (tmp_path / run / "result.zarr" / group for run in (f"run{left}", "other"))
            assert digest(one) == digest(other), left
        if code == 0:
            break
    assert left > 10
    assert code == 0


def test_a_block_that_does_not_fill_whole_chunks_is_an_error(tmp_path):
    array = zarr.create_array(tmp_path / "array", shape=(10, 2), chunks=(4, 2), dtype=float)
    write_block(array, 8, np.ones((2, 2)))
    for start, count in ((2, 4), (0, 3), (8, 4)):
        with pytest.raises(RuntimeError, match=r"does not fill whole chunks of 4"):
            write_block(array, start, np.ones((count, 2)))
