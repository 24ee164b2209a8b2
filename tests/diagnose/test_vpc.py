import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from vtrial import schema
from vtrial.diagnose import VisualCheck
from vtrial.diagnose.binning import given_bins, strata, time_bins
from vtrial.diagnose.correction import prediction_corrected, variability_corrected
from vtrial.diagnose.discrete import category_check, fractions, kaplan_meier, survival_check
from vtrial.diagnose.limits import Limits, limits
from vtrial.diagnose.replicate import population_predictions, replicated
from vtrial.errors import UserError
from vtrial.report.checks import categories


@pytest.fixture(scope="module")
def made(statistical, data):
    """Draws of one point, the data replaced by one replicate from it, replicates and population predictions."""
    medians = {site: prior.centre() for site, prior in statistical.priors().items()}
    draws = {n: np.full(200, v) for n, v in medians.items()} | {"iiv_cholesky": np.broadcast_to(np.eye(3), (200, 3, 3))}
    one = {n: jnp.asarray(v[0]) for n, v in draws.items()}
    fake = statistical.replicate(jax.random.key(7), statistical.new_subjects(jax.random.key(8), one, data), one, data)
    seen = data.observations["concentration"]
    own = dataclasses.replace(seen, value=np.asarray(fake["concentration"]))
    settings = {f: getattr(data, f) for f in data.__dataclass_fields__}
    changed = type(data)(**settings | {"observations": {"concentration": own}})
    simulated = replicated(jax.random.key(9), draws, statistical, changed, 300)
    return simulated, population_predictions(draws, statistical, changed), changed, limits(statistical, changed)


@pytest.mark.parametrize(
    ("time", "wanted", "count"),
    [(np.repeat([0.0, 1, 2, 5], 6), 4, 4), (np.repeat([0.0, 1], 9), 5, 2), (np.arange(20.0), 5, 5)],
)
def test_bins_are_of_equal_count_and_part_no_ties(time, wanted, count):
    member = time_bins(time, wanted)
    assert sorted(set(member)) == list(range(count))
    for t in np.unique(time):
        assert len(np.unique(member[time == t])) == 1
    assert np.ptp(np.unique(member, return_counts=True)[1]) <= 1


def test_bins_with_few_distinct_times_are_those_times():
    time = np.array([0.0, 24, 0, 0, 0, 0, 24, 48])  # equal counts would join 24 and 48
    assert time_bins(time, 3).tolist() == [0, 1, 0, 0, 0, 0, 1, 2]


def test_given_edges_hold_their_left_end_and_the_last_both():
    assert given_bins(np.array([-1.0, 0, 1, 2, 3, 4]), np.array([0.0, 2, 3])).tolist() == [-1, 0, 0, 1, 1, -1]


def test_strata_are_categories_or_cuts_at_quantiles():
    place, words = strata(np.array([1.0, 0, 1]), 2, "SEX", "")
    assert (place.tolist(), words) == ([1, 0, 1], ["SEX 0", "SEX 1"])
    place, words = strata(np.arange(60.0, 90.0), 3, "WT", "kg")
    assert np.bincount(place).tolist() == [10, 10, 10]
    assert words == ["WT ≤ 69.7 kg", "WT 69.7 to 79.3 kg", "WT > 79.3 kg"]


@pytest.mark.parametrize(
    "check",
    [
        VisualCheck(bins=11),
        VisualCheck(bins=11, corrected=True),
        VisualCheck(bins=6, corrected=True, variability=True, stratify="WT"),
        VisualCheck(edges=["0 h", "1 h", "4 h", "30 h"], after_dose=True),
    ],
    ids=lambda c: c.describe(),
)
def test_the_check_covers_data_of_the_model_itself(check, made):
    """Data of a draw lie inside the 95 % bands of that draw, but for about one in twenty of dependent quantiles."""
    found = check(*made)
    low, _, high = found["concentration_simulated"].to_numpy()
    observed = found["concentration_observed"].to_numpy()
    assert np.mean((low <= observed) & (observed <= high)) > 0.75
    assert int(found["concentration_count"].sum()) == 132


def test_the_check_sees_data_of_another_model(made):
    simulated, *others = made
    found = VisualCheck(bins=11)({"concentration": 2 * simulated["concentration"]}, *others)
    low, _, high = found["concentration_simulated"].to_numpy()
    observed = found["concentration_observed"].to_numpy()
    assert np.mean((low <= observed) & (observed <= high)) < 0.5


def test_correction_removes_what_dose_and_covariates_explain():
    """Doses of 1 and 10 in one bin: corrected for prediction, both are of the median dose; spread is relative to it."""
    prediction, member = np.array([1.0, 1, 10, 10, 10]), np.zeros(5, int)
    corrected = prediction_corrected(np.array([0.9, 1.1, 9.0, 11.0, 10.0]), prediction, member)
    np.testing.assert_allclose(corrected, [9.0, 11.0, 9.0, 11.0, 10.0])
    simulated = np.array([10.0, 10, 10, 10, 10]) + np.array([[-1.0], [1.0]]) * np.array([1.0, 1, 2, 2, 2])
    both = variability_corrected(corrected, simulated, prediction, member)
    np.testing.assert_allclose(both, [8.0, 12.0, 9.0, 11.0, 10.0])


def test_an_observation_predicted_as_zero_stays():
    corrected = prediction_corrected(np.array([0.3, 2.0, 4.0]), np.array([0.0, 1.0, 2.0]), np.zeros(3, int))
    np.testing.assert_allclose(corrected, [0.3, 2.0, 2.0])


def test_censored_data_have_a_panel_of_their_own(made):
    simulated, prediction, data, _ = made
    value = data.observations["concentration"].value
    cut = Limits(value < 2.0, np.zeros(len(value), bool), lowest=2.0)
    found = VisualCheck(bins=11)(simulated, prediction, data, {"concentration": cut})
    part = found["concentration_below_observed"].to_numpy()
    low, _, high = found["concentration_below_simulated"].to_numpy()
    assert 0 < part.mean() < 1
    assert np.all((low <= part) & (part <= high))
    unknown = np.isnan(found["concentration_observed"].to_numpy())
    np.testing.assert_array_equal(unknown, np.array([0.1, 0.5, 0.9]) < part[:, None])


def test_quantiles_above_a_limit_are_not_known(made):
    simulated, prediction, data, _ = made
    value = data.observations["concentration"].value
    cut = Limits(np.zeros(len(value), bool), value > 6.0, highest=6.0)
    found = VisualCheck(bins=11)(simulated, prediction, data, {"concentration": cut})
    member = found["concentration_point_bin"].to_numpy()
    part = np.array([(value[member == b] > 6.0).mean() for b in range(11)])
    assert 0 < part.mean() < 1
    unknown = np.isnan(found["concentration_observed"].to_numpy())
    np.testing.assert_array_equal(unknown, np.array([0.1, 0.5, 0.9]) > 1 - part[:, None])
    assert "concentration_below_observed" not in found


def test_fractions_of_categories_add_up():
    random = np.random.default_rng(1)
    member, p = np.repeat([0, 1], 200), np.repeat([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], 200, axis=0)
    draw = np.stack([np.array([random.choice(3, p=q) for q in p]) for _ in range(101)])
    found = category_check(draw[0], draw[1:], member, np.arange(3))
    np.testing.assert_allclose(found.observed.sum(1), 1)
    np.testing.assert_allclose(found.simulated[1], [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], atol=0.015)
    assert np.all((found.simulated[0] <= found.observed) & (found.observed <= found.simulated[2]))
    assert fractions(draw[0] > 0, draw[1:] > 0, member).observed.shape == (2,)


def test_kaplan_meier_of_a_published_example():
    """6-mercaptopurine arm of Freireich et al. 1963, doi:10.1182/blood.V21.6.699.699; its Kaplan-Meier estimates."""
    time = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], float)
    curve = kaplan_meier(time, np.arange(21) < 9, np.array([5.9, 6, 7, 10, 13, 16, 22, 23, 99]))
    np.testing.assert_allclose(curve, [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448, 0.448], atol=5e-4)


def test_survival_of_the_model_itself_lies_in_its_band_and_of_another_outside():
    random, grid = np.random.default_rng(4), np.linspace(0, 20, 21)

    def study(rate, *shape):
        event, end = random.exponential(1 / rate, shape), random.uniform(10, 25, shape)
        return np.minimum(event, end), event <= end

    again = study(0.1, 200, 150)
    own, other = survival_check(*study(0.1, 150), *again, grid), survival_check(*study(0.2, 150), *again, grid)
    assert np.mean((own.simulated[0] <= own.observed) & (own.observed <= own.simulated[2])) > 0.9
    assert np.mean(other.observed < other.simulated[0]) > 0.7
    np.testing.assert_allclose(own.simulated[1], np.exp(-0.1 * grid), atol=0.03)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replicates": 3}, "at least 20"),
        ({"variability": True}, "set both"),
        ({"quantiles": [0.9, 0.1]}, "must ascend"),
        ({"stratify": "WTT"}, "no covariate of the data.*WT"),
        ({"edges": ["2 h", "1 h"]}, "ascending times"),
    ],
)
def test_settings_that_make_no_check_are_refused(settings, message, data):
    with pytest.raises(UserError, match=message):
        VisualCheck(**settings).check(data)


def test_categories_are_compared_bin_by_bin(made):
    """Values cut at 3 and 6 mg/L are categories 0 to 2; the data are one replicate of the model."""
    simulated, prediction, data, _ = made
    cut = np.array([3.0, 6.0])
    seen = data.observations["concentration"]
    own = dataclasses.replace(seen, value=np.digitize(seen.value, cut).astype(float))
    settings = {f: getattr(data, f) for f in data.__dataclass_fields__}
    changed = type(data)(**settings | {"observations": {"concentration": own}})
    again = {"concentration": np.digitize(simulated["concentration"], cut).astype(float)}
    none = {"concentration": Limits(*np.zeros((2, len(seen.value)), bool), -np.inf, np.inf)}
    found = VisualCheck(bins=11)(again, prediction, changed, none, {"concentration": 2})
    part = found["concentration_category_observed"].to_numpy()
    np.testing.assert_allclose(part.sum(1), 1.0)
    low, _, high = found["concentration_category_simulated"].to_numpy()
    assert np.mean((low <= part) & (part <= high)) > 0.85
    times = xr.Dataset({"time": ("obs", [0.0], {"units": "h"})})
    tree = xr.DataTree.from_dict({schema.VPC: found, schema.OBSERVED_DATA: times})
    page = categories(tree, "concentration")
    assert all(f"concentration {c}" in page for c in range(3))
