"""Every inference, found by listing, returns a posterior with the names, dimensions and coordinates of the schema."""

import shutil

import jax
import numpy as np
import pytest
import zarr
from scipy import stats

from tests.helpers import finished, half, theophylline
from tests.inference.cases import MAKE
from vtrial import schema
from vtrial.diagnose import Gate, fit_health
from vtrial.errors import UserError
from vtrial.inference import AbstractInference, CrossChain, Nuts, Pathfinder, Prior, Saved, Svi, groups
from vtrial.noise import Additive


@pytest.mark.parametrize("kind", finished(AbstractInference))
def test_contract(kind, statistical, data, quick):
    inference = MAKE[kind.__name__](quick)
    assert inference.describe()
    found = inference(jax.random.key(0), statistical, data)
    posterior, stats_group = found[schema.POSTERIOR], found[schema.SAMPLE_STATS]
    for name in statistical.priors():
        assert posterior[name].dims == (schema.CHAIN, schema.DRAW)
        assert posterior[name].attrs["units"] == statistical.units()[name]
    for name in ("CL", "VC", "KA"):
        assert posterior[f"{name}_eta"].dims == (schema.CHAIN, schema.DRAW, schema.SUBJECT)
    assert posterior["iiv_correlation"].dims == (schema.CHAIN, schema.DRAW, schema.EFFECT, schema.EFFECT_TOO)
    assert tuple(posterior[schema.SUBJECT].to_numpy()) == data.subjects
    assert stats_group["diverging"].dims == (schema.CHAIN, schema.DRAW)
    if (count := inference.count()) is not None:
        assert count == posterior.sizes[schema.CHAIN] * posterior.sizes[schema.DRAW]
    health = fit_health(posterior, stats_group, groups.prior(jax.random.key(2), statistical), statistical)
    checks = set(Gate().judge(health)["check"].to_numpy())
    if "pareto_k" in stats_group.attrs:
        assert checks >= {"bulk ESS", "Pareto k"}
        assert "may" in stats_group.attrs["verdict"]
    elif stats_group.attrs.get("observations_used", 1):
        assert checks >= {"R-hat", "divergences", "modes"}
    predicted = groups.predictions(jax.random.key(1), posterior, statistical, data)
    assert predicted[schema.LOG_LIKELIHOOD][schema.DV].sizes[schema.OBS] == 132
    predictive = predicted[schema.POSTERIOR_PREDICTIVE]
    assert np.isfinite(predictive[schema.IPRED]).all()
    assert predictive["code"].dims == (schema.CHAIN, schema.DRAW, schema.ID)
    assert (predictive["code"] == 0).all()


def test_the_same_key_gives_the_same_draws(statistical, data):
    sampler = Nuts(chains=2, warmup=20, draws=10)
    one, two = (sampler(jax.random.key(0), statistical, data)[schema.POSTERIOR] for _ in range(2))
    assert one.equals(two)


def test_prior_draws_have_the_prior_distribution(data):
    found = Prior(draws=500)(jax.random.key(0), theophylline(), data)[schema.POSTERIOR]
    assert stats.kstest(found["CL"].to_numpy().ravel(), stats.lognorm(0.3, scale=2.8).cdf).pvalue > 1e-4
    assert stats.kstest(found["KA_iiv"].to_numpy().ravel(), stats.halfnorm(scale=0.5).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda q: Saved("nowhere.zarr"), "holds no posterior"),
        (lambda q: Nuts(chains=1), "chains >= 2"),
        (lambda q: Nuts(target_accept=1.0), "between 0 and 1"),
        (lambda q: Nuts(start="mediens"), "Did you mean 'medians'"),
        (lambda q: Nuts(chain_method="parallel"), "Known: auto, sequential, vectorized"),
        (lambda q: CrossChain(chains=2), "chains >= 4"),
        (lambda q: CrossChain(target_accept=0.0), "between 0 and 1"),
        (lambda q: Pathfinder(draws=50), "at least 100 and a multiple of 4"),
        (lambda q: Pathfinder(paths=0), "paths >= 1"),
        (lambda q: Svi(guide="multivariat"), "Did you mean 'multivariate'"),
        (lambda q: Svi(steps=1), "steps >= 8"),
        (lambda q: Prior(draws=1), "at least 4"),
    ],
)
def test_mistakes(make, said, statistical, data, quick):
    with pytest.raises(UserError, match=said):
        make(quick)(jax.random.key(0), statistical, data)


def test_saved_tells_of_a_model_file_that_has_changed(quick, data, tmp_path, caplog):
    """The first line of a model's docstring may stay while its equations change."""
    kept = Saved(str(quick / "result.zarr"))
    kept(jax.random.key(0), theophylline(), data)
    assert "has changed" not in caplog.text
    shutil.copytree(quick / "result.zarr", tmp_path / "old.zarr")
    group = zarr.open_group(tmp_path / "old.zarr")
    group.attrs["inputs"] = group.attrs["inputs"] | {"oral_1cpt.py": "of another file"}
    Saved(str(tmp_path / "old.zarr"))(jax.random.key(0), theophylline(), data)
    assert "The file oral_1cpt.py of model OneCompartmentOral has changed since" in caplog.text


def test_saved_refuses_another_model(quick, data):
    other = theophylline()
    other = type(other)(other.model, other.population, other.solver, {"concentration": Additive(half(1.0))})
    with pytest.raises(UserError, match="fitted with other residual_error, priors than"):
        Saved(str(quick / "result.zarr"))(jax.random.key(0), other, data)
