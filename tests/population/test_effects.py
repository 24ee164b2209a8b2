"""Random effects of several levels: by hand, and centred against non-centred."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from tests.helpers import half
from vtrial.population import (
    Fixed,
    LogNormalPrior,
    Normal,
    NormalPrior,
    Parameter,
    Population,
    PowerEffect,
)
from vtrial.population import effects as random_effects
from vtrial.population.centring import Centred, Coordinates, Told

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


def density(p, centring, values, levels):
    """Log density of the population's sites, and the etas they mean."""

    def model():
        draw, factor = p.sample()
        draw = draw | random_effects.sample_studies(p, draw, levels)
        return random_effects.sample_effects(p, draw, factor, levels, centring)

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
    plain, etas = density(p, (), common | {"eta_raw": raw}, levels)
    eta = raw @ factor.T
    for i, name in enumerate(p.effects):
        np.testing.assert_allclose(etas[f"{name}_eta"], eta[:, i], rtol=1e-12, atol=1e-14)
    location = {"CL": np.log(draw["CL"]), "VC": np.log(draw["VC"]), "E0": draw["E0"]}
    own = np.stack([location[n] * np.ones(3) for n in p.effects], 1) + eta
    root = np.tril(np.random.default_rng(2).normal(size=(3, 2, 2))) * np.array([0.0, 2.0, 30.0])[:, None, None]
    for names in (("CL", "VC", "E0"), ("VC",), ("CL", "E0")):
        at = [p.effects.index(name) for name in names]
        part, given = factor[np.ix_(at, at)], own[:, at] - raw[:, at] @ factor[np.ix_(at, at)].T
        whole = Centred(names)
        phi, jacobian = own[:, at], 3 * np.log(np.diagonal(part)).sum()
        compare(p, whole, phi, jacobian, raw, common, levels, plain, etas)
        if len(names) < 3:
            known = root[:, : len(names), : len(names)]
            seen = np.array([(0.5, -2.0)[: len(names)]] * 3)
            told = Told(names, known, np.array((0.3, -0.1)[: len(names)]), seen)
            phi, jacobian = by_hand(told, part, given, raw[:, at])
            compare(p, told, phi, jacobian, raw, common, levels, plain, etas)


def by_hand(told, part, location, z):
    """The coordinates and the log of their size, subject by subject, with matrices of NumPy."""
    phi, size = [], 0.0
    for known, middle, one in zip(np.array(told.root), location, z, strict=True):
        pull = part.T @ known
        precision = np.eye(len(part)) + pull @ pull.T
        beyond = known.T @ (middle - np.array(told.around)) - np.array(told.seen[0])
        # The lower triangular A with A' A = precision, from a Cholesky factor of it backwards.
        lower = np.linalg.cholesky(precision[::-1, ::-1]).T[::-1, ::-1]
        phi.append(lower @ one + np.linalg.solve(lower.T, pull @ beyond))
        size += np.linalg.slogdet(lower)[1]
    return np.array(phi), size


def compare(p, centring, phi, jacobian, raw, common, levels, plain, etas):
    apart = [i for i, n in enumerate(p.effects) if n not in centring.effects]
    values = common | {centring.site: jnp.asarray(phi)} | ({"eta_raw": raw[:, apart]} if apart else {})
    value, same = density(p, (centring,), values, levels)
    assert value == pytest.approx(plain - jacobian, rel=1e-11)
    for name in p.effects:
        np.testing.assert_allclose(same[f"{name}_eta"], etas[f"{name}_eta"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_told_effects_given_normal_data_vary_by_one(scale):
    """About 0, whatever OMEGA and locations: posterior of a normal mean, by hand, carried to the coordinates."""
    known = scale * np.array([[1.0, 0.0], [-0.9, 0.3]])  # the difference is known well, the sum hardly
    information, around, data = known @ known.T, np.array([0.2, -1.0]), np.array([0.5, -1.2])
    told = Told(("CL", "VC"), known[None], around, (known.T @ (data - around))[None])
    for spread, location in ((0.01, (0.2, -1.0)), (0.7, (0.2, 0.0)), (5.0, (-3.0, 1.0))):
        factor = spread * np.array([[1.0, 0.0], [0.3, 0.8]])
        frame = told.frame([jnp.full(1, x) for x in location], jnp.asarray(factor))
        lower = np.zeros((2, 2))
        lower[0, 0], (lower[1, 0], lower[1, 1]) = frame.rows[0][0][0], (x[0] for x in frame.rows[1])
        covariance = np.linalg.inv(np.eye(2) + factor.T @ information @ factor)
        np.testing.assert_allclose(lower @ covariance @ lower.T, np.eye(2), atol=1e-9)
        mean = covariance @ factor.T @ information @ (data - location)
        np.testing.assert_allclose(lower @ mean, [-float(x[0]) for x in frame.shift], rtol=1e-8, atol=1e-9)


def test_coordinates_are_drawn_from_their_own_density():
    """The mean log density of draws is minus the entropy: of a normal in two dimensions, over A."""
    told = Told(("CL", "VC"), np.array([[[2.0, 0.0], [1.0, 3.0]]]), np.zeros(2), np.array([[0.5, 1.0]]))
    frame = told.frame([jnp.zeros(1), jnp.ones(1)], jnp.array([[0.5, 0.0], [0.2, 0.4]]))
    law = Coordinates([dist.Normal(0.0, 1.0)] * 2, frame, 1)
    found = np.asarray(law.log_prob(law.sample(jax.random.key(0), (40_000,))))
    entropy = 1.0 + np.log(2 * np.pi) + float(frame.log_size[0])
    assert abs(found.mean() + entropy) < 4 * found.std() / np.sqrt(len(found))
