"""Stages in blocks: whole chunks, memory of one block, and equal bytes after a kill at any instant."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr

from tests.test_store import ATTRS
from vtrial import schema, store
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
    run = Store(tmp_path / "run", ATTRS)
    run.stream("simulate", blocks())
    found, whole = run.group(schema.OUTCOMES), block(0, 10)[schema.OUTCOMES]
    for name in whole.variables:
        np.testing.assert_array_equal(found[name].to_numpy(), whole[name].to_numpy())
    assert found.attrs["stage"] == "simulate"
    assert run.group(schema.VARIANCE)["mean"] == pytest.approx(4.5 + 0.25)
    array = zarr.open_group(run.zarr / schema.OUTCOMES, mode="r")["peak"]
    assert array.chunks == (4, 3)
    assert not run.unfinished("simulate").exists()
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
    run, calls = Store(tmp_path / "run", ATTRS), []

    def counted(start, stop):
        calls.append(start)
        if start == 8 and len(calls) < 4:
            raise KeyboardInterrupt
        return block(start, stop)

    with pytest.raises(KeyboardInterrupt):
        run.stream("simulate", blocks(compute=counted))
    chunk = run.unfinished("simulate") / schema.OUTCOMES / "peak" / "c" / "1" / "0"
    chunk.write_bytes(b"broken")
    run.stream("simulate", blocks(compute=counted))
    assert calls == [0, 4, 8, 4, 8]
    assert json.loads((tmp_path / "run" / ".stages" / "simulate.json").read_text())["groups"].keys() >= {"outcomes"}
    np.testing.assert_array_equal(run.group(schema.OUTCOMES)["peak"], block(0, 10)[schema.OUTCOMES]["peak"])


class Killed(BaseException):
    """Nobody catches it: what is on disk is what a kill would leave."""


def test_stopped_at_any_write_or_rename_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    """Stopped at its n-th write of a chunk or rename, for every n until nothing is left to stop."""
    Store(tmp_path / "other", ATTRS).stream("simulate", blocks())
    left, stopped = 0, True
    while stopped:
        run, seen, stopped = tmp_path / f"run{left}", [], False
        Store(run, ATTRS)

        def counted(real, limit=left, seen=seen):
            def call(*given):
                seen.append(1)
                if len(seen) > limit:
                    raise Killed
                return real(*given)

            return call

        with monkeypatch.context() as patched:
            patched.setattr(store, "write_block", counted(store.write_block))
            patched.setattr(store.os, "replace", counted(store.os.replace))
            try:
                Store(run, ATTRS).stream("simulate", blocks())
            except Killed:
                stopped = True
        Store(run, ATTRS).stream("simulate", blocks())
        for group in (schema.OUTCOMES, schema.VARIANCE):
            assert digest(run / "result.zarr" / group) == digest(tmp_path / "other" / "result.zarr" / group), left
        left += 1
    # Six chunks, three markers, the plan, two groups and the stage's own marker; and what Zarr renames itself.
    assert left > 15


def test_a_block_that_does_not_fill_whole_chunks_is_an_error(tmp_path):
    array = zarr.create_array(tmp_path / "array", shape=(10, 2), chunks=(4, 2), dtype=float)
    write_block(array, 8, np.ones((2, 2)))
    for start, count in ((2, 4), (0, 3), (8, 4)):
        with pytest.raises(RuntimeError, match=r"does not fill whole chunks of 4"):
            write_block(array, start, np.ones((count, 2)))
