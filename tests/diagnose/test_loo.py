"""Leave-one-out against closed forms and against ArviZ."""

import jax
import numpy as np
import pytest
import xarray as xr
from arviz_stats import loo

from tests.diagnose import conjugate
from vtrial import schema
from vtrial.diagnose import LeaveOneOut
from vtrial.diagnose.loo import leave_out, spaced
from vtrial.diagnose.marginal import marginal_log_likelihood
from vtrial.errors import UserError
from vtrial.inference import groups

COUNTS = (1, 2, 3, 5, 8, 4, 6, 2, 3, 12, 4, 5)


@pytest.fixture(scope="module")
def values():
    return conjugate.observations(COUNTS)


@pytest.fixture(scope="module")
def fitted(values, tmp_path_factory):
    """Statistical model, data and exact posterior."""
    return (
        conjugate.statistical(),
        conjugate.dataset(values, tmp_path_factory.mktemp("conjugate")),
        conjugate.posterior(values),
    )


def test_marginal_likelihood_is_the_closed_form_within_its_error(fitted, values):
    statistical, data, posterior = fitted
    draws = groups.draws(posterior)
    picked = spaced(4, 1000, 200).ravel()
    found = marginal_log_likelihood(jax.random.key(1), statistical, data, draws, picked, samples=64)
    exact = np.array(
        [
            [conjugate.normal_log_density(y, np.log(draws["P"][d]), conjugate.covariance(len(y))) for y in values]
            for d in picked
        ]
    )
    z = (np.exp(found.log_likelihood - exact) - 1) / found.error
    assert np.abs(z.mean(0)).max() < 4 / np.sqrt(200) * 1.5  # no bias of the density, subject by subject
    assert 0.8 < z.std() < 1.25  # the error is what it says
    assert found.error.max() < 0.25


def test_leave_one_subject_out_is_the_closed_form(fitted, values):
    statistical, data, posterior = fitted
    log_likelihood = groups.predictions(jax.random.key(0), posterior, statistical, data)[schema.LOG_LIKELIHOOD]
    group = LeaveOneOut(draws=1000, samples=64)(
        jax.random.key(2), statistical, data, groups.draws(posterior), log_likelihood
    )
    exact = conjugate.exact_elpd(values)
    assert np.abs((group["elpd"].to_numpy() - exact) / group["elpd_mcse"].to_numpy()).max() < 4
    assert group.attrs["elpd_loo"] == pytest.approx(exact.sum(), abs=4 * group.attrs["elpd_loo_mcse"])
    assert group.attrs["elpd_loo_mcse"] < 0.1
    assert group.attrs["elpd_loo_se"] == pytest.approx(np.sqrt(len(exact)) * exact.std(ddof=1), rel=0.02)
    assert float(group["pareto_k"].max()) < 0.7
    assert list(group["observations"].to_numpy()) == list(COUNTS)


def test_conditional_leave_one_out_is_that_of_arviz(fitted):
    statistical, data, posterior = fitted
    log_likelihood = groups.predictions(jax.random.key(0), posterior, statistical, data)[schema.LOG_LIKELIHOOD]
    group = LeaveOneOut(draws=0)(jax.random.key(2), statistical, data, groups.draws(posterior), log_likelihood)
    elpd, _, k, _ = leave_out(log_likelihood[schema.DV].to_numpy())
    other = loo(xr.DataTree.from_dict({"posterior": posterior, "log_likelihood": log_likelihood}), pointwise=True)
    assert group.attrs["obs_elpd_loo"] == pytest.approx(other.elpd, abs=0.05)
    np.testing.assert_allclose(elpd, other.elpd_i.to_numpy(), atol=0.02)
    np.testing.assert_allclose(k, other.pareto_k.to_numpy(), atol=0.15)  # ArviZ has one relative efficiency for all
    assert "elpd" not in group


def test_a_subject_unlike_the_others_is_predicted_worst_and_named(values, tmp_path):
    odd = [*values[:-1], values[-1] + 3.0]
    statistical, data, posterior = conjugate.statistical(), conjugate.dataset(odd, tmp_path), conjugate.posterior(odd)
    log_likelihood = groups.predictions(jax.random.key(0), posterior, statistical, data)[schema.LOG_LIKELIHOOD]
    group = LeaveOneOut()(jax.random.key(2), statistical, data, groups.draws(posterior), log_likelihood)
    assert str(group["elpd"].idxmin(schema.SUBJECT).item()) == str(len(odd))
    assert str(group["p_loo"].idxmax(schema.SUBJECT).item()) == str(len(odd))


def test_marginal_likelihood_of_theophylline_does_not_depend_on_the_proposal(statistical, data):
    """Correlated etas, a nonlinear model: many samples from the etas' own distribution say the same."""
    random = np.random.default_rng(3)
    count = 60
    draws = {n: p.centre() * np.exp(random.normal(0, 0.05, count)) for n, p in statistical.priors().items()}
    chol = np.linalg.cholesky(np.array([[1, 0.5, 0.0], [0.5, 1, 0.2], [0, 0.2, 1]]))
    draws["iiv_cholesky"] = np.broadcast_to(chol, (count, 3, 3))
    omega = np.stack([draws[f"{n}_iiv"] for n in ("CL", "VC", "KA")], -1)
    near = random.normal(0, 0.3, (count, 12, 3))
    wide = np.einsum("dsi,ji->dsj", random.normal(size=(count, 12, 3)), chol) * omega[:, None]
    found = []
    for eta in (near, wide):
        given = draws | {f"{n}_eta": eta[..., i] for i, n in enumerate(("CL", "VC", "KA"))}
        found.append(marginal_log_likelihood(jax.random.key(4), statistical, data, given, np.arange(3), samples=20_000))
    one, other = found
    difference = one.log_likelihood - other.log_likelihood
    assert np.abs(difference / np.hypot(one.error, other.error)).max() < 4
    assert max(one.error.max(), other.error.max()) < 0.2


def test_extreme_and_failing_draws_are_survived():
    random = np.random.default_rng(0)
    wild = random.normal(0, 1, (4, 100, 3))
    wild[..., 1] *= 1000.0  # densities that differ by more than a float can say
    wild[2, 5, 2] = -np.inf
    elpd, _, k, error = leave_out(wild)
    assert np.isfinite(elpd[:2]).all()
    assert np.isfinite(error[:2]).all()
    assert not k[1] <= 0.7  # or no number: told as too high all the same
    assert np.isnan(elpd[2])
    assert np.isinf(k[2])


@pytest.mark.parametrize(
    ("settings", "sentence"), [({"draws": 10}, r"loo\.draws must be at least 50"), ({"samples": 2}, r"loo\.samples")]
)
def test_too_few_are_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        LeaveOneOut(**settings)
