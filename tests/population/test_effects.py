"""Random effects of several levels: by hand, and centred against non-centred."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from scipy import stats

from tests.helpers import half
from vtrial import keys
from vtrial.errors import UserError
from vtrial.population import (
    CategoricalEffect,
    Fixed,
    HockeyStickEffect,
    LinearEffect,
    LinearShift,
    LogNormalPrior,
    Normal,
    NormalPrior,
    Parameter,
    Population,
    PowerEffect,
    check_observed,
)
from vtrial.population import effects as random_effects
from vtrial.population.centring import Centred, Told

WT = np.array([70.0, 35.0, 140.0])


def population(**change):
    parameters = {
        "CL": Parameter(
            "L/h",
            LogNormalPrior(3.0, 0.3),
            half(0.5),
            {"WT": PowerEffect("WT", "kg", 70.0, NormalPrior(0.75, 0.1))},
            iov=half(0.2),
        ),
        "VC": Parameter("L", LogNormalPrior(30.0, 0.3), half(0.5), study=half(0.1)),
        "E0": Parameter("mmHg", NormalPrior(-5.0, 1.0), half(0.5), scale=Normal(), iov=half(0.3)),
        "KA": Parameter("1/h", Fixed(1.5)),
    }
    return Population(parameters | change.pop("parameters", {}), **change)


COVARIATES = {
    "WT": WT,
    "OCC": np.array([[1.0, 1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 3.0, 3.0]]),
    "STUDY": np.array([11.0, 11.0, 12.0]),
}


def test_sites_and_units():
    p = population()
    assert list(p.units()) == list(p.priors())
    assert p.units()["CL_WT_exponent"] == ""
    assert p.units()["CL_iiv"] == ""
    assert p.units()["E0_iiv"] == "mmHg"
    assert p.units()["E0_iov"] == "mmHg"
    assert p.effects == ("CL", "VC", "E0")
    assert p.occasion_effects == ("CL", "E0")
    assert p.study_effects == ("VC",)


def test_levels():
    found = random_effects.levels(population(), COVARIATES, 3)
    assert found.occasions == (1.0, 2.0, 3.0)
    assert found.studies == (11.0, 12.0)
    np.testing.assert_array_equal(found.occasion, [[0, 0, 1], [0, 0, 0], [0, 2, 2]])
    np.testing.assert_array_equal(found.study, [0, 0, 1])


def test_nobody_has_one_occasion_and_one_study():
    found = random_effects.levels(population(), {}, 0)
    assert (len(found.occasions), len(found.studies), found.study.shape) == (1, 1, (0,))


def test_individual_parameters_by_hand():
    p, random = population(), np.random.default_rng(0)
    levels = random_effects.levels(p, COVARIATES, 3)
    eta = {n: random.normal(size=3) for n in p.effects}
    kappa = {n: random.normal(size=(3, 3)) for n in p.occasion_effects}
    study = random.normal(size=2)
    draw = {"CL": 2.0, "CL_WT_exponent": 0.6, "VC": 20.0, "E0": -4.0, "KA": 1.5, "VC_study_eta": study}
    draw |= {f"{n}_eta": e for n, e in eta.items()} | {f"{n}_kappa": k for n, k in kappa.items()}
    found = random_effects.individual(
        p, {n: jnp.asarray(v) for n, v in draw.items()}, {n: jnp.asarray(v) for n, v in COVARIATES.items()}, levels
    )
    rows = np.array([[0, 0, 1], [0, 0, 0], [0, 2, 2]])
    own = {n: np.take_along_axis(k, rows, 1) for n, k in kappa.items()}
    cl = 2.0 * ((WT / 70.0) ** 0.6)[:, None] * np.exp(eta["CL"][:, None] + own["CL"])
    np.testing.assert_allclose(found["CL"], cl, rtol=1e-13)
    np.testing.assert_allclose(found["VC"], 20.0 * np.exp(eta["VC"] + study[[0, 0, 1]]), rtol=1e-13)
    np.testing.assert_allclose(found["E0"], -4.0 + eta["E0"][:, None] + own["E0"], rtol=1e-13)
    assert found["KA"].shape == (3,)
    assert (np.asarray(found["KA"]) == 1.5).all()


def density(p, centred, values, levels):
    """Log density of the population's sites, and the etas they mean."""

    def model():
        draw, factor = p.sample()
        draw = draw | random_effects.sample_studies(p, draw, levels)
        return random_effects.sample_effects(p, draw, factor, levels, centred)

    trace = handlers.trace(handlers.substitute(model, values)).get_trace()
    total = sum(s["fn"].log_prob(s["value"]).sum() for s in trace.values() if s["type"] == "sample")
    return float(total), {n: np.asarray(s["value"]) for n, s in trace.items() if n.endswith("_eta")}


@pytest.mark.parametrize("blocks", [None, [["CL", "E0"]]])
def test_centred_and_not_are_the_same_distribution(blocks):
    """The density of centred etas is that of the standardised ones over the Jacobian: what z is multiplied by."""
    p = population(correlation=2.0, blocks=blocks)
    levels = random_effects.levels(p, COVARIATES, 3)
    names = ("CL", "VC", "E0") if blocks is None else ("CL", "E0")
    site = "iiv_cholesky" if blocks is None else "iiv_cholesky_CL_E0"
    cholesky = np.asarray(dist.LKJCholesky(len(names), 2.0).sample(jax.random.key(3)))
    draw = {site: prior.centre() for site, prior in p.priors().items()} | {site: cholesky}
    factor = np.asarray(p.factor({n: jnp.asarray(v) for n, v in draw.items()}))
    raw = np.random.default_rng(1).normal(size=(3, 3))
    common = draw | {"kappa_raw": np.zeros((3, 3, 2)), "VC_study_raw": np.zeros(2)}
    plain, etas = density(p, {}, common | {"eta_raw": raw}, levels)
    eta = raw @ factor.T
    for i, name in enumerate(p.effects):
        np.testing.assert_allclose(etas[f"{name}_eta"], eta[:, i], rtol=1e-12, atol=1e-14)
    location = {"CL": np.log(draw["CL"]), "VC": np.log(draw["VC"]), "E0": draw["E0"]}
    informed = (0.0, 4.0, 900.0)
    told, whole = Told(informed, 0.3), Centred()
    for centred in ({"CL": whole, "VC": whole, "E0": whole}, {"VC": told}, {"CL": told, "E0": whole}):
        phi, jacobian = {}, 0.0
        for name, how in centred.items():
            i = p.effects.index(name)
            own, spread = location[name] + raw[:, :i] @ factor[i, :i], factor[i, i]
            root = np.sqrt(1.0 + np.array(informed) * spread**2) if how is told else np.full(3, spread)
            middle = np.array(informed) * spread / root * (own - 0.3) if how is told else own
            phi[f"{name}_phi"], jacobian = middle + root * raw[:, i], jacobian + np.log(root).sum()
        apart = [i for i, n in enumerate(p.effects) if n not in centred]
        values = common | phi | ({"eta_raw": raw[:, apart]} if apart else {})
        value, same = density(p, centred, values, levels)
        assert value == pytest.approx(plain - jacobian, rel=1e-12)
        for name in p.effects:
            np.testing.assert_allclose(same[f"{name}_eta"], etas[f"{name}_eta"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("precision", [0.0, 2.0, 1e4])
def test_a_told_effect_given_normal_data_varies_by_one(precision):
    """Whatever omega and location: posterior of a normal mean, by hand, carried to the coordinate."""
    told = Told((precision,), 0.2)
    for spread, location in ((0.01, 0.2), (0.7, 0.2), (5.0, -3.0)):
        middle, root = told.frame(jnp.asarray(location), jnp.asarray(spread))
        variance = 1.0 / (1.0 + precision * spread**2)
        assert float(root[0] ** 2) * variance == pytest.approx(1.0, rel=1e-12)
        # The data's own value is 0.5: the mean of the coordinate does not move with the location.
        mean = precision * spread * (0.5 - location) * variance
        assert float(middle[0] + root[0] * mean) == pytest.approx(
            precision * spread * 0.3 / np.sqrt(1.0 + precision * spread**2), rel=1e-9, abs=1e-12
        )


def test_blocks_correlate_and_others_do_not():
    p = population(correlation=2.0, blocks=[["E0", "CL"]])
    cholesky = jnp.asarray(np.linalg.cholesky([[1.0, 0.7], [0.7, 1.0]]))
    draw = {"CL_iiv": 0.3, "VC_iiv": 0.4, "E0_iiv": 2.0}
    factor = p.factor({n: jnp.asarray(v) for n, v in draw.items()} | {"iiv_cholesky_CL_E0": cholesky})
    np.testing.assert_allclose(factor @ factor.T, [[0.09, 0, 0.42], [0, 0.16, 0], [0.42, 0, 4.0]], atol=1e-15)
    assert "CL and E0" in p.describe_correlation()


def test_student_etas_have_the_variance_and_the_tails():
    p = Population({"CL": Parameter("L/h", LogNormalPrior(3.0, 0.3), half(0.5), degrees=5.0)})
    draw = {"CL": jnp.asarray(3.0), "CL_iiv": jnp.asarray(0.4)}
    each = keys.numbered(jax.random.key(0), 40_000)
    eta = np.asarray(jax.vmap(lambda k: p.new_effects(k, draw, p.factor(draw), 1)[0])(each))[:, 0]
    law = stats.t(5, scale=0.4 * np.sqrt(3 / 5))
    assert law.std() == pytest.approx(0.4)
    assert stats.kstest(eta, law.cdf).pvalue > 1e-3
    levels = random_effects.levels(p, {}, 2)
    latent = jnp.asarray([[0.3], [-4.0]])
    expected = stats.t(5, scale=np.sqrt(3 / 5)).logpdf(np.asarray(latent)[:, 0])
    np.testing.assert_allclose(random_effects.latent_log_density(p, latent), expected)
    assert random_effects.latent_size(p, levels) == 1


def test_new_subjects_vary_by_occasion_and_study():
    p, n = population(), 20_000
    draw = {site: jnp.asarray(prior.centre()) for site, prior in p.priors().items()} | {
        "CL_iiv": jnp.asarray(0.3),
        "CL_iov": jnp.asarray(0.4),
        "VC_iiv": jnp.asarray(0.3),
        "VC_study": jnp.asarray(0.5),
    }
    covariates = {name: jnp.asarray(70.0) for name in COVARIATES}

    def one(key):
        study = p.new_study(keys.named(key, "study"), draw)
        return p.new_subject(key, draw, p.factor(draw), covariates, study)

    found = jax.vmap(one)(keys.numbered(jax.random.key(1), n))
    cl, vc = np.log(found["CL"] / draw["CL"]), np.log(found["VC"] / draw["VC"])
    assert abs(cl.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * n)
    assert abs(vc.std() - np.hypot(0.3, 0.5)) < 4 * 0.6 / np.sqrt(2 * n)


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (HockeyStickEffect("WT", "kg", 70.0, 90.0, 0.01, -0.002), [1.0, 1 - 0.35, 1 + 0.2 - 0.1]),
        (HockeyStickEffect("WT", "kg", 100.0, 90.0, 0.0, 0.01), [0.9, 0.9, 1.4]),
    ],
)
def test_hockey_stick(effect, expected):
    np.testing.assert_allclose(effect.factor(jnp.asarray(WT), {}), expected)
    assert effect.factor(jnp.asarray(effect.reference), {}) == 1.0


def shifted(*slopes):
    """CL in L/h that weight and a statin add to, and that age multiplies."""
    weight, statin = slopes
    effects = {
        "AGE": LinearEffect("AGE", "yr", 60.0, 0.01),
        "WT": LinearShift("WT", "kg", 70.0, weight),
        "STATIN": LinearShift("STATIN", "", 0.0, statin),
    }
    return Parameter("L/h", LogNormalPrior(2.0, 0.3), half(0.5), effects)


@pytest.mark.parametrize("known", [True, False])
def test_shifts_add_and_factors_multiply_the_sum(known):
    slopes = (0.01, 0.5) if known else (NormalPrior(0.01, 0.1), NormalPrior(0.5, 0.1))
    draw = {"CL": 2.0} | ({} if known else {"CL_WT_slope": 0.01, "CL_STATIN_slope": 0.5})
    draw = {n: jnp.asarray(v) for n, v in draw.items()}
    covariates = {"WT": WT, "STATIN": np.array([1.0, 0.0, 1.0]), "AGE": np.array([60.0, 50.0, 70.0])}
    expected = np.array([2.0 + 0.5, 2.0 - 0.35, 2.0 + 0.7 + 0.5]) * np.array([1.0, 0.9, 1.1])
    given = {n: jnp.asarray(v) for n, v in covariates.items()}
    one = shifted(*slopes)
    np.testing.assert_allclose(one.individual("CL", draw, jnp.zeros(3), given), expected, rtol=1e-12)
    assert one.units("CL").get("CL_WT_slope") == (None if known else "(L/h)/(kg)")
    # Weight that varies with time: the parameter has its axis.
    given["WT"] = jnp.stack([given["WT"], given["WT"]], axis=-1)
    again = one.individual("CL", draw, jnp.zeros(3), given)
    np.testing.assert_allclose(again, np.stack([expected, expected], -1), rtol=1e-12)
    daily = one.converted("CL", "L/d")
    draw = {n: 24.0 * v for n, v in draw.items()}
    np.testing.assert_allclose(daily.individual("CL", draw, jnp.zeros(3), given), 24.0 * again, rtol=1e-12)


def test_estimated_coefficients_replace_numbers():
    known = PowerEffect("WT", "kg", 70.0, 0.6)
    estimated = PowerEffect("WT", "kg", 70.0, NormalPrior(0.75, 0.1))
    np.testing.assert_allclose(
        known.factor(jnp.asarray(WT), {}), estimated.factor(jnp.asarray(WT), {"exponent": jnp.asarray(0.6)})
    )
    genotype = CategoricalEffect("CYP", "", 0, {0: 1.0, 1: LogNormalPrior(0.7, 0.2), 2: 0.4})
    assert set(genotype.coefficients()) == {"1"}
    np.testing.assert_allclose(
        genotype.factor(jnp.asarray([0.0, 1.0, 2.0]), {"1": jnp.asarray(0.66)}), [1.0, 0.66, 0.4]
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: population(correlation=2.0, blocks=[["CL", "VCC"]]), "Did you mean 'VC'"),
        (lambda: population(correlation=2.0, blocks=[["CL", "VC"], ["VC", "E0"]]), "'VC' twice"),
        (lambda: population(blocks=[["CL", "VC"]]), "needs population.correlation"),
        (
            lambda: population(
                correlation=2.0,
                parameters={"VC": Parameter("L", LogNormalPrior(30.0, 0.3), half(0.5), degrees=4.0)},
            ),
            "Student-t eta, which cannot be correlated",
        ),
        (
            lambda: check_observed(population(), {"WT": "kg"}, {"WT": WT}, ("A", "B", "C")),
            "has iov, which needs covariate OCC",
        ),
        (
            lambda: check_observed(
                population(), {"WT": "kg"}, COVARIATES | {"WT": np.array([70, np.nan, 80])}, tuple("ABC")
            ),
            "WT of ID B is missing; give its distribution",
        ),
        (
            lambda: check_observed(
                Population({"CL": shifted(0.05, 0.5)}),
                {"WT": "kg", "STATIN": "", "AGE": "yr"},
                {"WT": np.array([70.0, 20.0]), "STATIN": np.zeros(2), "AGE": np.full(2, 60.0)},
                ("A", "B"),
            ),
            r"Covariates of ID B, AGE 60, WT 20, STATIN 0, make its typical CL -0\.5 L/h, which LogNormal does not",
        ),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
