"""Samplers and approximations on a normal target whose moments are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference.cases import CORRELATION, MEAN, SD, Target
from vtrial import keys
from vtrial.inference import CrossChain, Nuts, Svi
from vtrial.inference.approximation import smoothed
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.failures import Failures
from vtrial.inference.jump import Jumps, jumping
from vtrial.inference.path import best, climb, last
from vtrial.inference.progress import least_ess
from vtrial.inference.walk import Clock, Plan, walk

KINDS = {
    "nuts": (Nuts(warmup=600), 4),
    "nuts, diagonal": (Nuts(warmup=600, dense_mass=False), 4),
    "cross_chain": (CrossChain(), 16),
    "cross_chain, diagonal": (CrossChain(dense_mass=False), 16),
}


@pytest.fixture(scope="module")
def density():
    return UnconstrainedDensity(Target().joint(None))


def test_subjects_are_not_of_the_population(density):
    assert (density.population, density.order, density.dense) == (("a",), ("a", "b"), 3)
    x = jnp.arange(7.0)
    np.testing.assert_array_equal(density.vector(density.point(x)), x)


@pytest.mark.parametrize("name", KINDS)
def test_moments_of_a_normal(name, density):
    """Each mean within 4 standard errors, each SD within 4 of its own, by the effective sample size."""
    sampler, chains = KINDS[name]
    key = jax.random.key(5)
    like = {n: jax.ShapeDtypeStruct((chains, *s), float) for n, (_, s) in density.sites.items()}
    begin = jax.vmap(lambda k: density.near(k, {}, 0.5))(keys.numbered(key, chains))
    plan = Plan(600, 4000 // chains, ("a",))
    made = sampler.kernel(density)
    points, fields = walk(
        made, plan, keys.numbered(key, chains), lambda _: begin, like, None, Clock(), Failures(jnp.zeros_like, 0)
    )
    x = np.concatenate([points["a"], points["b"]], axis=-1)
    assert int(fields["diverging"].sum()) == 0
    wanted, sd = np.array([*MEAN, 3, 3, 3, 3]), np.array([*SD, 0.1, 0.1, 0.1, 0.1])
    for i in range(7):
        ess = min(least_ess(x[..., i : i + 1]), least_ess((x[..., i : i + 1] - wanted[i]) ** 2))
        assert ess > 400
        assert x[..., i].mean() == pytest.approx(wanted[i], abs=4 * sd[i] / np.sqrt(ess))
        assert x[..., i].std() == pytest.approx(sd[i], abs=4 * sd[i] / np.sqrt(2 * ess))
    assert np.corrcoef(points["a"].reshape(-1, 3).T)[0, 1] == pytest.approx(CORRELATION, abs=0.05)


@pytest.mark.parametrize("name", KINDS)
def test_the_first_step_finds_potential_and_gradient_and_nothing_else(name, density):
    """Where chains are, their keys and all that is learnt stay; a start without density is told by its potential."""
    sampler, chains = KINDS[name]
    made, key = sampler.kernel(density), jax.random.key(3)
    begin = jax.vmap(lambda k: density.near(k, {}, 0.5))(keys.numbered(key, chains))
    begin["a"] = begin["a"].at[0, 0].set(jnp.nan)
    fresh = made.init(keys.numbered(key, chains), begin)
    state, draw = (jax.vmap(made.step) if made.over is not None else made.step)(fresh)
    assert np.all(draw.fields["num_steps"] == 1)
    potential, slope = jax.vmap(density.slope)(state.x)
    assert not np.isfinite(state.potential[0])
    np.testing.assert_allclose(state.potential[1:], potential[1:], rtol=1e-12)
    np.testing.assert_allclose(state.gradient[1:], slope[1:], rtol=1e-9, atol=1e-12)
    assert np.all(state.iteration == 0)
    known = {"potential": 0, "gradient": 0, "iteration": 0, "key": 0}
    kept = [jax.tree.leaves(s._replace(**known)) for s in (state, fresh)]
    for after, before in zip(*kept, strict=True):
        np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(*(jax.random.key_data(s.key) for s in (state, fresh)))


@pytest.mark.parametrize("name", ["nuts", "cross_chain"])
def test_nobody_jumps_before_the_density_is_known(name, density, monkeypatch):
    """The first step leaves chains where they are, the second ends in the jump, here by 1 everywhere."""
    monkeypatch.setattr(Jumps, "__call__", lambda _, key, point: {n: x + 1.0 for n, x in point.items()})
    sampler, chains = KINDS[name]
    plain, key = sampler.kernel(density), jax.random.key(3)
    made = jumping(plain, density, object.__new__(Jumps))
    begin = jax.vmap(lambda k: density.near(k, {}, 0.5))(keys.numbered(key, chains))
    fresh = made.init(keys.numbered(key, chains), begin)
    each = [jax.vmap(k.step) if k.over is not None else k.step for k in (plain, made)]
    (still, _), (begun, _) = (step(fresh) for step in each)
    np.testing.assert_array_equal(begun.x, fresh.x)
    np.testing.assert_array_equal(begun.potential, still.potential)
    np.testing.assert_array_equal(each[1](begun)[0].x, each[0](still)[0].x + 1.0)


@pytest.mark.parametrize(("choose", "limit"), [(best, 0.7), (last, 1.0)])
def test_pathfinder_finds_a_normal(choose, limit, density):
    """By its evidence bound nearly as it is; at the top as well as L-BFGS knows the Hessian."""
    random = np.random.default_rng(0)
    normal = choose(density, climb(density, np.zeros(7)), random)
    x, log_q = normal.draw(random, 4000)
    weights, k = smoothed(density.log_density(x) - log_q)
    assert k < limit
    mean = weights @ x
    error = 4 * np.array([*SD, *[0.1] * 4]) * np.sqrt((weights**2).sum())
    assert (np.abs(mean - np.array([*MEAN, 3, 3, 3, 3])) < error).all()


@pytest.mark.parametrize(("guide", "good"), [("multivariate", True), ("low_rank", True), ("diagonal", False)])
def test_svi_knows_how_good_it_is(guide, good, density):
    """Normals correlated by 0.95 are found by the first two guides; the diagonal one is too narrow, which k shows."""
    svi = Svi(guide=guide, steps=4000, particles=16, learning_rate=0.03)
    fitted, bound, params = svi._fit(jax.random.key(0), density, jnp.array([0.0] * 3 + [3.0] * 4), None)
    normal = fitted.get_posterior(params)
    x = np.asarray(normal.sample(jax.random.key(1), (4000,)))
    log_q = np.asarray(normal.log_prob(x)).reshape(4000, -1).sum(1)
    _, k = smoothed(density.log_density(x) - log_q)
    assert bound.shape == (4000,)
    assert (k < 0.5) == good  # above a half the weights have no variance
    if good:
        np.testing.assert_allclose(x[:, :3].std(0), SD, rtol=0.15)


def test_pareto_k_of_known_ratios():
    """Ratios of Pareto tail with exponent 1/k have that k (here 1.2), and draws without density weigh nothing."""
    log_ratio = np.random.default_rng(0).exponential(1.2, 20000)
    weights, k = smoothed(np.concatenate([log_ratio, [-np.inf] * 5]))
    assert k == pytest.approx(1.2, abs=0.2)
    assert weights[-5:].sum() == 0
    assert weights.sum() == pytest.approx(1.0)
    assert smoothed(np.full(100, -np.inf))[1] == np.inf
