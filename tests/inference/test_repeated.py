"""Data sets simulated and fitted again: one compilation, the same posterior as one fit, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diagnose import small
from tests.helpers import theophylline, theophylline_data
from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.diagnose.columns import population_columns, statistics
from vtrial.errors import UserError
from vtrial.inference import CrossChain, Laplace, Nuts, Prior, Repeated, Saved, stated
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.repeated import LOG_LIKELIHOOD
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Proportional
from vtrial.population import Fixed, Parameter, Population

KEYS = keys.numbered(jax.random.key(5), 3)
SAMPLERS = {
    "cross_chain": CrossChain(chains=8, warmup=200, draws=150),
    "nuts": Nuts(chains=2, warmup=200, draws=300, target_accept=0.8),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    return small.dataset(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize("name", SAMPLERS)
def test_other_values_are_fitted_by_the_same_program_to_the_same_posterior(name, data):
    repeated = Repeated(SAMPLERS[name], small.statistical(), data)
    made = repeated.simulate(KEYS)
    fits = [repeated.fit(KEYS[i : i + 1], {o: v[i : i + 1] for o, v in made.values.items()}) for i in range(2)]
    assert repeated._refit.program._cache_size() == 1
    assert [fit.trouble for fit in fits] == [[""], [""]]
    mine = repeated._observed({o: jnp.asarray(v[1]) for o, v in made.values.items()})
    alone = SAMPLERS[name](KEYS[1], small.statistical(), mine)[schema.POSTERIOR]
    one = statistics(population_columns(alone, small.statistical()))
    again = statistics(dict(zip(repeated.quantities[:-1], np.moveaxis(fits[1].columns[0], -1, 0), strict=False)))
    error = np.hypot(one["mcse_mean"], again["mcse_mean"])
    assert (abs(one["mean"] - again["mean"]) < 4 * error).all()


def test_a_data_set_without_a_laplace_fit_is_told_and_spoils_no_other(data):
    """Not a number among its values: the other one has the same draws as beside a sound one, bit for bit."""
    repeated = Repeated(SAMPLERS["nuts"], small.statistical(), data)
    values = dict(repeated.simulate(KEYS[:2]).values)
    sound = repeated.fit(KEYS[:2], values)
    values["concentration"] = np.where(np.arange(2)[:, None] == 0, np.nan, values["concentration"])
    found = repeated.fit(KEYS[:2], values)
    assert found.trouble == ["no density at the prior medians", ""]
    np.testing.assert_array_equal(found.columns[1], sound.columns[1])
    alone = repeated.fit(KEYS[:1], {o: v[:1] for o, v in values.items()})
    assert alone.trouble == ["no density at the prior medians"]
    assert alone.columns.shape == found.columns[:1].shape
    assert np.isnan(alone.columns).all()


def test_truths_come_from_the_prior(data):
    repeated = Repeated(small.INFERENCE, small.statistical(), data)
    made = repeated.simulate(keys.numbered(jax.random.key(0), 2000))
    assert made.valid.all()
    assert repeated.quantities == ("CL", "CL_iiv", "VC", "VC_iiv", "concentration_sigma_prop", LOG_LIKELIHOOD)
    log_cl, omega = np.log(made.truth[:, 0]), made.truth[:, 1]
    assert log_cl.mean() == pytest.approx(np.log(3.0), abs=4 * 0.4 / np.sqrt(2000))
    assert log_cl.std() == pytest.approx(0.4, rel=4 / np.sqrt(4000))
    assert omega.mean() == pytest.approx(0.4 * np.sqrt(2 / np.pi), abs=4 * 0.25 / np.sqrt(2000))


def test_a_batch_simulates_what_one_does(data):
    repeated = Repeated(small.INFERENCE, small.statistical(), data)
    many = repeated.simulate(KEYS)
    for i in range(len(KEYS)):
        one = repeated.simulate(KEYS[i : i + 1])
        np.testing.assert_allclose(one.truth[0], many.truth[i], rtol=1e-12)
        np.testing.assert_allclose(one.values["concentration"][0], many.values["concentration"][i], rtol=1e-12)


def test_stated_numbers_are_true_in_every_data_set():
    statistical = theophylline()
    repeated = Repeated(small.INFERENCE, statistical, theophylline_data().first(2))
    sites = stated(statistical, {"CL": 3.5, "corr_CL_KA": -0.4})
    made = repeated.simulate(KEYS, sites)
    truth = dict(zip(repeated.quantities, made.truth.T, strict=True))
    np.testing.assert_allclose(truth["CL"], 3.5)
    np.testing.assert_allclose(truth["VC"], 32.0)
    np.testing.assert_allclose(truth["corr_CL_KA"], -0.4)
    np.testing.assert_allclose(truth["corr_CL_VC"], 0.0, atol=1e-12)
    assert np.ptp(truth[LOG_LIKELIHOOD]) > 0
    with pytest.raises(UserError, match=r"'CLX', which is not estimated\. Did you mean 'CL'"):
        stated(statistical, {"CLX": 1.0})


def test_an_approximation_is_fitted_in_turn(data):
    repeated = Repeated(Laplace(draws=25, samples=8), small.statistical(), data.first(3))
    found = repeated.fit(KEYS[:1], repeated.simulate(KEYS[:1]).values)
    assert not repeated.compiled
    assert np.isfinite(found.columns).all() or found.trouble != [""]


def test_values_within_the_limits_of_censored_ones_are_censored(data):
    seen = data.observations["concentration"]
    limits = [np.where(np.arange(len(seen.value)) == 2, end, np.nan) for end in (-np.inf, 1.0)]
    shown = np.where(np.arange(len(seen.value)) == 2, 1.0, seen.value)
    marked = eqx.tree_at(lambda o: (o.value, o.lower, o.upper), seen, (shown, *limits))
    censored = eqx.tree_at(lambda d: d.observations["concentration"], data, marked)
    repeated = Repeated(small.INFERENCE, small.statistical(), censored)
    value = np.linspace(0.1, 5.0, len(seen.value))
    again = repeated._observed({"concentration": jnp.asarray(value)}).observations["concentration"]
    np.testing.assert_array_equal(np.asarray(again.censored), value < 1.0)
    np.testing.assert_array_equal(np.asarray(again.value), np.maximum(value, 1.0))


def test_the_first_subjects_are_those_of_a_shorter_file(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    cut, short = small.dataset(tmp_path / "a").first(2), small.dataset(tmp_path / "b", subjects=2)
    assert cut.subjects == short.subjects
    point = np.linspace(-0.5, 0.5, 9)
    values = [UnconstrainedDensity(small.statistical().joint(d)).log_density(point[None]) for d in (cut, short)]
    np.testing.assert_allclose(*values, rtol=1e-12)


def test_what_cannot_be_repeated_is_refused(data):
    statistical = small.statistical()
    for inference in (Prior(), Saved("result.zarr")):
        with pytest.raises(UserError, match="fits nothing"):
            Repeated(inference, statistical, data)
    fixed = Population({"CL": Parameter("L/h", Fixed(3.0)), "VC": Parameter("L", Fixed(30.0))})
    noise = {"concentration": Proportional(Fixed(0.1))}
    statistical = StatisticalModel(statistical.model, fixed, statistical.solver, noise)
    with pytest.raises(UserError, match="Every parameter of the study is fixed"):
        Repeated(small.INFERENCE, statistical, data)
