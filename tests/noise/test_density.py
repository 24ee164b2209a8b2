"""Densities of measured values against SciPy's, their integrals, and samples against densities."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from tests.helpers import half
from tests.noise.cases import CONTINUOUS, VALUES, alone, integral, likelihood, observations, replicate, visits
from vtrial.noise import LogNormal, Student, TransformBothSides
from vtrial.noise.law import StudentT

F = np.array([0.5, 3.0, 10.0])
SEEN = np.array([1.0, 2.0, 12.0])
COMBINED = np.sqrt(0.25 + (0.2 * F) ** 2)
CLOSED = {
    "additive": stats.norm(F, 0.5),
    "proportional": stats.norm(F, 0.2 * F),
    "combined1": stats.norm(F, 0.5 + 0.2 * F),
    "combined": stats.norm(F, COMBINED),
    "power": stats.norm(F, 0.3 * F**0.7),
    "log_normal": stats.lognorm(0.4, scale=F),
    "student": stats.t(5.0, F, COMBINED),
    "positive": stats.truncnorm(-F / COMBINED, np.inf, F, COMBINED),
}
SUBJECTS = np.arange(3)


@pytest.mark.parametrize("name", CLOSED)
def test_density_is_scipys(name):
    found = likelihood(CONTINUOUS[name], F, observations(SEEN, subject=SUBJECTS))
    np.testing.assert_allclose(found, CLOSED[name].logpdf(SEEN), rtol=1e-10)


@pytest.mark.parametrize("shape", [-0.5, 0.0, 1e-6, 0.3, 1.0, 2.0])
def test_transform_both_sides_is_the_normal_density_times_the_derivative(shape):
    noise = TransformBothSides(CONTINUOUS["additive"], shape)
    h = special.boxcox(SEEN, shape), special.boxcox(F, shape)
    expected = stats.norm(h[1], 0.5).logpdf(h[0]) + (shape - 1) * np.log(SEEN)
    np.testing.assert_allclose(likelihood(noise, F, observations(SEEN, subject=SUBJECTS)), expected, rtol=1e-8)


def test_a_shape_of_zero_is_log_normal_and_of_one_additive():
    seen = observations(SEEN, subject=SUBJECTS)
    values = VALUES | {"sigma_add": VALUES["sigma_log"]}
    log = likelihood(TransformBothSides(CONTINUOUS["additive"], 0.0), F, seen, values=values)
    np.testing.assert_allclose(log, likelihood(LogNormal(half(1.0)), F, seen, values=values), rtol=1e-12)
    one = likelihood(TransformBothSides(CONTINUOUS["additive"], 1.0), F, seen)
    np.testing.assert_allclose(one, likelihood(CONTINUOUS["additive"], F, seen), rtol=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("f", [0.6, 3.0])
def test_density_integrates_to_one(name, f):
    """A Box-Cox law of positive shape has the rest at 0 exactly; conditional on a positive value it has none."""
    rest = 0.0
    if name in ("transform", "dynamic"):
        shape = 0.3 if name == "transform" else 0.5
        scale = 0.5 if name == "transform" else 0.3 * f**0.7
        rest = stats.norm.cdf((-1 / shape - special.boxcox(f, shape)) / scale)
    above_zero = any(word in name for word in ("log", "transform", "dynamic", "positive"))
    total = integral(CONTINUOUS[name], f, 0.0 if above_zero else -1e9, 1e30 if "log" in name else 1e9)
    # The logarithm's heavy tail goes on beyond 1e30 with a probability of 5 / 165^4.
    assert total == pytest.approx(1.0 - rest, abs=5e-8 if name == "log_student" else 1e-9)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_have_the_density(name):
    """Kolmogorov-Smirnov of 4,000 draws against the integral of the density; mass at 0 as the law says."""
    noise, count, f = CONTINUOUS[name], 4000, 1.2
    drawn = np.sort(replicate(noise, np.full(count, f), visits(11, alone(count))))
    grid = np.linspace(1e-9 if drawn[0] >= 0 else drawn[0] - 3.0, drawn[-1] + 3.0, 200_001)
    each = np.exp(likelihood(noise, np.full(len(grid), f), observations(grid, subject=np.arange(len(grid)))))
    below = np.concatenate([[0.0], integrate.cumulative_trapezoid(each, grid)])
    start = np.mean(drawn <= grid[0])
    cdf = np.interp(drawn, grid, below + start)
    if start:
        drawn, cdf = drawn[drawn > grid[0]], cdf[drawn > grid[0]]
    steps = np.arange(count - len(drawn) + 1, count + 1) / count
    assert np.max(np.abs(cdf - steps)) < 1.95 / np.sqrt(count) + 1e-3  # p about 0.001


@pytest.mark.parametrize("df", [0.5, 1.0, 2.7, 5.0, 30.0, 400.0])
def test_probabilities_of_students_t_are_scipys(df):
    z = np.array([-1e12, -1e4, -40.0, -6.0, -1.0, -1e-3, 0.0, 0.4, 3.0, 50.0])
    found = StudentT(jnp.asarray(df)).log_below(jnp.asarray(z))
    with np.errstate(divide="ignore"):
        expected = stats.t(df).logcdf(z)
    known = expected > -600  # SciPy's tail underflows
    np.testing.assert_allclose(np.asarray(found)[known], expected[known], rtol=1e-9, atol=1e-13)
    # In the far tail the density is a power of z: P(Z < z) -> |z| density / df.
    far = jnp.asarray([-1e30])
    expected = StudentT(jnp.asarray(df)).log_density(far) + np.log(1e30 / df)
    np.testing.assert_allclose(StudentT(jnp.asarray(df)).log_below(far), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["combined", "log_normal", "student", "transform"])
def test_deviation_is_the_spread_of_samples(name):
    """Exactly on the scale of the output, to first order on another: there with a small error."""
    count, small = 40_000, VALUES | {"sigma_log": jnp.asarray(0.01), "sigma_add": jnp.asarray(0.01)}
    f = np.full(count, 2.0)
    drawn = replicate(CONTINUOUS[name], f, visits(5, alone(count)), small)
    expected = float(np.asarray(CONTINUOUS[name].deviation(jnp.asarray(f), small))[0])
    fourth = 9.0 if name == "student" else 3.0  # kurtosis, of which the error of a variance is made
    assert drawn.std() == pytest.approx(expected, rel=4 * np.sqrt((fourth - 1) / count) / 2 + 2e-3)


def test_few_degrees_of_freedom_have_no_deviation():
    assert np.isnan(Student(CONTINUOUS["additive"], 2.0).deviation(jnp.ones(1), VALUES)).all()
