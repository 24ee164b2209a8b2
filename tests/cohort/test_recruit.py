import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import finished
from vtrial.cohort import AbstractCovariates, Bootstrap, Recruitment, TruncatedNormal, recruit
from vtrial.errors import UserError

TABLES = {"unit": {"WT": "kg"}, "mean": {"WT": 75.0}, "sd": {"WT": 13.0}, "lower": {"WT": 45.0}, "upper": {"WT": 120.0}}
MAKE = {"Bootstrap": Bootstrap, "TruncatedNormal": lambda: TruncatedNormal(**TABLES)}


def draws(count=30):
    """Posterior draws whose typical CL tells which draw it is."""
    flat = {"CL": 1.0 + np.arange(count), "VC": np.full(count, 32.0), "KA": np.full(count, 1.5)}
    flat |= {f"{n}_iiv": np.full(count, s) for n, s in (("CL", 0.3), ("VC", 0.2), ("KA", 0.5))}
    return flat | {"iiv_cholesky": np.broadcast_to(np.eye(3), (count, 3, 3))}


def test_each_replicate_has_a_draw_of_its_own(statistical, data):
    cohort = recruit(jax.random.key(0), Recruitment(20, 400, Bootstrap()), draws(), statistical, data)
    assert len(set(np.asarray(cohort.draw).tolist())) == 20
    wt = np.asarray(cohort.covariates["WT"])
    typical = np.exp(np.log(np.asarray(cohort.parameters["CL"]) / (wt / 70) ** 0.75).mean(1))
    # Mean log CL of a replicate is that of its draw within four standard errors of omega 0.3 over 400 patients.
    assert np.abs(np.log(typical / (1.0 + np.asarray(cohort.draw)))).max() < 4 * 0.3 / np.sqrt(400)


def test_a_larger_cohort_contains_the_smaller_one(statistical, data):
    small = recruit(jax.random.key(0), Recruitment(3, 5, Bootstrap()), draws(), statistical, data)
    large = recruit(jax.random.key(0), Recruitment(7, 11, Bootstrap()), draws(), statistical, data)
    for name, value in small.parameters.items():
        np.testing.assert_allclose(value, large.parameters[name][:3, :5], rtol=1e-14)


def test_bootstrap_draws_observed_rows_equally_often(data):
    keys = jax.random.split(jax.random.key(3), 12_000)
    drawn = np.asarray(jax.vmap(lambda k: Bootstrap().draw(k, data)["WT"])(keys))
    value, count = np.unique(drawn, return_counts=True)
    assert set(value) == set(data.covariates["WT"])
    expected = np.array([(data.covariates["WT"] == v).sum() for v in value]) / 12
    assert (np.abs(count / 12_000 - expected) < 4 * np.sqrt(expected * (1 - expected) / 12_000)).all()


@pytest.mark.parametrize("kind", finished(AbstractCovariates))
def test_contract(kind, data):
    source = MAKE[kind.__name__]()
    source.check(data)
    assert source.describe()
    drawn = jax.vmap(lambda k: source.draw(k, data))(jax.random.split(jax.random.key(1), 100))
    assert set(drawn) == set(data.covariates)
    assert jnp.isfinite(drawn["WT"]).all()
    assert (drawn["WT"] == source.draw(jax.random.split(jax.random.key(1), 100)[7], data)["WT"]).sum() >= 1


def test_truncated_normal_stays_inside(data):
    drawn = jax.vmap(lambda k: TruncatedNormal(**TABLES).draw(k, data)["WT"])(jax.random.split(jax.random.key(1), 5000))
    assert 45.0 <= drawn.min()
    assert drawn.max() <= 120.0


@pytest.mark.parametrize(
    ("recruitment", "said"),
    [
        (lambda: Recruitment(31, 5, Bootstrap()), "replicates=31, but the posterior has 30 draws"),
        (lambda: Recruitment(1, 5, Bootstrap()), "at least 2 replicates"),
        (lambda: Recruitment(5, 5, TruncatedNormal(**(TABLES | {"sd": {"AGE": 1.0}}))), "sd lacks WT"),
        (lambda: Recruitment(5, 5, TruncatedNormal(**(TABLES | {"sd": {"WT": 0.0}}))), "sd > 0"),
        (
            lambda: Recruitment(5, 5, TruncatedNormal(**(TABLES | {"unit": {"WT": "lb"}}))),
            "in 'lb', the data have it in 'kg'",
        ),
    ],
)
def test_mistakes(recruitment, said, statistical, data):
    with pytest.raises(UserError, match=said):
        recruit(jax.random.key(0), recruitment(), draws(), statistical, data)
