import errno
import json

import numpy as np
import pytest
import xarray as xr

from vtrial import schema
from vtrial.errors import UserError
from vtrial.hashes import digest
from vtrial.store import Store, locked

ATTRS = {"study": "s", "config": "seed: 1\nmodel: a\n", "version": "1"} | {
    "inputs": {},
    "libraries": {},
    "precision": 64,
}


def groups(value=1.0):
    return {
        schema.OBSERVED_DATA: xr.Dataset({"DV": ("obs", np.full(3, value))}, {"subject": ("obs", ["A", "B", "C"])}),
        schema.CONSTANT_DATA: xr.Dataset({"WT": ("subject", [70.0])}),
    }


def test_a_stage_is_computed_once(tmp_path):
    calls = []
    for _ in range(2):
        store = Store(tmp_path / "run", ATTRS)
        store.stage("data", lambda: calls.append(1) or groups())
    assert calls == [1]
    assert store.group(schema.OBSERVED_DATA)["DV"].to_numpy().tolist() == [1.0] * 3
    assert store.group(schema.OBSERVED_DATA)["subject"].to_numpy().tolist() == ["A", "B", "C"]
    assert store.group(schema.OBSERVED_DATA).attrs["stage"] == "data"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", "seed: 2\nmodel: a\n"),
        ("inputs", {"d.csv": "1"}),
        ("libraries", {"jax": "2"}),
        ("precision", 32),
        ("version", "2"),
        ("study", "t"),
    ],
)
def test_another_run_is_refused(tmp_path, key, value):
    Store(tmp_path / "run", ATTRS)
    with pytest.raises(UserError, match=f"holds a run with another {key}"):
        Store(tmp_path / "run", ATTRS | {key: value})


def test_the_first_difference_is_shown(tmp_path):
    Store(tmp_path / "run", ATTRS)
    with pytest.raises(UserError, match="'seed: 1' there, 'seed: 2' here"):
        Store(tmp_path / "run", ATTRS | {"config": "seed: 2\nmodel: a\n"})


@pytest.mark.parametrize(("code", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "Permission denied")])
def test_a_disk_that_fills_up_half_way(tmp_path, monkeypatch, code, said):
    """The second group cannot be written: the stage leaves nothing, the one before stays, making room is enough."""
    store = Store(tmp_path / "run", ATTRS)
    store.stage("data", groups)
    before = digest(store.zarr)
    real, written = xr.Dataset.to_zarr, []

    def fails(self, target, **settings):
        written.append(target)
        if len(written) == 2:
            real(self, target, **settings)
            raise OSError(code, "Permission denied" if code == errno.EACCES else "No space left on device")
        return real(self, target, **settings)

    stage = {schema.FIT_HEALTH: groups()[schema.CONSTANT_DATA], schema.VPC: groups()[schema.CONSTANT_DATA]}
    with monkeypatch.context() as patched:
        patched.setattr(xr.Dataset, "to_zarr", fails)
        with pytest.raises(UserError, match=f"Stage 'gate' could not write to .*{said}.*same directory"):
            store.stage("gate", lambda: stage)
    assert digest(store.zarr) == before
    assert not (tmp_path / "run" / ".partial").exists()
    again = Store(tmp_path / "run", ATTRS)
    assert again.done("data")
    assert not again.done("gate")
    again.stage("gate", lambda: stage)
    assert again.done("gate")


def test_a_full_disk_at_the_very_start(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vtrial.store.os.replace", full)
    with pytest.raises(UserError, match=r"'start' could not write.*the disk is full"):
        Store(tmp_path / "run", ATTRS)


def test_a_changed_group_is_noticed(tmp_path):
    store = Store(tmp_path / "run", ATTRS)
    store.stage("data", groups)
    file = next(
        f for f in (store.zarr / schema.OBSERVED_DATA / "DV").rglob("*") if f.is_file() and f.name != "zarr.json"
    )
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(UserError, match=r"'observed_data' .* is not as stage 'data' wrote it"):
        store.stage("data", groups)


def test_the_index_holds_every_group_in_one_order(tmp_path):
    store = Store(tmp_path / "run", ATTRS)
    store.stage("data", groups)
    store.index()
    assert list(store.tree().children) == sorted([schema.OBSERVED_DATA, schema.CONSTANT_DATA])
    assert store.tree().attrs["study"] == "s"


def test_a_run_killed_while_indexing_recovers(tmp_path):
    store = Store(tmp_path / "run", ATTRS)
    store.stage("data", groups)
    (store.zarr / "zarr.json").write_text('{"half": ')
    assert Store(tmp_path / "run", ATTRS).done("data")


def test_a_result_of_unknown_origin_is_never_removed(tmp_path):
    """A copy without the hidden folder, say: what is in it may be all somebody has."""
    store = Store(tmp_path / "run", ATTRS)
    store.stage("data", groups)
    (tmp_path / "run" / ".stages").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"exists, but .*\.stages does not say what it is"):
        Store(tmp_path / "run", ATTRS)
    assert (store.zarr / schema.OBSERVED_DATA).is_dir()


def test_a_directory_has_one_run_at_a_time(tmp_path):
    with (
        locked(tmp_path / "run"),
        pytest.raises(UserError, match="Another process is running in"),
        locked(tmp_path / "run"),
    ):
        pass
    with locked(tmp_path / "run"):
        pass


def test_a_report_that_is_gone_is_written_again(tmp_path):
    def report():
        store.write_file("report", "report.html", "<html></html>")
        return {}

    store = Store(tmp_path / "run", ATTRS)
    store.stage("report", report)
    (tmp_path / "run" / "report.html").unlink()
    store = Store(tmp_path / "run", ATTRS)
    assert not store.done("report")
    store.stage("report", report)
    assert Store(tmp_path / "run", ATTRS).done("report")


def test_the_manifest_lists_every_file_with_its_hash(tmp_path):
    store = Store(tmp_path / "run", ATTRS)
    store.stage("data", groups)
    store.write_file("report", "report.html", "<html></html>")
    store.write_manifest({"data.csv": "00"}, {"study": "s"})
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["inputs"] == {"data.csv": "00"}
    assert manifest["outputs"]["report.html"] == digest(tmp_path / "run" / "report.html")
    assert sum(name.startswith("result.zarr/observed_data/") for name in manifest["outputs"]) >= 3
