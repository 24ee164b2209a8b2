import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.statistics.regression import least_squares

LONGLEY = np.array(
    """60323 83.0 234289 2356 1590 107608 1947 61122 88.5 259426 2325 1456 108632 1948 60171 88.2 258054 3682 1616
    109773 1949 61187 89.5 284599 3351 1650 110929 1950 63221 96.2 328975 2099 3099 112075 1951 63639 98.1
    346999 1932 3594 113270 1952 64989 99.0 365385 1870 3547 115094 1953 63761 100.0 363112 3578 3350 116219
    1954 66019 101.2 397469 2904 3048 117388 1955 67857 104.6 419180 2822 2857 118734 1956 68169 108.4 442769
    2936 2798 120445 1957 66513 110.8 444546 4681 2637 121950 1958 68655 112.6 482704 3813 2552 123366 1959
    69564 114.2 502601 3931 2514 125368 1960 69331 115.7 518173 4806 2572 127852 1961 70551 116.9 554894 4007
    2827 130081 1962""".split(),
    float,
).reshape(16, 7)
"""Longley 1967; certified values of NIST's Statistical Reference Datasets."""
SLOPE = (
    15.0618722713733,
    -0.0358191792925910,
    -2.02022980381683,
    -1.03322686717359,
    -0.0511041056535807,
    1829.15146461355,
)
ERROR = (
    84.9149257747669,
    0.0334910077722432,
    0.488399681651699,
    0.214274163161675,
    0.226073200069370,
    455.478499142212,
)


def test_certified_values_with_patients_missing():
    design = np.c_[np.ones(16), LONGLEY[:, 1:] - LONGLEY[:, 1:].mean(0)]
    padded = jnp.asarray(np.r_[design, np.full((3, 7), np.nan)])
    known = jnp.arange(19) < 16
    fit = least_squares(padded, jnp.asarray(np.r_[LONGLEY[:, 0], [np.inf, np.nan, 1.0]]), known)
    np.testing.assert_allclose(fit.coefficient[1:], SLOPE, rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance))[1:], ERROR, rtol=1e-9)
    assert float(jnp.sqrt(fit.variance)) == pytest.approx(304.854073561965, rel=1e-9)
    assert fit.df == 9


def test_hc3_of_arms_is_each_arms_own_variance():
    # With one column per arm the leverage is 1/n, and HC3 of a mean is the sum of squares over (n - 1)^2.
    value, arm = np.array([1.0, 4.0, 2.0, 7.0, 9.0]), np.array([0, 0, 0, 1, 1])
    design = jnp.asarray(np.eye(2)[arm])
    fit = least_squares(design, jnp.asarray(value), jnp.ones(5, bool))
    squares = np.array([((value[arm == a] - value[arm == a].mean()) ** 2).sum() for a in (0, 1)])
    np.testing.assert_allclose(fit.robust, np.diag(squares / np.array([2.0, 1.0]) ** 2), atol=1e-12)


def test_a_constant_column_is_left_out():
    design = jnp.asarray(np.c_[np.ones(6), np.full(6, 3.0), np.arange(6.0)])
    fit = least_squares(design, jnp.asarray([1.0, 2.0, 2.0, 5.0, 3.0, 8.0]), jnp.ones(6, bool))
    assert fit.estimable.tolist() == [True, False, True]
    np.testing.assert_allclose(
        fit.coefficient[jnp.array([2, 0])], np.polyfit(range(6), [1, 2, 2, 5, 3, 8], 1), rtol=1e-12
    )
