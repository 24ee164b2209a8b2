"""Filgrastim and neutrophils (Krzyzanski 2010) against an independent solver."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.filgrastim import FilgrastimNeutrophils

from tests.models.cards import AUTO, integrated, repeated, solve, subject
from vtrial.dosing import Combined, Regimen

MODEL = FilgrastimNeutrophils()
VOLUNTEER = subject("filgrastim", MODEL)


def test_baseline_holds():
    found = solve(MODEL, VOLUNTEER, [0.0, 100.0, 200.0])
    np.testing.assert_allclose(found["neutrophils"], 1.55, rtol=1e-9)
    np.testing.assert_allclose(found["concentration"], VOLUNTEER["BAS"], rtol=1e-9)


def test_one_dose():
    times = np.arange(1, 97) / 2  # the reference has samples every half hour
    found = solve(MODEL, VOLUNTEER, [repeated(350.0, 24.0, 1), *times.tolist()])
    assert found["concentration"].max() == pytest.approx(40.097524, rel=1e-4)
    assert times[found["concentration"].argmax()] == pytest.approx(3.0, abs=1e-9)
    assert found["neutrophils"].max() == pytest.approx(21.187, rel=1e-4)
    assert times[found["neutrophils"].argmax()] == pytest.approx(14.5, abs=1e-9)


def test_a_week_of_doses():
    late = 144 + np.arange(1, 24) / 2
    rows = [repeated(350.0, 24.0, 7), 24.0, 72.0, 120.0, *late.tolist(), 168.0, 240.0]
    found = solve(MODEL, VOLUNTEER, rows)
    counts = found["neutrophils"][[0, 1, 2, -2, -1]]
    np.testing.assert_allclose(counts, [16.540684, 20.484996, 20.896100, 20.916473, 1.786064], rtol=1e-4)
    assert found["concentration"].max() == pytest.approx(40.992917, rel=1e-4)


@pytest.mark.slow
def test_a_part_absorbed_at_zero_order():
    """Krzyzanski's other route: a part of the dose enters at zero order over half an hour, against SciPy's LSODA."""
    v, share = subject("filgrastim_two_ways", MODEL), 0.7
    slow, quick = 350 * v["F_depot"], 350 * v["F_drug"]  # what reaches the blood by each
    assert (slow, quick) == pytest.approx((350 * 0.602 * share, 350 * 0.602 * (1 - share)), rel=1e-9)
    times = [0.25, 0.5, 2.0, 8.0, 24.0, 72.0]
    once = {"dose": "350 ug", "every": "24 h", "doses": 1}
    regimen = Combined([Regimen(**once, into="depot"), Regimen(**once, into="drug", timed=True)])
    events = regimen.records(MODEL, times)
    profile = jax.jit(lambda p: AUTO(MODEL, p, events))({n: jnp.asarray(value) for n, value in v.items()})
    assert profile.code == 0
    found = {name: np.asarray(values) for name, values in profile.outputs.items()}

    def stimulus(c, most):
        return 1 + most * c / (v["SC1"] + c)

    def free(y):
        receptor = v["KSI"] * y[2:].sum()
        b = v["KD"] + receptor - y[1] / v["VD"]
        return 0.5 * (-b + np.sqrt(b**2 + 4 * v["KD"] * y[1] / v["VD"])), receptor

    def turnover(c, receptor):
        return v["VD"] * (v["KEL"] * c + v["KINT"] * c * receptor / (c + v["KD"]))

    made, matured = stimulus(v["BAS"], v["SM1"]), stimulus(v["BAS"], v["SM2"])
    stage = v["KMT"] * v["NB0"] / (matured * v["KTT"])
    start = np.array([slow, 0.0, *9 * [stage], v["NB0"]])
    receptor = v["KSI"] * start[2:].sum()
    start[1] = v["BAS"] * v["VD"] * (1 + receptor / (v["BAS"] + v["KD"]))
    own = turnover(v["BAS"], receptor)

    def rates(t, y, rate):
        c, receptor = free(y)
        moved = v["KTT"] * stimulus(c, v["SM2"]) * y[2:11]
        into = np.array([v["KMT"] * v["NB0"] / made * stimulus(c, v["SM1"]), *moved[:-1]])
        drug = v["KA"] * y[0] + rate + own - turnover(c, receptor)
        return np.array([-v["KA"] * y[0], drug, *(into - moved), moved[-1] - v["KMT"] * y[11]])

    # Half an hour of input, then none; both ends of it are times of samples.
    first = integrated(partial(rates, rate=quick / 0.5), start, [], times[:2])
    later = integrated(lambda t, y: rates(t + 0.5, y, 0.0), first[-1], [], [t - 0.5 for t in times[2:]])
    states = [*first, *later]
    np.testing.assert_allclose(found["concentration"], [free(y)[0] for y in states], rtol=1e-4)
    np.testing.assert_allclose(found["neutrophils"], [y[11] for y in states], rtol=1e-4)
