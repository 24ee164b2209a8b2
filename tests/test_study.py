"""The straight line: what it leaves, that it resumes to the same numbers, and that a seed is a result."""

import json
import shutil
import subprocess
import sys

import arviz_stats
import pytest
import xarray as xr

from tests.helpers import ROOT, run_cli
from vtrial import schema, store
from vtrial.hashes import digest
from vtrial.inference import Checkpoint

STAGES = list(schema.STAGES)
QUICK = ("-cn", "theophylline_quick")


def same_numbers(one, other):
    """Group by group, byte by byte; the root names the commit, which may differ while somebody works."""
    for group in (g for groups in schema.STAGES.values() for g in groups):
        assert digest(one / "result.zarr" / group) == digest(other / "result.zarr" / group), group


def test_every_group_variable_and_attribute_is_there(tree):
    assert set(tree.children) == set(schema.GROUPS)
    for name, group in tree.children.items():
        assert group.attrs["long_name"] == schema.GROUPS[name]
        for variable in group.data_vars.values():
            assert "long_name" in variable.attrs, f"{name}/{variable.name}"
    for key in (*schema.IDENTITY, "seed", "libraries", "git_commit", "question", "decision_rule"):
        assert key in tree.attrs
    assert tree["outcomes"]["inside"].dims == ("replicate", "subject", "arm")
    assert tree["cohort"]["CL"].attrs["units"] == "L/h"


def test_arviz_reads_the_posterior(tree):
    summary = arviz_stats.summary(tree["posterior"].dataset[["CL", "VC", "KA"]])
    assert list(summary.index) == ["CL", "VC", "KA"]


def test_the_manifest_has_every_file(quick):
    manifest = json.loads((quick / "manifest.json").read_text())
    found = {f.relative_to(quick).as_posix() for f in (quick / "result.zarr").rglob("*") if f.is_file()}
    assert set(manifest["outputs"]) == found | {"config.yaml", *schema.FILES}
    for name, known in manifest["outputs"].items():
        assert digest(quick / name) == known
    assert set(manifest["inputs"]) == {"theophylline.csv", "oral_1cpt.py"}
    assert {"import and build", "calibrate", "simulate", "trial", "report"} <= set(manifest["seconds"])


def test_the_same_seed_gives_the_same_bytes_in_another_process(quick, tmp_path):
    subprocess.run(
        [sys.executable, "-m", "vtrial", *QUICK, f"directory={tmp_path}/run"],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    same_numbers(quick, tmp_path / "run")


@pytest.mark.slow
def test_another_seed_gives_other_numbers(quick, tmp_path):
    code, _, err = run_cli(*QUICK, f"directory={tmp_path}/run", "seed=7", "gate.force=true", "inference.draws=20")
    assert code == 0, err
    assert digest(quick / "result.zarr" / "cohort") != digest(tmp_path / "run" / "result.zarr" / "cohort")


KILLED = """
import os, signal, sys
from vtrial import store
stage, when = sys.argv.pop(1), sys.argv.pop(1)
real_write, real_rename = store.Store._write, os.replace
def die(): os.kill(os.getpid(), signal.SIGKILL)
def write(self, name, groups):
    if name == stage and when == "computed":
        die()
    self.writing = name
    if name == stage and when == "renaming":
        def rename(a, b):
            real_rename(a, b)
            die()
        store.os.replace = rename
    real_write(self, name, groups)
store.Store._write = write
if when == "indexing":
    store.zarr.consolidate_metadata = lambda path: ((path / "zarr.json").write_text("{"), die())
from vtrial.cli import main
main()
"""


@pytest.mark.slow
def test_kill_9_in_every_stage_resumes_to_the_same_numbers(quick, tmp_path):
    """One directory, killed in every stage in turn: before it writes, between its renames, while it indexes."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    moments = [(s, "renaming" if schema.STAGES[s] and i % 2 else "computed") for i, s in enumerate(STAGES)]
    moments.insert(STAGES.index("store"), ("store", "indexing"))
    for stage, when in moments:
        command = [sys.executable, str(script), stage, when, *QUICK, f"directory={tmp_path}/run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == -9, f"{stage} {when}: {done.stdout}{done.stderr}"
        marks = {f.stem for f in (tmp_path / "run" / ".stages").glob("*.json")} - {"root"}
        assert marks == set(STAGES[: STAGES.index(stage)])
    code, _, err = run_cli(*QUICK, f"directory={tmp_path}/run")
    assert code == 0, err
    same_numbers(quick, tmp_path / "run")
    assert (tmp_path / "run" / "report.html").read_text() == (quick / "report.html").read_text()


@pytest.mark.parametrize(
    "stage",
    [stage if stage == "simulate" else pytest.param(stage, marks=pytest.mark.slow) for stage in STAGES],
)
def test_control_c_in_every_stage(stage, quick, tmp_path, monkeypatch):
    """Interrupted in a stage, a run says how to go on, keeps the stages before, and then gives the same numbers."""
    run = tmp_path / "run"
    shutil.copytree(quick, run)
    for later in STAGES[STAGES.index(stage) :]:
        (run / ".stages" / f"{later}.json").unlink()
        for group in schema.STAGES[later]:
            shutil.rmtree(run / "result.zarr" / group)
    real = store.Store.stage

    def interrupted(self, name, compute):
        if name == stage:
            raise KeyboardInterrupt
        real(self, name, compute)

    with monkeypatch.context() as patched:
        patched.setattr(store.Store, "stage", interrupted)
        code, _, err = run_cli(*QUICK, f"directory={run}")
    assert code == 130
    assert f"Go on with: vtrial -cn theophylline_quick directory={run}" in err
    code, _, err = run_cli(*QUICK, f"directory={run}")
    assert code == 0, err
    same_numbers(quick, run)


@pytest.mark.slow
@pytest.mark.parametrize("saves", [1, 6])
def test_control_c_amid_the_sampler(saves, quick, tmp_path, monkeypatch):
    """Interrupted in warm-up or among the draws: the saved state goes on to the same numbers, and is gone then."""
    run, done = tmp_path / "run", []
    real = Checkpoint.save

    def interrupted(self, iterations, state, fresh):
        real(self, iterations, state, fresh)
        done.append(iterations)
        if len(done) == saves:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "due", lambda self: True)
        patched.setattr(Checkpoint, "save", interrupted)
        assert run_cli(*QUICK, f"directory={run}")[0] == 130
    assert (run / ".stages" / "calibrate.unfinished" / "state.npz").is_file()
    code, _, err = run_cli(*QUICK, f"directory={run}")
    assert code == 0, err
    same_numbers(quick, run)
    assert not (run / ".stages" / "calibrate.unfinished").exists()


def test_a_finished_run_is_not_run_again(quick, tmp_path):
    shutil.copytree(quick, tmp_path / "run")
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "run" / "result.zarr").rglob("*") if f.is_file()}
    code, _, err = run_cli(*QUICK, f"directory={tmp_path}/run")
    assert code == 0, err
    assert before == {f: f.stat().st_mtime_ns for f in (tmp_path / "run" / "result.zarr").rglob("*") if f.is_file()}


def test_other_settings_are_refused_in_a_directory_with_a_run(quick, tmp_path):
    shutil.copytree(quick, tmp_path / "run")
    code, _, err = run_cli(*QUICK, f"directory={tmp_path}/run", "design.per_arm=11")
    assert code == 2
    assert "holds a run with another config ('per_arm: 10' there, 'per_arm: 11' here)" in err
    for name in ("config.yaml", "report.html", "manifest.json"):
        assert (tmp_path / "run" / name).read_bytes() == (quick / name).read_bytes()


def test_saved_posterior_gives_the_trials_of_the_run_it_came_from(quick, tmp_path):
    code, _, err = run_cli(
        *QUICK, f"directory={tmp_path}/run", "inference=saved", f"inference.path={quick}/result.zarr"
    )
    assert code == 0, err
    one, other = (xr.open_datatree(p / "result.zarr") for p in (quick, tmp_path / "run"))
    for group in (schema.COHORT, schema.OUTCOMES, schema.TRIAL, schema.OPERATING_CHARACTERISTICS):
        assert one[group].dataset.identical(other[group].dataset), group
