"""The five strategies of ICH E9(R1): identities, and truths in closed form."""

import numpy as np
import pytest
import xarray as xr

from tests.helpers import finished
from vtrial.design import Arm, Parallel
from vtrial.dosing import Regimen
from vtrial.trial import (
    STRATEGIES,
    AbstractEstimand,
    AtOnce,
    Clock,
    Composite,
    Greatest,
    Lived,
    Means,
    PrincipalStratum,
    Rules,
    add_estimands,
    estimand_truths,
)

ARM = Arm(Regimen("300 mg", "12 h", 4, "depot"))
RANDOM = np.random.default_rng(9)
SHAPE = (3, 5000, 2)


def lived(p=0.4, rest=()):
    """Arm 1 is 2 better; an event takes it all away, and ends observation for half of those who have one."""
    base = RANDOM.normal(size=(*SHAPE[:2], 1, *rest))
    effect = np.array([0.0, 2.0]).reshape((2,) + (1,) * len(rest))
    hypothetical = base + effect
    happens = RANDOM.random(SHAPE) < p
    first = np.where(happens, RANDOM.uniform(0, 10, SHAPE), np.inf)
    whom = happens.reshape(SHAPE + (1,) * len(rest))
    actual = np.where(whom, base + 0 * effect, hypothetical)
    until = np.where(happens & (RANDOM.random(SHAPE) < 0.5), first, np.inf)
    return Lived(actual, hypothetical, 0.5 * (actual + hypothetical), first, until)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("rest", [(), (3,)])
def test_without_events_all_truths_are_equal(strategy, rest):
    same = lived(0.0, rest)
    np.testing.assert_array_equal(strategy.target(same), same.actual)
    np.testing.assert_array_equal(strategy.observed(same), same.actual)
    assert np.isinf(strategy.until(same)).all()
    assert strategy.describe()


def test_all_strategies_are_in_the_table():
    assert {type(s) for s in STRATEGIES} == set(finished(AbstractEstimand))


def test_truths_are_the_closed_forms():
    found = lived(0.4)
    effects = {}
    for strategy in STRATEGIES:
        table = strategy.target(found)
        difference = table[..., 1] - table[..., 0]
        effects[type(strategy).__name__] = (np.nanmean(difference), np.nanstd(difference) / np.sqrt(15000))
    expected = {"TreatmentPolicy": 1.2, "Hypothetical": 2.0, "WhileOnTreatment": 1.6, "PrincipalStratum": 2.0}
    for name, value in expected.items():
        effect, error = effects[name]
        assert abs(effect - value) < 4 * error + 1e-9, name
    # Whoever has an event counts as 0: 0.6 x 2 in arm 1, and nothing in arm 0.
    assert abs(effects["Composite"][0] - 1.2) < 4 * effects["Composite"][1]


def test_a_composite_of_certain_events_is_certain_failure():
    assert (Composite(1.0).target(lived(1.0)) == 1.0).all()


def test_the_stratum_is_of_patients_without_events_in_any_arm():
    found = lived(0.4)
    kept = np.isfinite(PrincipalStratum().target(found))
    np.testing.assert_array_equal(kept, np.isinf(found.first).all(2, keepdims=True) & np.ones(SHAPE, bool))
    assert abs(kept[..., 0].mean() - 0.36) < 4 * np.sqrt(0.36 * 0.64 / 15000)


def test_the_studys_own_composite_is_the_one_reported():
    """Not the one with the value of failure that a composite has unless told."""
    design = Parallel({"a": ARM, "b": ARM}, 10)
    rules = Rules(design, Means("a"), Greatest(), AtOnce(), Clock(np.asarray(10.0), "value"), "h")
    found, oc = lived(0.4), xr.Dataset(coords={"arm": ["a", "b"]})
    add_estimands(oc, estimand_truths(found, rules, Composite(7.0)), rules, Composite(7.0), "mg")
    expected = Composite(7.0).target(found)[:, 20:].mean((0, 1))
    np.testing.assert_allclose(oc["estimand"].sel(strategy="Composite"), expected, rtol=1e-12)
    assert oc["estimand"].attrs["units"] == "mg"
