"""The command that compares runs."""

import numpy as np
import polars as pl
import xarray as xr

from tests.helpers import run_cli
from vtrial import schema


def other_model(quick, place, better):
    """A run whose subjects are all predicted better by so much."""
    tree = xr.open_datatree(quick / "result.zarr", chunks=None).load()
    loo = tree[schema.LOO].to_dataset()
    tree[schema.LOO] = xr.DataTree(loo.assign(elpd=loo["elpd"] + better * np.linspace(0.5, 1.5, loo.sizes["subject"])))
    tree.to_zarr(place / "result.zarr", zarr_format=3, consolidated=True)
    return place


def test_runs_are_compared_and_the_table_kept(quick, tmp_path, recwarn):
    other = other_model(quick, tmp_path / "other", 2.0)
    recwarn.clear()
    code, out, err = run_cli("compare", str(quick), str(other / "result.zarr"), f"directory={tmp_path}/kept")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[1].startswith(str(other / "result.zarr"))
    assert "best" in lines[1]
    assert "100 %" in lines[1]
    assert lines[2].startswith(str(quick))
    assert "With 12 subjects" in out
    k = xr.open_datatree(quick / "result.zarr")[schema.LOO]["pareto_k"].to_series()
    high = k[k > 0.7].sort_values(ascending=False)
    assert (f"ID {high.index[0]} ({high.iloc[0]:.2f})" in out) == bool(len(high))
    page = (tmp_path / "kept" / "comparison.html").read_text()
    assert "best" in page
    frame = pl.read_csv(tmp_path / "kept" / "comparison.csv")
    np.testing.assert_allclose(frame["difference"].to_numpy(), [0, -24], rtol=1e-9)


def test_mistakes_are_sentences(quick, tmp_path):
    for arguments, sentence in [
        ((str(quick),), "at least two finished runs"),
        ((str(quick), str(tmp_path / "gone")), "is no run: there is no"),
        ((str(quick), "--force"), "'--force' is no run"),
    ]:
        code, _, err = run_cli("compare", *arguments)
        assert code == 2
        assert sentence in err
