"""Subpopulations against closed forms: subjects of two classes whose observations are normal given the class."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diagnose.conjugate import OMEGA, SIGMA, LogMean, covariance, dataset, normal_log_density
from vtrial import keys, schema
from vtrial.diagnose.columns import array_stats
from vtrial.diagnose.marginal import marginal_log_likelihood
from vtrial.errors import UserError
from vtrial.inference import CrossChain, Laplace, Nuts, Prior, Repeated
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.jump import Jumps
from vtrial.inference.marginal import Marginal, first_look
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Additive
from vtrial.population import BetaPrior, Fixed, LogNormalPrior, Mixture, NormalPrior, Parameter, Population
from vtrial.population.mixture import CLASS, PROBABILITY
from vtrial.solve import Auto

SHARE, HEIGHTS, COUNTS = 0.3, (2.2, 1.0), (1, 2, 3, 4) * 5
"""Share of class `high`; log P of class `high` and of the rest; how many observations each subject has."""
STATED = {"share_high": SHARE, "P_high": math.exp(HEIGHTS[0]), "P": math.exp(HEIGHTS[1])}
STATED |= {"P_iiv": OMEGA, "y_sigma_add": SIGMA}


def population(**typical):
    given = {"low": Fixed(STATED["P"]), "high": Fixed(STATED["P_high"]), "share": BetaPrior(0, 0)} | typical
    p = Parameter("", given["low"], Fixed(OMEGA), classes={"high": given["high"]})
    return Population({"P": p}, mixture=Mixture({"high": given["share"]}, "low"))


def statistical(**typical):
    model = LogMean()
    noise = {"y": Additive(Fixed(SIGMA))}
    return StatisticalModel(model, population(**typical).for_model(model), Auto(), noise)


def observations():
    random = np.random.default_rng(3)
    tall = np.arange(len(COUNTS)) % 10 < 3
    mean = np.where(tall, *HEIGHTS) + random.normal(0, OMEGA, len(COUNTS))
    return [m + random.normal(0, SIGMA, n) for m, n in zip(mean, COUNTS, strict=True)]


VALUES = observations()


def classes(share):
    """Log of share times density of each subject in each class [class subject], the random effects integrated out."""
    each = [[normal_log_density(v, h, covariance(len(v))) for v in VALUES] for h in HEIGHTS]
    return np.array(each) + np.log([[share], [1 - share]])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset(VALUES, tmp_path_factory.mktemp("mixture"))


def test_objective_is_the_closed_form(data):
    """Observations are linear in the etas, so that Laplace's approximation in each class is exact."""
    marginal = Marginal(statistical(), data, "interaction")
    found = marginal.objective(STATED)
    exact = np.log(np.exp(classes(SHARE)).sum(0))
    assert found == pytest.approx(-2 * exact - np.array(COUNTS) * np.log(2 * np.pi), abs=1e-8)


def test_gradient_is_that_of_the_density(data):
    typical = {"low": LogNormalPrior(2.0, 1.0), "high": LogNormalPrior(8.0, 1.0)}
    marginal = Marginal(statistical(**typical), data, "interaction")
    vector = jnp.asarray([0.6, 2.1, -0.5])
    start = jnp.zeros((2 * len(COUNTS), 1))
    _, slope, _ = marginal.slope(vector, start)
    side = 1e-5 * np.eye(3)
    value = [float(marginal.value(vector + s, start)[0] - marginal.value(vector - s, start)[0]) / 2e-5 for s in side]
    assert np.asarray(slope) == pytest.approx(np.array(value), rel=1e-5, abs=1e-5)


def test_subjects_left_out_have_their_classes_summed_out(data):
    """Importance sampling around etas from their own distribution, within 4 of its standard errors."""
    draws = {name: np.full(400, value) for name, value in STATED.items()}
    draws["P_eta"] = np.random.default_rng(0).normal(0, OMEGA, (400, len(COUNTS)))
    found = marginal_log_likelihood(jax.random.key(0), statistical(), data, draws, np.arange(20), samples=400)
    exact = np.log(np.exp(classes(SHARE)).sum(0))
    error = np.sqrt((found.error**2).sum(0)) / 20
    assert (np.abs(found.log_likelihood.mean(0) - exact) < 4 * error + 1e-3).all()


def quadrature():
    """Mean and SD of the share given the data, and the probability of each subject's class `high`."""
    share = (np.arange(2000) + 0.5) / 2000
    each = np.exp([classes(s) for s in share])
    weight = each.sum(1).prod(-1)
    weight /= weight.sum()
    mean = (weight * share).sum()
    high = (weight[:, None] * each[:, 0] / each.sum(1)).sum(0)
    return mean, np.sqrt((weight * (share - mean) ** 2).sum()), high


@pytest.mark.slow
def test_jumps_alone_bring_a_subject_to_its_classes(data):
    """At a known share, from etas that all say `high`; within 4 standard errors.

    These are of the 40 chains, or of as many independent draws where a class is so rare that few chains see it.
    """
    made = statistical()
    density, fit = UnconstrainedDensity(made.joint(data)), first_look(Marginal(made, data, "interaction"))
    jumps = Jumps(density, made, data, fit)
    wrong = (np.array([v.mean() for v in VALUES]) - HEIGHTS[0]) / OMEGA
    begin = density.unconstrain({"share_high": jnp.asarray(SHARE), "eta_raw": jnp.asarray(wrong)[:, None]})

    def chain(key):
        return jax.lax.scan(lambda point, k: (jumps(k, point),) * 2, begin, keys.numbered(key, 200))[1]

    found = jax.jit(jax.vmap(chain))(keys.numbered(jax.random.key(1), 40))
    z = np.asarray(found["eta_raw"])[:, 100:, :, 0] * OMEGA
    per_class = [log_likelihood(z, height) for height in HEIGHTS]
    high = 1 / (1 + np.exp(per_class[1] - per_class[0] + np.log(1 - SHARE) - np.log(SHARE)))
    exact = (each := np.exp(classes(SHARE)))[0] / each.sum(0)
    mean = high.mean(1)
    error = np.maximum(mean.std(0, ddof=1) / np.sqrt(40), np.sqrt(exact * (1 - exact) / high[..., 0].size))
    assert (np.abs(mean.mean(0) - exact) < 4 * error).all()
    assert (exact * (1 - exact)).max() > 0.1  # somebody may be of either


def log_likelihood(eta, height):
    """Log density of each subject's observations given its eta [... subject] and class, but for a constant."""
    squares = [((v - height - eta[..., i, None]) ** 2).sum(-1) for i, v in enumerate(VALUES)]
    return -0.5 * np.stack(squares, -1) / SIGMA**2


SLOW = [
    pytest.param(Laplace(draws=200, samples=16), marks=pytest.mark.slow, id="laplace"),
    pytest.param(Nuts(chains=4, warmup=300, draws=1000), marks=pytest.mark.slow, id="nuts"),
    pytest.param(CrossChain(chains=8, warmup=300, draws=1000), marks=pytest.mark.slow, id="cross_chain"),
]


@pytest.mark.parametrize("inference", SLOW)
def test_share_and_classes_are_those_of_quadrature(inference, data):
    """Within 4 Monte-Carlo errors; draws of an importance sample are worth a quarter of their number or more.

    The random effect of a subject who may be of either class has two modes, between which chains move seldom: the
    error of its probability is not that of the share.
    """
    found = inference(jax.random.key(5), statistical(), data)[schema.POSTERIOR]
    mean, sd, high = quadrature()
    share = found["share_high"].to_numpy()
    size = min(float(array_stats.ess(share, chain_axis=0, draw_axis=1)), share.size)
    size = size / 4 if isinstance(inference, Laplace) else size
    assert share.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(size))
    assert share.std() == pytest.approx(sd, rel=4 / np.sqrt(size))
    each = found[PROBABILITY].sel({schema.CLASS: "high"}).to_numpy()
    said, axes = each.mean((0, 1)), {"chain_axis": 0, "draw_axis": 1}
    least = min(size, *(float(array_stats.ess(one, **axes)) for one in np.moveaxis(each, -1, 0)))
    assert said == pytest.approx(high, abs=4 * 0.5 / np.sqrt(least))
    drawn = found[CLASS] == 0
    assert drawn.mean((schema.CHAIN, schema.DRAW)).to_numpy() == pytest.approx(said, abs=4 * 0.5 / np.sqrt(share.size))
    own = np.log(found["P_individual"]) - found["P_eta"]
    assert np.allclose(own, np.where(drawn, *HEIGHTS), atol=1e-12)


def test_a_data_set_fitted_beside_others_jumps_between_classes(data):
    """Chains of the program that fits many data sets jump as those of a fit do: the share is that of quadrature."""
    repeated = Repeated(Nuts(chains=2, warmup=200, draws=400), statistical(), data)
    values = np.stack([np.asarray(data.observations["y"].value)] * 2)
    found = repeated.fit(keys.numbered(jax.random.key(4), 2), {"y": values})
    assert found.trouble == ["", ""]
    share = found.columns[..., repeated.quantities.index("share_high")].reshape(4, -1)
    mean, sd, _ = quadrature()
    size = min(float(array_stats.ess(share, chain_axis=0, draw_axis=1)), share.size)
    assert share.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(size))


def test_new_people_draw_a_class():
    made = population().for_model(LogMean())
    draw = {name: jnp.asarray(value) for name, value in STATED.items()} | {"P_iiv": jnp.asarray(1e-9)}
    each = keys.numbered(jax.random.key(2), 4000)
    found = np.asarray(jax.vmap(lambda k: made.new_subject(k, draw, made.factor(draw), {})["P"])(each))
    assert np.unique(np.log(found).round(6)).tolist() == sorted(HEIGHTS)
    assert (np.log(found) > 1.6).mean() == pytest.approx(SHARE, abs=4 * np.sqrt(SHARE * (1 - SHARE) / 4000))


def test_before_the_data_classes_follow_the_shares(data):
    found = Prior(draws=50)(jax.random.key(0), statistical(), data)[schema.POSTERIOR]
    share = np.broadcast_to(found["share_high"].to_numpy()[..., None], found[CLASS].shape)
    assert found[PROBABILITY].to_numpy()[..., 0] == pytest.approx(share)
    assert (found[CLASS] == 0).to_numpy().mean() == pytest.approx(share.mean(), abs=4 * 0.5 / np.sqrt(share.size))


def test_three_classes_have_a_dirichlet_prior():
    """Beta(1, 5), then Beta(2, 3): Dirichlet(1, 2, 3), whose means are 1/6, 2/6 and 3/6."""
    made = Mixture({"a": BetaPrior(0, 4), "b": BetaPrior(1, 2)}, "c")
    random = np.random.default_rng(0)
    counts = {s: (p.successes + 1, p.failures + 1) for s, p in made.priors().items()}
    drawn = {s: jnp.asarray(random.beta(*both, 40_000)) for s, both in counts.items()}
    share = np.exp(np.asarray(jax.vmap(made.log_shares)(drawn)))
    assert share.sum(1) == pytest.approx(1.0)
    alpha = np.array([1.0, 2.0, 3.0])
    variance = alpha / 6 * (1 - alpha / 6) / 7
    assert share.mean(0) == pytest.approx(alpha / 6, abs=4 * np.sqrt(variance.max() / 40_000))
    assert share.var(0) == pytest.approx(variance, rel=0.05)


WRONG = [
    (lambda: Mixture({}, "all"), "two or more classes"),
    (lambda: Mixture({"a": NormalPrior(0.5, 0.1)}, "b"), "between 0 and 1"),
    (lambda: Mixture({"iiv": BetaPrior(0, 0)}, "b"), "a name that cannot be used"),
    (lambda: population(low=Fixed(-1.0)), "no typical value"),
    (lambda: Population({"P": Parameter("", Fixed(1.0), classes={"poor": Fixed(2.0)})}), "no such class"),
    (
        lambda: Population({"P": Parameter("", Fixed(1.0))}, mixture=Mixture({"poor": BetaPrior(0, 0)}, "other")),
        "no parameter differs",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), WRONG)
def test_mistakes_are_sentences(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
