"""Bioequivalence of highly variable drugs and of drugs with a narrow therapeutic index, in replicate crossovers."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int

from vtrial.design import Comparison, Seen
from vtrial.errors import UserError
from vtrial.statistics.crossover import Contrasts, contrasts, subject_fixed, within_variance
from vtrial.statistics.equivalence import (
    FDA,
    NARROW,
    Scaling,
    scaled_criterion,
    sd_from_cv,
    tost,
    variance_ratio,
    widened,
)
from vtrial.statistics.stagewise import root
from vtrial.trial.analyses.base import check_alpha
from vtrial.trial.analyses.equivalence import Logs, check_limit, equivalent, logged
from vtrial.trial.analyses.estimated import AbstractEquivalenceAnalysis
from vtrial.trial.analyses.null import ScaledInequivalent

_WEAKEST, _STRONGEST = 0.4, 5.0
"""Greatest level at which the scaled criterion is looked at, and normal deviate of the least, 3e-7."""
_STEPS = 20
"""Steps to the level at which its bound is 0."""


class ExpandingLimits(AbstractEquivalenceAnalysis):
    """Average bioequivalence with limits that widen with the reference's variability (ABEL).

    Two one-sided t-tests as in `Equivalence`, and the estimated ratio must be inside the plain limits.

    Args:
        reference: name of the reference arm; patients are given it more than once.
        alpha: twice the level of each one-sided test.
        limit: plain limit, for a reference that is not highly variable, and of the estimated ratio.
        slope: logarithm of the widened limit, per SD within subjects under the reference.
        switch: coefficient of variation from which the limits widen.
        most: coefficient of variation from which they widen no more; 0.5 is EMA's, 0.57382 Health Canada's.

    Source: EMA CPMP/EWP/QWP/1401/98 Rev. 1, section 4.1.10.
    """

    reference: str = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.1)
    limit: float = eqx.field(static=True, default=1.25)
    slope: float = eqx.field(static=True, default=0.76)
    switch: float = eqx.field(static=True, default=0.3)
    most: float = eqx.field(static=True, default=0.5)
    layouts: ClassVar[tuple[str, ...]] = ("periods",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse numbers that make no sense."""
        check_alpha(self.alpha)
        check_limit(self.limit)
        if not 0 < self.switch <= self.most or self.slope <= 0:
            raise UserError(
                f"analysis needs slope > 0 and 0 < switch <= most; got {self.slope:g}, {self.switch:g}, {self.most:g}."
            )

    @property
    def _scaling(self) -> Scaling:
        return Scaling(self.slope, sd_from_cv(self.switch), sd_from_cv(self.most))

    @property
    def null(self) -> ScaledInequivalent:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A ratio at the limit that the reference's true variability widens."""
        return ScaledInequivalent(self._scaling, self.limit)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Test; the reference's variance is that of its own repeated measurements."""
        logs, code = logged(seen, arms)
        effects = subject_fixed(logs.value, logs.arm, arms=arms, reference=reference)
        variance, df = within_variance(logs.value, logs.arm, reference)
        wide = widened(jnp.sqrt(variance), self._scaling, self.limit)
        usable = (df > 0) & (effects.df > 0) & (effects.variance > 1e-12)
        found = effects.difference, effects.error, jnp.where(usable, effects.df, jnp.nan) + jnp.zeros(arms)
        near = jnp.abs(effects.difference) <= math.log(self.limit)
        p = jnp.where(near, tost(*found, wide), 1.0)
        return equivalent(logs, found, p, code, reference, self.alpha)

    def describe(self) -> str:
        """Say it."""
        return (
            f"log ratio of geometric means to {self.reference}, equivalent within {1 / self.limit:.4g} to "
            f"{self.limit:.4g}, wider by {self.slope:g} SD where CV is above {100 * self.switch:g} %, up to "
            f"{100 * self.most:g} %; {100 * (1 - self.alpha):g} % interval"
        )


class ReferenceScaled(AbstractEquivalenceAnalysis):
    """Bioequivalence scaled by the reference's variance (RSABE), by FDA's linearised criterion.

    Where the SD within subjects under the reference is 0.294 or more: the upper bound of the criterion is 0 or less and
    the estimated ratio inside the plain limits. Else two one-sided t-tests. Both from contrasts within subjects. The
    p-value of the criterion is twice the one-sided level at which its bound would be 0.

    Args:
        reference: name of the reference arm; patients are given it more than once.
        alpha: twice the one-sided level.
        limit: plain limit.

    Source: FDA, draft guidance on progesterone capsules, 2011.
    """

    reference: str = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.1)
    limit: float = eqx.field(static=True, default=1.25)
    layouts: ClassVar[tuple[str, ...]] = ("periods",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse numbers that make no sense."""
        check_alpha(self.alpha)
        check_limit(self.limit)

    @property
    def null(self) -> ScaledInequivalent:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A ratio at the limit that the criterion implies."""
        return ScaledInequivalent(FDA, self.limit)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Test; a reference given once to each patient leaves nothing to scale by (code 2)."""
        logs, code = logged(seen, arms)
        within = _each(logs, arms, reference)
        plain = math.log(self.limit)
        average = tost(within.difference, within.error, within.df, jnp.full(arms, plain))
        near = jnp.abs(within.difference) <= plain
        scaled = jnp.where(near, _criterion_p(within, FDA), 1.0)
        p = jnp.where(within.reference_variance >= FDA.switch**2, scaled, average)
        df = jnp.where((within.reference_df > 0) & (within.df > 0), within.df, jnp.nan)
        return equivalent(logs, (within.difference, within.error, df), p, code, reference, self.alpha, within.count)

    def describe(self) -> str:
        """Say it."""
        return (
            f"log ratio of geometric means to {self.reference}, bioequivalence scaled by its variance (FDA), one-"
            f"sided level {100 * self.alpha / 2:g} %"
        )


class NarrowIndex(AbstractEquivalenceAnalysis):
    """Bioequivalence of drugs with a narrow therapeutic index, by FDA's three tests, which must all be passed.

    The criterion scaled by the reference's variance, at 0.9 to 1.111 for an SD of 0.1; two one-sided t-tests with the
    plain limits; and the ratio of SDs within subjects, test to reference, below a limit. The p-value is the greatest of
    the three; that of the criterion is twice the one-sided level at which its bound would be 0.

    Args:
        reference: name of the reference arm; patients are given both arms more than once.
        alpha: twice the one-sided level.
        limit: plain limit.
        variability: greatest ratio of SDs.

    Source: FDA, draft guidance on warfarin sodium, 2012.
    """

    reference: str = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.1)
    limit: float = eqx.field(static=True, default=1.25)
    variability: float = eqx.field(static=True, default=2.5)
    layouts: ClassVar[tuple[str, ...]] = ("periods",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse numbers that make no sense."""
        check_alpha(self.alpha)
        check_limit(self.limit)
        if not self.variability > 1:
            raise UserError(f"analysis.variability is a ratio of SDs above 1, not {self.variability:g}.")

    @property
    def null(self) -> ScaledInequivalent:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A ratio at the narrower of the limit that the criterion implies and the plain one."""
        return ScaledInequivalent(NARROW, self.limit, self.limit)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Test; arms given once to each patient leave no variance to compare (code 2)."""
        logs, code = logged(seen, arms)
        within = _each(logs, arms, reference)
        average = tost(within.difference, within.error, within.df, jnp.full(arms, math.log(self.limit)))
        ratio = variance_ratio(
            within.test_variance, within.test_df, within.reference_variance, within.reference_df, self.variability
        )
        p = jnp.maximum(jnp.maximum(average, ratio), _criterion_p(within, NARROW))
        both = (within.reference_df > 0) & (within.test_df > 0) & (within.df > 0)
        df = jnp.where(both, within.df, jnp.nan)
        return equivalent(logs, (within.difference, within.error, df), p, code, reference, self.alpha, within.count)

    def describe(self) -> str:
        """Say it."""
        return (
            f"log ratio of geometric means to {self.reference}, bioequivalence for a narrow therapeutic index (FDA), "
            f"one-sided level {100 * self.alpha / 2:g} %"
        )


def _each(logs: Logs, arms: int, reference: int) -> Contrasts:
    """Return the contrasts of every arm with the reference, each entry [arm]."""
    sequence = _sequence(logs.arm, arms)

    def one(test: Int[Array, ""]) -> Contrasts:
        sequences = arms ** logs.arm.shape[1]
        return contrasts(logs.value, logs.arm, sequence, sequences=sequences, test=test, reference=reference)

    return jax.vmap(one)(jnp.arange(arms))


def _sequence(arm: Int[Array, "patient period"], arms: int) -> Int[Array, " patient"]:
    """Number the sequences: the arms read as digits."""
    place = arms ** jnp.arange(arm.shape[1])
    return (jnp.maximum(arm, 0) * place[None]).sum(1)


def _criterion_p(within: Contrasts, scaling: Scaling) -> Float[Array, " arm"]:
    """Return the p-value of the scaled criterion: the one-sided level at which its bound would just be 0.

    The bound falls with the level up to about one half. Where it is above 0 at 0.4 the p-value, which is no evidence
    then, is by the normal distribution through the bound, 0.4 or more.
    """

    def one(within: Contrasts, level: Float[Array, ""]) -> Float[Array, ""]:
        variance, df = within.reference_variance, within.reference_df
        found = scaled_criterion(within.difference, within.error, within.df, variance, df, scaling, level)
        return (found.estimate + found.half) / found.half

    def bound(z: Float[Array, " arm"]) -> Float[Array, " arm"]:
        return jax.vmap(one)(within, norm.sf(z))

    weakest = jnp.full_like(within.difference, -ndtri(_WEAKEST))
    strongest = jnp.full_like(weakest, _STRONGEST)
    least, most = bound(weakest), bound(strongest)
    z = jnp.where(most < 0, strongest, root(bound, weakest, strongest, _STEPS))
    weak = norm.sf((1 - least) * weakest)
    return jnp.where(least < 0, norm.sf(z), jnp.maximum(weak, _WEAKEST))
