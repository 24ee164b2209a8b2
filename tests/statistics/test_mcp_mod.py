"""MCP-Mod against DoseFinding 1.0-3 and SciPy: contrasts, the greatest t statistic, power, fits, target doses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm
from scipy.stats import t as student

from vtrial.errors import UserError
from vtrial.statistics import contrast, maximum
from vtrial.statistics import dose_response as shapes

# The data `biom` of DoseFinding, by dose: 20 patients each, and the sum of squares within doses.
DOSE = np.array([0, 0.05, 0.2, 0.6, 1.0])
MEAN = np.array([0.344905396465, 0.456754284895, 0.81031577158, 0.934436926255, 0.948711416565])
COUNT, WITHIN = np.full(5, 20.0), 48.2088429276759
GROUPS = shapes.Groups(*map(jnp.asarray, (DOSE, MEAN, COUNT, WITHIN)))
# Emax 0.05, Emax 0.2, linear, exponential 0.3, logistic (0.4, 0.09), quadratic -0.85
SHAPE = np.stack(
    [
        DOSE / (0.05 + DOSE),
        DOSE / (0.2 + DOSE),
        DOSE,
        np.expm1(DOSE / 0.3),
        1 / (1 + np.exp((0.4 - DOSE) / 0.09)),
        DOSE - 0.85 * DOSE**2,
    ]
)
CONTRAST = [
    [-0.79862426522, -0.6431145294, -0.43665607024, -0.29910073364, -0.39505051488, -0.57575516753],
    [-0.16987693449, -0.36145853112, -0.37764849318, -0.29125046083, -0.38658789029, -0.36626036498],
    [0.20737146395, 0.061025466294, -0.200625762, -0.25807760928, -0.30875874523, 0.15063934366],
    [0.36214003767, 0.41309546414, 0.27143485447, -0.022547363652, 0.49687695371, 0.71075077398],
    [0.39898969808, 0.53045213009, 0.74349547095, 0.8709761674, 0.5935201967, 0.080625414872],
]
STATISTIC = [3.3393184484, 3.4641134371, 2.9715343447, 2.2595383107, 2.9151788784, 3.11907616]
P = [0.0019763881978, 0.0013447305256, 0.0058057431872, 0.035426193992, 0.0068055830889, 0.0038278491315]
FOUND = np.asarray(contrast.optimal(jnp.asarray(SHAPE), jnp.diag(jnp.asarray(COUNT))))
ROWS = np.asarray(contrast.rows_of_groups(jnp.asarray(FOUND), jnp.asarray(COUNT)))


def test_contrasts_and_statistics():
    np.testing.assert_allclose(FOUND.T, CONTRAST, atol=1e-10)
    error = np.sqrt(WITHIN / 95 * (FOUND**2 / COUNT).sum(1))
    np.testing.assert_allclose(FOUND @ MEAN / error, STATISTIC, rtol=1e-9)
    rows = contrast.rows(jnp.asarray(FOUND), jnp.diag(1 / jnp.asarray(COUNT)))
    np.testing.assert_allclose(rows @ rows.T, ROWS @ ROWS.T, atol=1e-12)


def test_an_optimal_contrast_is_the_most_powerful():
    count = np.array([10.0, 20, 30, 5, 10])
    best = np.asarray(contrast.optimal(jnp.asarray(SHAPE), jnp.diag(jnp.asarray(count))))

    def signal(c):
        return (c * SHAPE).sum(1) / np.sqrt((c**2 / count).sum(1))

    other = np.random.default_rng(0).normal(size=(500, 1, 5))
    other = other - other.mean(2, keepdims=True)
    for c in other:
        assert (np.abs(signal(c)) <= signal(best) + 1e-12).all()


def test_critical_value_and_p_of_a_singular_correlation():
    """DoseFinding integrates to 1e-3; six contrasts of five means have rank 4."""
    assert maximum.critical(0.025, 95, ROWS) == pytest.approx(2.4102623223, abs=1e-3)
    exact = [maximum.exceeds(t, 95, ROWS, np.zeros(6)) for t in STATISTIC]
    np.testing.assert_allclose(exact, P, atol=1e-4)
    traced = jax.jit(lambda t, df: maximum.tail(t, df, jnp.asarray(ROWS), maximum.directions(5)))
    np.testing.assert_allclose([traced(t, 95.0) for t in STATISTIC], P, atol=1e-4)
    np.testing.assert_allclose(traced(-0.5, 95.0), maximum.exceeds(-0.5, 95, ROWS, np.zeros(6)), atol=1e-3)


@pytest.mark.parametrize("df", [5.0, 30.0, np.inf])
def test_one_statistic_is_students_t(df):
    spread = maximum.directions(1)
    for t in (-1.0, 0.5, 2.5):
        one = np.ones((1, 1))
        assert maximum.exceeds(t, df, one, np.zeros(1)) == pytest.approx(student.sf(t, df), abs=2e-5)
        traced = maximum.tail(jnp.asarray(t), jnp.asarray(min(df, 1e9)), jnp.asarray(one), spread)
        assert float(traced) == pytest.approx(student.sf(t, df), abs=2e-3 if t < 0 else 2e-4)


def test_many_to_one_comparisons_against_the_integral():
    """Equal correlations of 1/2, as Dunnett's: one dimension is left, shifted or not."""
    rows = maximum.factor(np.full((4, 4), 0.5) + 0.5 * np.eye(4))
    shift = np.array([0.0, 0.5, 1.0, 2.0])
    for mean in (np.zeros(4), shift):

        def below(z, mean=mean):
            return norm.pdf(z) * norm.cdf((2.2 - mean + z * np.sqrt(0.5)) / np.sqrt(0.5)).prod()

        expected = 1 - quad(below, -9, 9, epsabs=1e-12)[0]
        assert maximum.exceeds(2.2, np.inf, rows, mean) == pytest.approx(expected, abs=5e-5)


def test_power():
    """Emax 0.05 and linear, an effect of 0.6 at the highest dose, SD 0.65, 20 a dose, one-sided 0.05."""
    shape, settings = SHAPE[[0, 2]], {"shape": SHAPE[[0, 2]], "alpha": 0.05}
    power = [contrast.power(0.6 * s / s[-1], COUNT, 0.65, **settings) for s in shape]
    np.testing.assert_allclose(power, [0.9484547106, 0.95346748987], atol=5e-4)


def test_emax_fit():
    family = shapes.emax(1.0)
    fit = jax.jit(lambda g: shapes.fit(family, g))(GROUPS)
    np.testing.assert_allclose(fit.coefficient, [0.32161066409, 0.7462984511], atol=1e-7)
    np.testing.assert_allclose(fit.theta, [0.14218710367], atol=1e-7)
    np.testing.assert_allclose(fit.aic, 219.1382714938, atol=1e-8)
    reference = [
        [0.023138720729, -0.014657815447, 0.014633033993],
        [-0.014657815447, 0.055590207401, 0.018331328138],
        [0.014633033993, 0.018331328138, 0.032566561987],
    ]
    np.testing.assert_allclose(shapes.covariance(family, fit, GROUPS), reference, atol=1e-8)

    def effect(dose):
        return shapes.curve(family, fit.theta, fit.coefficient, dose) - fit.coefficient[0]

    half = float(effect(jnp.ones(1))[0]) / 2
    found = jax.jit(lambda d: shapes.first_dose(effect, d, 1.0))
    np.testing.assert_allclose([found(0.4), found(half)], [0.16423648817, 0.11070535585], atol=1e-7)
    assert np.isnan(found(2.0))


def test_linear_fit():
    fit = shapes.fit(shapes.linear(), GROUPS)
    np.testing.assert_allclose(fit.coefficient, [0.49234078215, 0.55860534324], atol=1e-10)
    np.testing.assert_allclose(fit.aic, 220.4986247981, atol=1e-9)


@pytest.mark.parametrize(
    ("family", "start"),
    [
        (shapes.quadratic(), ()),
        (shapes.log_linear(0.01), ()),
        (shapes.exponential(1.0), (0.5,)),
        (shapes.logistic(1.0), (0.2, 0.1)),
        (shapes.sigmoid_emax(1.0), (0.15, 1.5)),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_fits_against_scipy(family, start):
    """Least squares over theta with the coefficients solved by LAPACK."""
    columns = jax.jit(family.columns)

    def loss(theta):
        design = np.column_stack([np.ones(5), columns(jnp.asarray(DOSE), jnp.asarray(theta, float))])
        beta = np.linalg.lstsq(design, MEAN, rcond=None)[0]
        return WITHIN + 20 * ((MEAN - design @ beta) ** 2).sum()

    bounds = list(zip(family.low, family.high, strict=True))
    best = minimize(loss, start, bounds=bounds, options={"ftol": 1e-14}).fun if start else loss(())
    fit = jax.jit(lambda g: shapes.fit(family, g))(GROUPS)
    assert fit.determined
    assert float(fit.residual) == pytest.approx(best, rel=1e-9)
    mean = shapes.curve(family, fit.theta, fit.coefficient, GROUPS.dose)
    assert float(WITHIN + 20 * ((MEAN - mean) ** 2).sum()) == pytest.approx(best, rel=1e-9)


def test_what_the_doses_do_not_determine_is_said():
    groups = GROUPS._replace(count=jnp.asarray([20.0, 0, 0, 0, 20]))
    assert shapes.fit(shapes.linear(), groups).determined
    assert not shapes.fit(shapes.quadratic(), groups).determined


def test_weights():
    aic = jnp.asarray([10.0, 12.0, -3.0])
    found = shapes.weights(aic, jnp.asarray([True, True, False]))
    np.testing.assert_allclose(found, [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0.0])
    np.testing.assert_array_equal(shapes.weights(aic, jnp.zeros(3, bool)), 0.0)


def test_mistakes():
    with pytest.raises(UserError, match="correlation matrix"):
        maximum.factor(np.array([[1.0, 2.0], [2.0, 1.0]]))
