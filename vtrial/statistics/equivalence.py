"""Equivalence: two one-sided tests, scaled limits and criteria, exact power and sample size."""

import math
from itertools import pairwise
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import betainc
from jaxtyping import Array, Float
from scipy import integrate, stats

from vtrial.errors import UserError
from vtrial.statistics import chi_square, student

_MOST = 10_000
"""Largest sample size looked for."""


class Layout(NamedTuple):
    """How the error of a treatment difference follows from the number of subjects of a balanced design."""

    name: str
    step: int
    """Sequences or groups: subjects come in multiples of it."""
    factor: float
    """Variance of the difference, times subjects, over the variance within subjects (or between, if parallel)."""
    slope: int
    """Degrees of freedom are slope x subjects - offset."""
    offset: int

    def df(self, subjects: int) -> int:
        """Return the residual degrees of freedom."""
        return self.slope * subjects - self.offset


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("parallel", 2, 4.0, 1, 2),
        Layout("2x2", 2, 2.0, 1, 2),
        Layout("3x3", 3, 2.0, 2, 4),
        Layout("3x6x3", 6, 2.0, 2, 4),
        Layout("4x4", 4, 2.0, 3, 6),
        Layout("2x2x3", 2, 1.5, 2, 3),
        Layout("2x2x4", 2, 1.0, 3, 4),
        Layout("2x3x3", 3, 1.5, 2, 3),
    )
}
"""Designs by treatments x sequences x periods, analysed with fixed subjects; "2x3x3" is TRR, RTR, RRT."""


def sd_from_cv(cv: float) -> float:
    """Return the SD of a logarithm from the coefficient of variation of a log-normal quantity."""
    return math.sqrt(math.log1p(cv * cv))


def cv_from_sd(sd: float) -> float:
    """Return the coefficient of variation of a log-normal quantity from the SD of its logarithm."""
    return math.sqrt(math.expm1(sd * sd))


def tost_power(
    cv: float,
    ratio: float,
    subjects: int,
    layout: Layout,
    *,
    lower: float = 0.8,
    upper: float = 1.25,
    alpha: float = 0.05,
) -> float:
    """Return the exact power of the two one-sided t-tests of a ratio of geometric means.

    The difference of two of Owen's Q functions, as one integral over the chi distribution of the estimated SD.

    Args:
        cv: coefficient of variation within subjects, or between them if parallel; 0.3 for 30 %.
        ratio: true ratio of test to reference.
        subjects: in the whole trial, the same number in every sequence.
        layout: the design.
        lower: least ratio that is equivalent.
        upper: greatest.
        alpha: level of each one-sided test.

    Raises:
        UserError: no degree of freedom is left, or a number is out of its range.

    Source: Owen 1965, doi:10.1093/biomet/52.3-4.437; Phillips 1990, doi:10.1007/BF01063556.
    """
    if not (cv > 0 and ratio > 0 and 0 < lower < upper and 0 < alpha < 0.5):
        raise UserError(
            f"Power of equivalence needs cv > 0, ratio > 0, 0 < lower < upper and 0 < alpha < 0.5; got cv {cv}, ratio "
            f"{ratio}, limits {lower} to {upper}, alpha {alpha}."
        )
    df = layout.df(subjects)
    if df < 1:
        raise UserError(f"A {layout.name} design of {subjects} subjects leaves no degree of freedom; enrol more.")
    error = sd_from_cv(cv) * math.sqrt(layout.factor / subjects)
    low, high = math.log(lower / ratio) / error, math.log(upper / ratio) / error
    return chance_inside(low, high, df, alpha)


def chance_inside(low: float, high: float, df: int, alpha: float = 0.05) -> float:
    """Return the probability that both one-sided t-tests reject, exactly.

    Args:
        low: lower limit less the true value, in true standard errors.
        high: upper limit, likewise.
        df: degrees of freedom.
        alpha: one-sided level of each.
    """
    t = float(stats.t.isf(alpha, df))
    most = (high - low) / (2 * t)  # beyond this estimate of the SD, relative to the true one, no result is equivalent

    def inside(u: float) -> float:
        return float(stats.norm.cdf(high - t * u) - stats.norm.cdf(low + t * u)) * _chi_density(u, df)

    peak = min(1.0, most)
    parts = sorted({0.0, max(0.0, peak - 4 / math.sqrt(df)), peak, most} | ({1 + 4 / math.sqrt(df)} - {most}))
    within = pairwise(part for part in parts if part <= most)
    return float(sum(integrate.quad(inside, a, b, epsabs=1e-12, epsrel=1e-11)[0] for a, b in within))


def _chi_density(u: float, df: int) -> float:
    """Return the density of an estimated SD over the true one."""
    return 2 * df * u * float(stats.chi2.pdf(df * u * u, df))


def tost_sample_size(
    cv: float,
    ratio: float,
    power: float,
    layout: Layout,
    *,
    lower: float = 0.8,
    upper: float = 1.25,
    alpha: float = 0.05,
) -> tuple[int, float]:
    """Return the least number of subjects, a multiple of the sequences, with at least a power; and its power.

    Raises:
        UserError: the ratio is outside the limits, or more than 10,000 subjects would be needed.
    """
    if not lower < ratio < upper:
        raise UserError(
            f"Equivalence within {lower} to {upper} cannot be shown for a true ratio of {ratio}; it must be inside."
        )
    if not 0 < power < 1:
        raise UserError(f"power is a probability between 0 and 1, not {power}.")

    def reached(steps: int) -> float:
        return tost_power(cv, ratio, steps * layout.step, layout, lower=lower, upper=upper, alpha=alpha)

    least = next(k for k in range(1, 9) if layout.df(k * layout.step) >= 1)
    few, many = least - 1, least
    while reached(many) < power:
        few, many = many, 2 * many
        if many * layout.step > _MOST:
            raise UserError(f"More than {_MOST} subjects would be needed for power {power}; is CV {cv:g} a fraction?")
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if reached(middle) < power else (few, middle)
    return many * layout.step, reached(many)


def cv_from_interval(lower: float, upper: float, subjects: int, layout: Layout, alpha: float = 0.05) -> float:
    """Return the coefficient of variation behind a published 1 - 2 alpha interval of the ratio of a balanced trial."""
    half = 0.5 * math.log(upper / lower)
    error = half / float(stats.t.isf(alpha, layout.df(subjects)))
    return cv_from_sd(error / math.sqrt(layout.factor / subjects))


class Scaling(NamedTuple):
    """How equivalence limits widen with the SD within subjects under the reference."""

    slope: float
    """Logarithm of the upper limit, per SD."""
    switch: float
    """SD above which they widen."""
    most: float
    """SD above which they widen no more."""


_CV30, _CV50 = sd_from_cv(0.3), sd_from_cv(0.5)
EMA = Scaling(0.76, _CV30, _CV50)
"""CPMP/EWP/QWP/1401/98 Rev. 1, section 4.1.10."""
HEALTH_CANADA = Scaling(0.76, _CV30, sd_from_cv(0.57382))
"""Notice of 2016 on highly variable drug products: at most 66.7 to 150 %."""
FDA = Scaling(math.log(1.25) / 0.25, 0.294, math.inf)
"""Draft guidance on progesterone, 2011: the criterion's implied limits."""
NARROW = Scaling(math.log(1 / 0.9) / 0.1, 0.0, math.inf)
"""Draft guidance on warfarin, 2012, for drugs of narrow therapeutic index."""


def widened(sd: Float[Array, "..."], scaling: Scaling, plain: float = 1.25) -> Float[Array, "..."]:
    """Return the logarithm of the upper limit; the lower one is less it."""
    wide = scaling.slope * jnp.minimum(sd, scaling.most)
    return jnp.where(sd > scaling.switch, wide, math.log(plain))


def tost(
    difference: Float[Array, "..."],
    error: Float[Array, "..."],
    df: Float[Array, "..."],
    limit: Float[Array, "..."],
) -> Float[Array, "..."]:
    """Return the greater p-value of the two one-sided t-tests of |difference| < limit.

    Source: Schuirmann 1987, doi:10.1007/BF01068419.
    """
    return student.upper_tail((limit - jnp.abs(difference)) / error, df)


class Criterion(NamedTuple):
    """The linearised criterion of scaled equivalence, difference^2 - slope^2 variance."""

    estimate: Float[Array, "..."]
    half: Float[Array, "..."]
    """From the estimate to the upper confidence bound: if estimate + half is 0 or less it is equivalent."""


def scaled_criterion(
    difference: Float[Array, "..."],
    error: Float[Array, "..."],
    df: Float[Array, "..."],
    variance: Float[Array, "..."],
    variance_df: Float[Array, "..."],
    scaling: Scaling,
    alpha: float | Float[Array, ""] = 0.05,
) -> Criterion:
    """Return the criterion of equivalence scaled by the variance under the reference, and its confidence bound.

    By Howe's approximation: both terms' bounds about their estimates, added as squares.

    Args:
        difference: test minus reference, in log units.
        error: its standard error.
        df: its degrees of freedom.
        variance: within subjects under the reference.
        variance_df: its degrees of freedom.
        scaling: gives the slope.
        alpha: one less the confidence.

    Source: Howe 1974, J Am Stat Assoc 69:789; Tothfalusi and Endrenyi 2016, doi:10.1208/s12248-016-9873-6.
    """
    half = student.quantile(2 * alpha, df) * error
    square = difference**2 - error**2
    square_bound = jnp.maximum((difference - half) ** 2, (difference + half) ** 2)
    spread = -(scaling.slope**2) * variance
    spread_bound = spread * variance_df / chi_square.quantile(1 - alpha, variance_df)
    half = jnp.sqrt((square_bound - square) ** 2 + (spread_bound - spread) ** 2)
    return Criterion(square + spread, half)


def variance_ratio(
    test: Float[Array, "..."],
    test_df: Float[Array, "..."],
    reference: Float[Array, "..."],
    reference_df: Float[Array, "..."],
    limit: float = 2.5,
) -> Float[Array, "..."]:
    """Return the one-sided p-value that the ratio of SDs, test to reference, is below a limit.

    At 5 % it is the same as a 90 % interval, from the F distribution, that ends at or below the limit.

    Source: FDA, draft guidance on warfarin sodium, 2012.
    """
    f = test / reference / limit**2
    return betainc(0.5 * test_df, 0.5 * reference_df, test_df * f / (test_df * f + reference_df))
