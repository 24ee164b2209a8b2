"""Comparison of models against ArviZ, closed forms and hand calculation; and what is refused."""

import numpy as np
import pytest
import xarray as xr
from arviz_stats import compare as arviz_compare
from arviz_stats import loo as arviz_loo
from scipy.optimize import minimize_scalar

from vtrial import schema
from vtrial.diagnose import compare, stacking_weights
from vtrial.errors import UserError

SUBJECTS = 30


def result(elpd, k=0.3, passed=True, shift=0.0, who=None):
    """A finished result, as far as a comparison looks at it."""
    count = len(elpd)
    who = who or [str(i) for i in range(count)]
    loo = xr.Dataset(
        {
            "elpd": ("subject", elpd),
            "elpd_mcse": ("subject", np.full(count, 0.01)),
            "p_loo": ("subject", np.full(count, 0.1)),
            "pareto_k": ("subject", np.full(count, k)),
        },
        {"subject": who},
    )
    seen = xr.Dataset(
        {"DV": ("obs", np.arange(count) + shift)},
        {
            n: ("obs", v)
            for n, v in {
                "time": np.arange(count),
                "subject": [str(i) for i in range(count)],
                "output": ["c"] * count,
                "unit": ["mg/L"] * count,
            }.items()
        },
    )
    health = xr.Dataset(attrs={"gate_passed": passed})
    return xr.DataTree.from_dict({schema.LOO: loo, schema.OBSERVED_DATA: seen, schema.FIT_HEALTH: health})


def elpds(seed=0):
    random = np.random.default_rng(seed)
    common = random.normal(-10, 3, SUBJECTS)
    return common + random.normal(0.3, 0.5, SUBJECTS), common + random.normal(0, 0.5, SUBJECTS)


def test_differences_are_paired():
    good, bad = elpds()
    found = compare({"bad": result(bad), "good": result(good, k=0.9)})
    assert list(found["model"].to_numpy()) == ["good", "bad"]
    worse = found.sel(model="bad")
    assert float(worse["difference"]) == pytest.approx((bad - good).sum())
    assert float(worse["difference_se"]) == pytest.approx(np.sqrt(SUBJECTS) * (bad - good).std(ddof=1))
    assert float(worse["elpd_se"]) == pytest.approx(np.sqrt(SUBJECTS) * bad.std(ddof=1))
    assert float(worse["difference_se"]) < float(worse["elpd_se"]) / 3
    assert list(found["high_k"].to_numpy()) == [SUBJECTS, 0]


def test_weights_and_differences_are_those_of_arviz():
    """Log-likelihoods whose leave-one-out ArviZ makes itself, from draws."""
    random = np.random.default_rng(1)
    scale = random.uniform(0.5, 2, (3, SUBJECTS))
    trees = {
        f"m{i}": xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset({"x": (("chain", "draw"), random.normal(size=(4, 200)))}),
                "log_likelihood": xr.Dataset(
                    {
                        "y": (
                            ("chain", "draw", "obs"),
                            random.normal(m, 0.2, (4, 200, 1)) * scale[i],
                        )
                    }
                ),
            }
        )
        for i, m in enumerate((-2.0, -2.2, -2.1))
    }
    pointwise = {n: arviz_loo(t, pointwise=True) for n, t in trees.items()}
    other = arviz_compare(pointwise, method="stacking", round_to="none")
    found = compare({n: result(p.elpd_i.to_numpy()) for n, p in pointwise.items()})
    for name in trees:
        mine = found.sel(model=name)
        assert float(mine["weight"]) == pytest.approx(float(other.loc[name, "weight"]), abs=2e-3)
        assert float(mine["elpd"]) == pytest.approx(float(other.loc[name, "elpd"]), rel=1e-6)


def test_weights_are_the_maximum():
    one, two = elpds(2)
    weight = stacking_weights(np.stack([one, two], -1))

    def loss(w):
        return -np.log(w * np.exp(one - two) + 1 - w).sum()

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9}).x
    assert weight[0] == pytest.approx(best, abs=1e-4)
    assert weight.sum() == pytest.approx(1)
    assert stacking_weights(np.stack([one, one - 5], -1))[0] == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(stacking_weights(np.stack([one, one], -1)), 0.5)


def test_subjects_are_matched_by_id():
    good, bad = elpds()
    order = np.arange(SUBJECTS)[::-1]
    mixed = result(bad[order], who=[str(i) for i in order])
    plain = compare({"a": result(good), "b": result(bad)})
    xr.testing.assert_identical(compare({"a": result(good), "b": mixed}), plain)


def test_what_cannot_be_compared_is_refused():
    good, bad = elpds()
    with pytest.raises(UserError, match="at least two"):
        compare({"a": result(good)})
    with pytest.raises(UserError, match=r"'a' and 'b' were fitted to different observations \(another DV\)"):
        compare({"a": result(good), "b": result(bad, shift=1.0)})
    with pytest.raises(UserError, match="30 and 29 observations"):
        compare({"a": result(good), "b": result(bad[:-1])})
    with pytest.raises(UserError, match="'b' has no elpd of ID 3"):
        compare({"a": result(good), "b": result(np.where(np.arange(SUBJECTS) == 3, np.nan, bad))})
    old = result(bad)
    old[schema.LOO] = xr.DataTree(old[schema.LOO].to_dataset()[["pareto_k"]])
    with pytest.raises(UserError, match=r"'b' has no leave-one-out by subject.*loo\.draws"):
        compare({"a": result(good), "b": old})
