"""Average bioequivalence, in parallel groups or crossover."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from vtrial._types import texts
from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics.crossover import Effects, subject_fixed
from vtrial.statistics.equivalence import tost
from vtrial.statistics.student import quantile
from vtrial.trial.analyses.base import ALIKE, FEW, INFINITE, AbstractAnalysis, check_alpha
from vtrial.trial.analyses.estimated import Target, log_ratios
from vtrial.trial.analyses.null import AbstractNull, FirstInequivalent, Inequivalent

_NOTHING = 1e-12
"""A variance of logarithms below this is rounding."""


class Equivalence(AbstractAnalysis):
    """Two one-sided t-tests that the ratio of geometric means to the reference is inside limits (TOST).

    In a crossover by fixed effects of subject, period and treatment, to which a patient with one known period adds
    nothing (of two periods it is the analysis of complete pairs); in parallel groups by Welch's test. The null
    hypothesis is that the arms are not equivalent: `p` is twice the greater of the two one-sided p-values, so that
    p < alpha says that the 1 - alpha interval is inside the limits; `statistic` is positive where that is likely.
    Effects are log ratios. With further endpoints an arm is claimed only where each of them is equivalent, so that `p`
    is the greatest of all and no level is shared (intersection-union test); the rest is of the primary endpoint.

    Args:
        reference: name of the reference arm.
        alpha: twice the level of each one-sided test; 0.1 gives tests at 5 % and a 90 % interval.
        limit: greatest ratio that is equivalent; the least is its inverse.
        also: names of the endpoints that have to be equivalent beside the primary.

    Source: Schuirmann 1987, doi:10.1007/BF01068419; EMA CPMP/EWP/QWP/1401/98 Rev. 1; Berger and Hsu 1996,
    doi:10.1214/ss/1032280304.
    """

    reference: str = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.1)
    limit: float = eqx.field(static=True, default=1.25)
    also: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)
    layouts: ClassVar[tuple[str, ...]] = ("value", "periods")
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability, and limits without room."""
        check_alpha(self.alpha)
        check_limit(self.limit)

    @property
    def beside(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The further endpoints."""
        return self.also

    @property
    def null(self) -> AbstractNull:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A ratio at the limit; of several endpoints that of the primary, the others' being 1."""
        return FirstInequivalent(self.limit) if self.also else Inequivalent(self.limit)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Test; an arm needs two known outcomes of each endpoint, all of them positive."""
        if not self.also:
            return self._tested(seen, arms, reference)

        def of_one(outcome: Array, event: Array) -> Comparison:
            one = eqx.tree_at(lambda s: (s.outcome, s.event), seen, (outcome, event))
            return self._tested(one, arms, reference)

        return _all_of(jax.vmap(of_one, in_axes=-1)(seen.outcome, seen.event))

    def target(self, table: Float[Array, "subject arm *rest"], reference: int) -> Target:
        """Return true means of logarithms over patients and periods, and log ratios; of the primary endpoint."""
        return log_ratios(table[..., 0] if self.also else table, reference)

    def unit(self, unit: str) -> str:
        """Return none: a log ratio has none."""
        return ""

    def _tested(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Return the test of one endpoint."""
        logs, code = logged(seen, arms)
        found = _welch(logs, arms, reference) if seen.arm.ndim == 1 else _crossed(logs, arms, reference)
        limit = jnp.full(arms, math.log(self.limit))
        return equivalent(logs, found, tost(*found, limit), code, reference, self.alpha)

    def describe(self) -> str:
        """Say it."""
        together = f"; {', '.join(self.also)} too must be equivalent" if self.also else ""
        return (
            f"log ratio of geometric means to {self.reference}, equivalent within {1 / self.limit:.4g} to "
            f"{self.limit:.4g}, two one-sided tests, {100 * (1 - self.alpha):g} % interval{together}"
        )


def _all_of(each: Comparison) -> Comparison:
    """Return the comparison of the first endpoint with the test of all, of comparisons [endpoint arm]."""
    first, failed = jax.tree.map(lambda x: x[0], each), each.code != 0
    code = jnp.take_along_axis(each.code, jnp.argmax(failed, 0)[None], 0)[0]
    known = code == 0

    def shown(value: Float[Array, " arm"]) -> Float[Array, " arm"]:
        return jnp.where(known, value, jnp.nan)

    return Comparison(
        count=first.count,
        estimate=first.estimate,
        error=first.error,
        difference=shown(first.difference),
        lower=shown(first.lower),
        upper=shown(first.upper),
        p=shown(each.p.max(0)),
        statistic=shown(each.statistic.min(0)),
        information=shown(first.information),
        code=code,
    )


class Logs(eqx.Module):
    """Logarithms of outcomes [patient period]; of one period if the trial has no several."""

    value: Float[Array, "patient period"]
    """Not a number where it is not known."""
    arm: Int[Array, "patient period"]
    given: Bool[Array, "patient period arm"]
    """Which known values are of which arm, of patients who count."""


def check_limit(limit: float) -> None:
    """Refuse an equivalence limit that leaves no room.

    Raises:
        UserError: it is not above 1.
    """
    if not (limit > 1 and math.isfinite(limit)):
        raise UserError(f"analysis.limit is the greatest ratio that is equivalent, above 1 as 1.25 is; not {limit:g}.")


def logged(seen: Seen, arms: int) -> tuple[Logs, Int[Array, " arm"]]:
    """Return logarithms of the outcomes, and the code of each arm; an outcome of 0 or less has no finite one.

    In a crossover a patient counts for an arm with a known outcome under it and another one in another period: who has
    one alone says nothing of differences within patients.
    """
    outcome = seen.outcome if seen.outcome.ndim == 2 else seen.outcome[:, None]
    arm = seen.arm if seen.arm.ndim == 2 else seen.arm[:, None]
    given = arm[:, :, None] == jnp.arange(arms)[None, None]
    bad = (outcome <= 0) | jnp.isinf(outcome)
    value = jnp.where(bad | jnp.isnan(outcome), jnp.nan, jnp.log(jnp.where(outcome > 0, outcome, 1.0)))
    known = given & jnp.isfinite(value)[:, :, None]
    if seen.arm.ndim == 2:
        known &= (known.any(2).sum(1) > 1)[:, None, None]
    code = jnp.where((bad[:, :, None] & given).any((0, 1)), INFINITE, jnp.where(known.sum((0, 1)) < 2, FEW, 0))
    return Logs(value, arm, known), code


type Found = tuple[Float[Array, " arm"], Float[Array, " arm"], Float[Array, " arm"]]
"""Log ratio, its standard error, its degrees of freedom."""


def _moments(logs: Logs) -> Found:
    """Return number, mean and variance of the logarithms of each arm."""
    count = logs.given.sum((0, 1)).astype(float)
    value = jnp.where(logs.given, logs.value[:, :, None], 0.0)
    mean = value.sum((0, 1)) / jnp.where(count > 0, count, jnp.nan)
    square = jnp.where(logs.given, (value - mean[None, None]) ** 2, 0.0).sum((0, 1))
    return count, mean, square / jnp.where(count > 1, count - 1, jnp.nan)


def _welch(logs: Logs, arms: int, reference: int) -> Found:
    """Return differences of means with Satterthwaite's degrees of freedom."""
    count, mean, variance = _moments(logs)
    square = variance / count
    both = square + square[reference]
    df = both**2 / (square**2 / (count - 1) + square[reference] ** 2 / (count[reference] - 1))
    return mean - mean[reference], jnp.sqrt(both), df


def _crossed(logs: Logs, arms: int, reference: int) -> Found:
    """Return effects within subjects."""
    found: Effects = subject_fixed(logs.value, logs.arm, arms=arms, reference=reference)
    df = jnp.where((found.df > 0) & (found.variance > _NOTHING), found.df, jnp.nan)
    return found.difference, found.error, jnp.broadcast_to(df, (arms,))


def equivalent(
    logs: Logs,
    found: Found,
    p: Float[Array, " arm"],
    code: Int[Array, " arm"],
    reference: int,
    alpha: float,
    patients: Int[Array, " arm"] | None = None,
) -> Comparison:
    """Return the comparison of a test of equivalence.

    Args:
        logs: the outcomes.
        found: log ratio, standard error, degrees of freedom of each arm.
        p: one-sided p-value of not being equivalent.
        code: of each arm so far.
        reference: number of the reference arm.
        alpha: twice the one-sided level.
        patients: that count; left out, all who have a known outcome of those that count.
    """
    difference, error, df = found
    other = jnp.arange(len(code)) != reference
    unknown = ~(jnp.isfinite(difference) & jnp.isfinite(df) & (error > 0))
    code = jnp.where((code == 0) & other & unknown, ALIKE, code)
    half = quantile(alpha, df) * error
    count, mean, variance = _moments(logs)
    comparison = judged(
        reference,
        count=logs.given.any(1).sum(0) if patients is None else patients,
        estimate=mean,
        error=jnp.sqrt(variance / count),
        difference=difference,
        spread=error,
        lower=difference - half,
        upper=difference + half,
        p=jnp.minimum(2 * p, 1.0),
        code=code,
    )
    statistic = jnp.where(comparison.code != 0, jnp.nan, jnp.where(other, -ndtri(jnp.clip(p, 1e-300, 1 - 1e-15)), 0.0))
    return eqx.tree_at(lambda c: c.statistic, comparison, statistic)
