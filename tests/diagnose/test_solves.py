"""Failed solves are counted by reason, and named."""

import numpy as np
import xarray as xr

from vtrial.diagnose import failed_solves, fit_failures, lost_after_warmup, lost_on_the_way


def test_patients_are_named_by_reason():
    values = np.zeros((2, 4, 2), np.int32)
    values[1, :, 0], values[0, 2, 1] = 2, 4
    code = xr.DataArray(values, {"arm": ["low", "high"]}, ("replicate", "subject", "arm"))
    limit, steady = failed_solves(code, [str(d) for d in code.dims])
    assert (limit.code, limit.count, limit.others) == (2, 4, 1)
    assert limit.first[0] == "replicate 1, subject 0, arm low"
    assert (steady.code, steady.count) == (4, 1)
    assert steady.sentence().endswith("provides for: 1 solve(s), replicate 0, subject 2, arm high")
    assert "step limit" in limit.sentence()


def test_of_a_fit_subjects_are_named_once():
    values = np.zeros((2, 5, 3), np.int8)
    values[:, :, 1] = 3
    code = xr.DataArray(values, {"ID": ["a", "b", "c"]}, ("chain", "draw", "ID"))
    (said,) = fit_failures(code)
    assert "10 of 30 solves of observed subjects failed (code 3, an amount became negative: 10 solve(s), ID b)" in said
    assert fit_failures(code * 0) == []


def test_where_chains_turned_back():
    counts = np.zeros((2, 5, 5), int)
    counts[0, :, 2], counts[0, 3, 2], counts[1, 4, 3] = 1, 7, 2
    coords = {"phase": ["warm-up", "sampling"], "ID": list("abcde"), "code": range(5)}
    stats = xr.Dataset({"failed_solves": (("phase", "ID", "code"), counts)}, coords)
    limit, negative = lost_on_the_way(stats)
    assert limit.endswith("11 solve(s), ID d; ID a; ID b; and 2 more (11 in warm-up, 0 in sampling)")
    assert negative == "code 3, an amount became negative: 2 solve(s), ID e (0 in warm-up, 2 in sampling)"
    assert negative in lost_after_warmup(stats)[0]
    assert lost_after_warmup(stats.isel(ID=slice(4))) == lost_on_the_way(xr.Dataset()) == []
