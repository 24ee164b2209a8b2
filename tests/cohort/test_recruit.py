import jax
import numpy as np
import pytest

from vtrial.cohort import Bootstrap, Copula, Recruitment, TruncatedNormalMargin, UniformMargin, recruit
from vtrial.errors import UserError

WEIGHT = TruncatedNormalMargin("kg", 75.0, 13.0, 45.0, 120.0)


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


def test_covariates_of_a_source_are_kept_in_the_data_s_units(statistical, data):
    pounds = TruncatedNormalMargin("lb", 165.0, 30.0, 100.0, 260.0)
    source = Copula({"WT": pounds, "AGE": UniformMargin("year", 18, 65)})
    cohort = recruit(jax.random.key(0), Recruitment(2, 200, source), draws(), statistical, data)
    assert np.asarray(cohort.covariates["WT"]).max() <= 260 * 0.45359237
    assert np.asarray(cohort.covariates["WT"]).min() >= 100 * 0.45359237
    assert np.asarray(cohort.covariates["AGE"]).min() >= 18


@pytest.mark.parametrize(
    ("recruitment", "said"),
    [
        (lambda: Recruitment(31, 5, Bootstrap()), "replicates=31, but the posterior has 30 draws"),
        (lambda: Recruitment(1, 5, Bootstrap()), "at least 2 replicates"),
        (lambda: Recruitment(5, 5, Copula({"AGE": WEIGHT})), "gives no WT, which VC needs"),
        (lambda: Recruitment(5, 5, Copula({"WT": UniformMargin("cm", 1.0, 2.0)})), "WT is given in 'cm'"),
    ],
)
def test_mistakes(recruitment, said, statistical, data):
    with pytest.raises(UserError, match=said):
        recruit(jax.random.key(0), recruitment(), draws(), statistical, data)
