"""Sweeps: what cells share, that a cell has the numbers of a run, and that an interrupted sweep goes on."""

import shutil
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest
import xarray as xr
from omegaconf import OmegaConf

from tests.helpers import run_cli
from vtrial import cli, keys, run, schema
from vtrial.cells import UNREAD, Cell, part
from vtrial.errors import UserError
from vtrial.hashes import digest
from vtrial.overrides import grid
from vtrial.sweep import stacked
from vtrial.trial import Composite, PerEvent, TreatmentPolicy

PLAIN = {
    "seed": 1,
    "data": {"path": "a.csv"},
    "cohort": {"subjects": 60},
    "endpoints": {"peak": 1},
    "analysis": "means",
    "design": {"per_arm": 5, "arms": {"low": 1, "high": 2}},
    "something_new": 1,
}


def cell(**changed) -> Cell:
    study: Any = SimpleNamespace(
        design=SimpleNamespace(periods=changed.pop("periods", 1)),
        prognosis=changed.get("prognosis"),
        estimand=changed.get("estimand", TreatmentPolicy()),
        course=SimpleNamespace(events=changed.get("course", {})),
    )
    return Cell({}, study, PLAIN | changed)


@pytest.mark.parametrize(
    ("changed", "shared"),
    [
        ({"design": PLAIN["design"] | {"per_arm": 9}}, ["fit", "patients", "outcomes"]),
        ({"analysis": "ancova"}, ["fit", "patients", "outcomes"]),
        ({"design": PLAIN["design"] | {"arms": {"low": 1}}}, ["fit"]),
        ({"course": {"events": 1}}, ["fit"]),
        ({"endpoints": {"trough": 1}}, ["fit", "patients"]),
        ({"periods": 2}, ["fit"]),
        ({"cohort": {"subjects": 80}}, ["fit"]),
        ({"data": {"path": "b.csv"}}, []),
        ({"seed": 2}, []),
        ({"something_new": 2}, []),
    ],
)
def test_cells_share_the_stages_that_do_not_read_what_they_differ_in(changed, shared):
    other = {**changed}
    same = [stage for stage in UNREAD if part(stage, cell()) == part(stage, cell(**other))]
    assert [stage for stage in same if stage != "trials"] == shared
    if "periods" not in changed:
        assert part("trials", cell()) != part("trials", cell(**changed))


def test_events_between_periods_depend_on_the_time_there_is():
    near, far = (PLAIN["design"] | {"spacing": spacing} for spacing in ("7 day", "14 day"))
    for course, same in (({}, True), ({"leave": 1}, False)):
        both = [part("outcomes", cell(periods=2, design=design, course=course)) for design in (near, far)]
        assert (both[0] == both[1]) == same


def test_outcomes_are_simulated_in_the_world_of_a_mixed_estimand():
    mixed = PerEvent({"stop": TreatmentPolicy()})
    assert part("outcomes", cell(estimand=mixed)) != part("outcomes", cell())
    assert part("outcomes", cell(estimand=Composite())) == part("outcomes", cell())


def test_a_prognostic_score_is_of_the_patients_a_design_enrols():
    other = PLAIN["design"] | {"per_arm": 9}
    assert part("outcomes", cell(prognosis=1)) != part("outcomes", cell(prognosis=1, design=other))
    assert part("patients", cell(prognosis=1)) == part("patients", cell(prognosis=1, design=other))


def test_the_grid_is_the_product_of_the_lists():
    found = grid(["-cn", "s", "a.b=1,2", "c=[3,4]", "+d=x,y", "directory=z"], ("directory",))
    assert (found.options, found.fixed) == (["-cn", "s"], ["c=[3,4]", "directory=z"])
    said = [list(c.values()) for c in found.cells()]
    assert said == [["a.b=1", "+d=x"], ["a.b=1", "+d=y"], ["a.b=2", "+d=x"], ["a.b=2", "+d=y"]]
    assert found.first() == ["-cn", "s", "c=[3,4]", "directory=z", "a.b=1", "+d=x"]


@pytest.mark.parametrize(
    ("said", "why"), [("directory=a,b", "how to run"), ("x=interval(0,1)", "write the values out")]
)
def test_what_cannot_be_swept(said, why):
    with pytest.raises(UserError, match=why):
        grid(["-cn", "s", said], ("directory",))


def test_cells_of_other_shapes_are_filled_up():
    sizes = enumerate((2, 3, 2, 3))
    cells = [xr.Dataset({"p": ("arm", np.arange(n) + 10.0 * i)}, {"arm": list("abc")[:n]}) for i, n in sizes]
    found = stacked(cells, {"x": ["1", "2"], "y": ["u", "v"]})
    assert found["p"].dims == ("x", "y", "arm")
    assert float(found["p"].sel(x="2", y="u", arm="b")) == 21.0
    assert np.isnan(found["p"].sel(x="1", y="u", arm="c"))


T = ("-cn", "theophylline_quick")
TARGET = ("calibrate.vary=design.per_arm", "calibrate.between=[4,19]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sweep", *T), "Nothing is swept; give a key several values"),
        (("sweep", *T, "design.per_arm=5,many"), "design.per_arm=many: design.per_arm must be an integer, not 'many'"),
        (("calibrate", *T), "calibrate.vary, calibrate.between, calibrate.target must be given"),
        (("calibrate", *T, *TARGET, "calibrate.vary=design.per_arms", "calibrate.target={power: 0.5}"),
            "there is no key 'design.per_arms'. Did you mean 'per_arm'?"),
        (("calibrate", *T, *TARGET, "calibrate.target={power: 0.5}", "seed=1,2"), "calibrate varies one key by itself"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli(*arguments)
    assert (code, said in err, "Traceback" in out + err) == (2, True, False), err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_cell_has_the_numbers_of_a_run_and_a_sweep_goes_on(quick, tmp_path):
    place = tmp_path / "sweep"
    saved = ("inference=saved", f"inference.path={quick}/result.zarr", "loo.draws=0", f"directory={place}")
    code, out, err = run_cli("sweep", *T, *saved, "design.per_arm=10,14")
    assert code == 0, err
    assert "design.per_arm" in out
    stages = sorted(f.name.partition("-")[0] for f in (place / ".cells").iterdir() if f.is_dir())
    assert stages == ["fit", "outcomes", "patients", "trials", "trials"]
    tree = xr.open_datatree(place / "sweep.zarr", engine="zarr", consolidated=False)
    found = tree[schema.OPERATING_CHARACTERISTICS].to_dataset().sel({"design.per_arm": "10"})
    plain = xr.open_datatree(quick / "result.zarr")[schema.OPERATING_CHARACTERISTICS].to_dataset()
    for name in plain.data_vars:
        np.testing.assert_array_equal(found[name], plain[name], err_msg=str(name))
    each = tree[schema.EACH_TRIAL]["power_any"]
    np.testing.assert_allclose(each.mean("replicate"), tree[schema.OPERATING_CHARACTERISTICS]["power_any"])
    rows = pl.read_csv(place / "sweep.csv").filter(pl.col("characteristic") == "enrolled")
    assert rows["value"].to_list() == [30.0, 42.0]
    assert "<svg" in (place / "sweep.html").read_text()

    before, first = digest(place / "sweep.zarr"), sorted((place / ".cells").glob("trials-*"))[0]
    shutil.rmtree(first)
    shutil.rmtree(place / "sweep.zarr")
    code, _, err = run_cli("sweep", *T, *saved, "design.per_arm=10,14")
    assert (code, digest(place / "sweep.zarr")) == (0, before), err


@pytest.mark.slow
def test_a_size_is_found_for_a_study(quick, tmp_path):
    place = tmp_path / "size"
    saved = ("inference=saved", f"inference.path={quick}/result.zarr", "loo.draws=0")
    known = "+cohort.levels={_target_: vtrial.cohort.Levels, parameters: false}"
    size = (known, "cohort.replicates=300", f"directory={place}", *TARGET, "calibrate.target={power_any: 0.2}")
    code, out, err = run_cli("calibrate", *T, *saved, *size)
    assert code == 0, err
    assert "power_any is at least 0.2 from design.per_arm=" in out
    tree = xr.open_datatree(place / "calibrate.zarr", engine="zarr", consolidated=False)
    found = tree["search"]
    assert found.attrs["lower"] <= found.attrs["answer"] <= found.attrs["upper"]
    assert found.attrs["answer"] in found["at"].to_numpy()
    assert "<svg" in (place / "calibrate.html").read_text()


@pytest.mark.slow
def test_trials_in_blocks_are_the_same_trials(quick, monkeypatch):
    """Seven replicates at once, of twenty: the last block is filled up."""
    tree = xr.open_datatree(quick / "result.zarr")
    study = cli.build(OmegaConf.create(str(tree.attrs["config"])))
    key = keys.named(jax.random.key(study.seed), "trial")
    monkeypatch.setattr(run, "_TOGETHER", 7 * 60 * 3)
    found = run.conducted(key, study, tree[schema.OUTCOMES].to_dataset())
    for group, dataset in found.items():
        for name in dataset.data_vars:
            np.testing.assert_allclose(dataset[name], tree[group][name], rtol=1e-12, err_msg=str(name))
