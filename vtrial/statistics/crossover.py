"""Analysis of crossover trials: subject, period and treatment; variances within subjects; contrasts within subjects."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_RANK = 1e-9
"""An eigenvalue below this much of the greatest is 0: what it stands for cannot be estimated."""
_GOLDEN = 0.5 * (5.0**0.5 - 1)
_SECTIONS = 60
"""Golden sections: they shrink an interval of 30 to 1e-11."""
_RANGE = (-20.0, 12.0)
"""Logarithm of the variance ratio, between subjects to within, that is searched."""


class Effects(NamedTuple):
    """Differences of treatments from the reference, from a linear model."""

    difference: Float[Array, " arm"]
    """Not a number where it cannot be estimated."""
    error: Float[Array, " arm"]
    """Its standard error."""
    variance: Float[Array, ""]
    """Residual variance, within subjects."""
    df: Float[Array, ""]
    """Its degrees of freedom; 0 or less where there are none."""
    log_ratio: Float[Array, ""] = jnp.nan  # pyright: ignore[reportAssignmentType]
    """Logarithm of the variance between subjects over that within, where subjects are random."""


def subject_fixed(
    outcome: Float[Array, "patient period"], arm: Int[Array, "patient period"], *, arms: int, reference: int
) -> Effects:
    """Return the effects with fixed effects of subject, period and treatment: the regulator's method A.

    Subject effects, and those of sequence with them, are taken out by centring; what is left is a small system of
    normal equations. One with no rank left over says so by values that are not numbers.

    Args:
        outcome: of each patient in each period, on the scale that is analysed; not a number where it is not known.
        arm: treatment given; -1 for none.
        arms: how many treatments there are.
        reference: number of the reference treatment.

    Source: EMA, CPMP/EWP/QWP/1401/98 Rev. 1, 2010, section 4.1.8, and Questions and Answers EMA/618604/2008, 8.
    """
    known = jnp.isfinite(outcome) & (arm >= 0)
    design = _columns(arm, arms, reference)
    x, y = centred(design, known, 1.0), centred(outcome[:, :, None], known, 1.0)[:, :, 0]
    subjects = known.any(1).sum()
    return _solved(x, y, known.sum() - subjects, arms, reference)


def _columns(arm: Int[Array, "patient period"], arms: int, reference: int) -> Float[Array, "patient period column"]:
    """Return indicators of the periods but the first, then of the treatments but the reference."""
    periods = arm.shape[1]
    period = jnp.broadcast_to(jnp.eye(periods)[None, :, 1:], (*arm.shape, periods - 1))
    others = jnp.asarray([i for i in range(arms) if i != reference], int)
    return jnp.concatenate([period, (arm[:, :, None] == others[None, None]).astype(float)], 2)


def centred(x: Float[Array, "patient period column"], known: Bool[Array, "patient period"], part: float | Array):
    """Take off each subject's mean over its known periods, or a part of it."""
    x = jnp.where(known[:, :, None], x, 0.0)
    mean = x.sum(1, keepdims=True) / jnp.maximum(known.sum(1), 1)[:, None, None]
    share = jnp.broadcast_to(jnp.asarray(part), known.shape[:1])[:, None, None]
    return jnp.where(known[:, :, None], x - share * mean, 0.0)


def _solved(x, y, rows: Int[Array, ""], arms: int, reference: int) -> Effects:
    """Return least squares, where `rows` is how many independent rows there are; treatments are the last columns."""
    normal, right = jnp.einsum("npi,npj->ij", x, x), jnp.einsum("npi,np->i", x, y)
    inverse, kernel, rank = pseudo_inverse(normal)
    beta = inverse @ right
    df = (rows - rank).astype(y.dtype)
    residual = (y - jnp.einsum("npi,i->np", x, beta)) ** 2
    variance = residual.sum() / jnp.where(df > 0, df, jnp.nan)
    estimable = (jnp.diagonal(kernel) < 1e-6)[x.shape[2] - (arms - 1) :]
    effect = jnp.where(estimable, beta[x.shape[2] - (arms - 1) :], jnp.nan)
    spread = jnp.where(estimable, jnp.diagonal(inverse)[x.shape[2] - (arms - 1) :], jnp.nan)
    others = jnp.asarray([i for i in range(arms) if i != reference], int)
    zero = jnp.zeros(arms, y.dtype)
    return Effects(zero.at[others].set(effect), zero.at[others].set(jnp.sqrt(variance * spread)), variance, df)


def pseudo_inverse(normal: Float[Array, "column column"]):
    """Return the pseudo-inverse, the projection on what cannot be estimated, and the rank."""
    values, vectors = jnp.linalg.eigh(normal)
    kept = values > _RANK * jnp.maximum(values[-1], 1e-300)
    inverse = (vectors * jnp.where(kept, 1 / jnp.where(kept, values, 1.0), 0.0)[None]) @ vectors.T
    kernel = (vectors * jnp.where(kept, 0.0, 1.0)[None]) @ vectors.T
    return inverse, kernel, kept.sum()


def within_variance(
    outcome: Float[Array, "patient period"], arm: Int[Array, "patient period"], treatment: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the variance within subjects under one treatment that they are given repeatedly, and its df.

    From the measurements under this treatment alone, with fixed effects of subject and period.

    Source: EMA, Questions and Answers EMA/618604/2008, 8.
    """
    only = jnp.where(arm == treatment, 0, -1)
    found = subject_fixed(outcome, only, arms=1, reference=0)
    return found.variance, found.df


def subject_random(
    outcome: Float[Array, "patient period"],
    arm: Int[Array, "patient period"],
    sequence: Int[Array, " patient"],
    *,
    sequences: int,
    arms: int,
    reference: int,
) -> Effects:
    """Return the effects with random subjects and fixed sequence, period and treatment, by REML: method B.

    There is one unknown beside the variance, the ratio of the variances between and within subjects: the profile of the
    restricted likelihood is searched by golden section. Degrees of freedom are those within subjects; `satterthwaite`
    has others.

    Args:
        outcome: of each patient in each period; not a number where it is not known.
        arm: treatment given; -1 for none.
        sequence: number of each patient's sequence.
        sequences: how many there are.
        arms: how many treatments there are.
        reference: number of the reference treatment.

    Source: EMA, Questions and Answers EMA/618604/2008, 8; Patterson and Thompson 1971, doi:10.1093/biomet/58.3.545.
    """
    given = _random(outcome, arm, sequence, sequences, arms, reference)

    def criterion(log_ratio):
        """Return less twice the profile of the restricted log-likelihood, but for a constant."""
        residual, size, _ = given.restricted(log_ratio)
        return given.df * jnp.log(residual) + size

    ratio = _least(criterion)
    found = _solved(*given.whitened(ratio), given.known.sum(), arms, reference)
    within = subject_fixed(outcome, arm, arms=arms, reference=reference)
    return found._replace(df=within.df, log_ratio=ratio)


def satterthwaite(
    effects: Effects,
    outcome: Float[Array, "patient period"],
    arm: Int[Array, "patient period"],
    sequence: Int[Array, " patient"],
    *,
    sequences: int,
    arms: int,
    reference: int,
) -> Float[Array, " arm"]:
    """Return Satterthwaite's degrees of freedom of the effects of `subject_random`, whose arguments they are.

    Twice the square of an effect's variance over the variance of its estimate, by the curvature of the restricted
    likelihood in both variances. Not a number of the reference, and where the likelihood has no maximum inside.

    Source: Giesbrecht and Burns 1985, doi:10.2307/2530872.
    """
    given = _random(outcome, arm, sequence, sequences, arms, reference)
    at = jnp.stack([jnp.log(effects.variance), effects.log_ratio])

    def parts(place):
        residual, size, inverse = given.restricted(place[1])
        deviance = given.df * place[0] + residual * jnp.exp(-place[0]) + size
        return deviance, jnp.exp(place[0]) * jnp.diagonal(inverse)[-(arms - 1) :]

    curvature = jax.hessian(lambda place: parts(place)[0])(at)
    variance, slope = parts(at)[1], jax.jacobian(lambda place: parts(place)[1])(at)
    inside = (curvature[0, 0] > 0) & (jnp.linalg.det(curvature) > 0)
    df = variance**2 / jnp.einsum("ai,ij,aj->a", slope, jnp.linalg.inv(curvature), slope)
    others = jnp.asarray([i for i in range(arms) if i != reference], int)
    return jnp.full(arms, jnp.nan).at[others].set(jnp.where(inside, df, jnp.nan))


class _Random(NamedTuple):
    """What is fitted with random subjects: outcomes, and indicators of sequences, periods and treatments."""

    outcome: Float[Array, "patient period"]
    known: Bool[Array, "patient period"]
    columns: Float[Array, "patient period column"]
    kernel: Float[Array, "column column"]
    """The projection on what cannot be estimated; it is the same whatever the variances."""
    df: Int[Array, ""]
    """Known outcomes less what is estimated of the columns."""

    def whitened(self, log_ratio):
        """Return columns and outcome less a part of each subject's mean, so that their errors are independent."""
        part = 1 - 1 / jnp.sqrt(1 + self.known.sum(1) * jnp.exp(log_ratio))
        outcome = centred(self.outcome[:, :, None], self.known, part)[:, :, 0]
        return centred(self.columns, self.known, part), outcome

    def restricted(self, log_ratio):
        """Return what the restricted likelihood is made of.

        That is the sum of squared residuals, the log determinants (of the outcomes' covariance over the variance within
        subjects, and of the normal equations), and the inverse of the latter.
        """
        a, b = self.whitened(log_ratio)
        whole = jnp.einsum("npi,npj->ij", a, a) + self.kernel
        inverse = jnp.linalg.inv(whole) - self.kernel
        residual = ((b - jnp.einsum("npi,i->np", a, inverse @ jnp.einsum("npi,np->i", a, b))) ** 2).sum()
        between = jnp.log1p(self.known.sum(1) * jnp.exp(log_ratio)).sum()
        return residual, between + jnp.linalg.slogdet(whole)[1], inverse


def _random(
    outcome: Float[Array, "patient period"],
    arm: Int[Array, "patient period"],
    sequence: Int[Array, " patient"],
    sequences: int,
    arms: int,
    reference: int,
) -> _Random:
    """Return what is fitted; arguments are those of `subject_random`."""
    known = jnp.isfinite(outcome) & (arm >= 0)
    one = jnp.broadcast_to(sequence[:, None, None] == jnp.arange(sequences)[None, None], (*arm.shape, sequences))
    columns = jnp.concatenate([one.astype(float), _columns(arm, arms, reference)], 2)
    there = jnp.where(known[:, :, None], columns, 0.0)
    _, kernel, rank = pseudo_inverse(jnp.einsum("npi,npj->ij", there, there))
    return _Random(outcome, known, columns, kernel, known.sum() - rank)


def _least(function) -> Float[Array, ""]:
    """Return where a function of one number is least, by golden section."""
    low, high = (jnp.asarray(limit) for limit in _RANGE)

    def narrow(_, bracket):
        low, high = bracket
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        lower = function(left) < function(right)
        return jnp.where(lower, low, left), jnp.where(lower, right, high)

    low, high = jax.lax.fori_loop(0, _SECTIONS, narrow, (low, high))
    return 0.5 * (low + high)


class Contrasts(NamedTuple):
    """Differences within subjects, averaged over sequences, and the variances within subjects of both treatments."""

    difference: Float[Array, ""]
    """Test minus reference."""
    error: Float[Array, ""]
    df: Float[Array, ""]
    reference_variance: Float[Array, ""]
    reference_df: Float[Array, ""]
    test_variance: Float[Array, ""]
    test_df: Float[Array, ""]
    count: Int[Array, ""]
    """Subjects who have a contrast."""


def contrasts(
    outcome: Float[Array, "patient period"],
    arm: Int[Array, "patient period"],
    sequence: Int[Array, " patient"],
    *,
    sequences: int,
    test: int | Int[Array, ""],
    reference: int,
) -> Contrasts:
    """Return the intra-subject contrasts of a replicate crossover.

    Each subject's mean under test less that under reference, of subjects whose periods under both are all known; the
    variance of a treatment is half that of the difference of its first and last period, within sequences.

    Args:
        outcome: of each patient in each period, in log units; not a number where it is not known.
        arm: treatment given; -1 for none.
        sequence: number of each patient's sequence.
        sequences: how many there are.
        test: number of the test treatment.
        reference: number of the reference treatment.

    Source: FDA, draft guidance on progesterone capsules, 2011, and on warfarin sodium, 2012.
    """
    known = jnp.isfinite(outcome)
    tested, referred = known & (arm == test), known & (arm == reference)
    # As FDA's code has it: who lacks a period of either treatment has no contrast.
    whole = (known | ((arm != test) & (arm != reference))).all(1)
    mean = jnp.where(whole, _over(outcome, tested).mean - _over(outcome, referred).mean, jnp.nan)
    inside = sequence[:, None] == jnp.arange(sequences)[None]
    both = inside & jnp.isfinite(mean)[:, None]
    count = both.sum(0)
    centre = jnp.where(both, mean[:, None], 0.0).sum(0) / jnp.where(count > 0, count, 1)
    some = (count > 0).astype(outcome.dtype)
    variance, df = _pooled(mean, inside)
    groups = jnp.where(some.sum() > 0, some.sum(), jnp.nan)
    error = jnp.sqrt(variance * (some / jnp.maximum(count, 1)).sum()) / groups
    own, own_df = _pooled(_over(outcome, referred).change, inside)
    other, other_df = _pooled(_over(outcome, tested).change, inside)
    return Contrasts((centre * some).sum() / groups, error, df, 0.5 * own, own_df, 0.5 * other, other_df, both.sum())


class _Over(NamedTuple):
    mean: Float[Array, " patient"]
    change: Float[Array, " patient"]  # first less last; not a number with fewer than two


def _over(outcome: Float[Array, "patient period"], where: Bool[Array, "patient period"]) -> _Over:
    """Return each subject's mean over some periods, and the first of them less the last."""
    count = where.sum(1)
    mean = jnp.where(where, outcome, 0.0).sum(1) / jnp.where(count > 0, count, jnp.nan)
    first, last = jnp.argmax(where, axis=1), outcome.shape[1] - 1 - jnp.argmax(where[:, ::-1], axis=1)
    at = jnp.arange(outcome.shape[0])
    return _Over(mean, jnp.where(count > 1, outcome[at, first] - outcome[at, last], jnp.nan))


def _pooled(value: Float[Array, " patient"], inside: Bool[Array, "patient sequence"]):
    """Return the variance of a value within sequences, and its df."""
    member = inside & jnp.isfinite(value)[:, None]
    count = member.sum(0)
    mean = jnp.where(member, value[:, None], 0.0).sum(0) / jnp.maximum(count, 1)
    square = jnp.where(member, (value[:, None] - mean[None]) ** 2, 0.0).sum()
    df = (count.sum() - (count > 0).sum()).astype(value.dtype)
    return square / jnp.where(df > 0, df, jnp.nan), df
