"""Trials over several models: who is of which, and what is refused."""

import jax
import numpy as np
import pytest
import xarray as xr

from vtrial import schema
from vtrial.errors import UserError
from vtrial.trial import mix
from vtrial.trial.mixture import allotted


def table(value, replicates=40, arms=("low", "high")):
    """Outcomes of a model in which everybody's endpoint is `value` plus the number of the replicate."""
    shape = (replicates, 5, len(arms))
    values = value + np.broadcast_to(np.arange(replicates)[:, None, None], shape)
    dims = (schema.REPLICATE, schema.SUBJECT, schema.ARM)
    return xr.Dataset({"peak": (dims, values, {"units": "mg/L"})}, {schema.ARM: list(arms)})


@pytest.mark.parametrize(
    ("weights", "counts"),
    [((0.75, 0.25), (30, 10)), ((1.0, 0.0), (40, 0)), ((0.5, 0.3, 0.2), (20, 12, 8)), ((2, 1), (27, 13))],
)
def test_models_have_as_many_replicates_as_their_weights_say(weights, counts):
    which = allotted(jax.random.key(0), {str(i): w for i, w in enumerate(weights)}, 40)
    assert tuple(np.bincount(which, minlength=len(weights))) == counts
    assert (np.diff(which) < 0).any() == (counts[1] > 0)  # in random order


def test_a_replicate_is_whole_and_of_one_model():
    mixed = mix(jax.random.key(1), {"a": table(0.0), "b": table(1000.0)}, {"a": 0.75, "b": 0.25})
    value = mixed["peak"].to_numpy()
    assert (value == value[:, :1, :1]).all()
    np.testing.assert_array_equal(value[:, 0, 0], np.arange(40) + 1000.0 * (mixed["model"].to_numpy() == "b"))
    assert mixed["peak"].attrs == {"units": "mg/L"}


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (table(1.0, replicates=30), "replicate"),
        (table(1.0, arms=("low", "top")), "arm"),
        (table(1.0).rename(peak="trough"), "endpoint"),
        (table(1.0).assign(peak=table(1.0)["peak"].assign_attrs(units="ug/L")), "peak"),
    ],
)
def test_other_trials_are_refused(other, what):
    with pytest.raises(UserError, match=f"'a' and 'b' are not of the same trials: they differ in {what}"):
        mix(jax.random.key(1), {"a": table(0.0), "b": other}, {"a": 0.5, "b": 0.5})
