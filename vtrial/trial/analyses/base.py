"""The analysis interface."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics import student
from vtrial.trial.analyses.null import AbstractNull, Alike

FEW, ALIKE, UNCONVERGED, INFINITE, SHORT = 1, 2, 3, 4, 5
"""Codes of a `Comparison`; `vtrial.schema.ANALYSIS_CODES` has them in words."""


class AbstractAnalysis(eqx.Module):
    """Compares the arms of one trial with a reference arm; traceable, mapped over thousands of trials."""

    reference: eqx.AbstractVar[str]
    """Name of the reference arm."""
    alpha: eqx.AbstractVar[float]
    """Two-sided significance level; intervals have confidence 1 - alpha."""
    layouts: eqx.AbstractClassVar[tuple[str, ...]]
    """Layouts of the primary endpoint it can read: "value", "visits", "event", or "periods" of a crossover."""
    binary: eqx.AbstractClassVar[bool]
    """Whether it is for endpoints that are 0 or 1, and for no others."""
    null: ClassVar[AbstractNull] = Alike()
    """What it rejects where it claims an arm."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Names of the endpoints it reads beside the primary; outcomes and tables then have a last axis for all of them,
    the primary first."""
    caveat: ClassVar[str] = ""
    """What must be known to read bias and coverage, in a sentence; "" for nothing."""

    @abstractmethod
    def covariates(self) -> tuple[str, ...]:
        """Return the names it reads from what is known before allocation."""

    @abstractmethod
    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Analyse what one trial has seen of its `arms` arms, the reference being arm number `reference`."""

    @abstractmethod
    def target(
        self, table: Float[Array, "subject arm *rest"], reference: int
    ) -> tuple[Float[Array, " arm"], Float[Array, " arm"]]:
        """Return what the analysis estimates: the level of each arm and its effect against the reference.

        Args:
            table: potential outcomes of many patients, each under every arm; not a number where unknown.
            reference: number of the reference arm.
        """

    @abstractmethod
    def unit(self, unit: str) -> str:
        """Return the unit of the effect, given the endpoint's; "" for one without."""

    @abstractmethod
    def describe(self) -> str:
        """Say the analysis in words."""


class AbstractArmsAnalysis(AbstractAnalysis):
    """An analysis that is made for certain arms: it has settings for each of them."""

    @abstractmethod
    def check_arms(self, names: Sequence[str]) -> None:
        """Check outside `jit` that its settings are for the arms of these names, in this order; raises `UserError`."""


def check_doses(doses: Mapping[str, float], names: Sequence[str]) -> None:
    """Check that there is a dose for each arm of the design, in their order.

    Raises:
        UserError: there is not.
    """
    if tuple(doses) != tuple(names):
        raise UserError(
            f"analysis.doses has doses of {', '.join(doses)}, but the arms of the design are {', '.join(names)}; give "
            "the dose of each arm, in their order."
        )


def check_alpha(alpha: float) -> None:
    """Refuse a significance level that is no probability.

    Raises:
        UserError: alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise UserError(f"analysis.alpha is a probability between 0 and 1, not {alpha}.")


def usable(seen: Seen, arms: int, least: int) -> tuple[Bool[Array, "patient arm"], Int[Array, " arm"]]:
    """Return who counts for which arm, and the code of each arm: too few known outcomes, or an infinite one."""
    member = seen.members(arms)
    given = seen.arm[:, None] == jnp.arange(arms)[None]
    infinite = (jnp.isinf(seen.outcome)[:, None] & given).any(0)
    code = jnp.where(infinite, INFINITE, jnp.where(member.sum(0) < least, FEW, 0))
    return member, code


def compared(
    reference: int,
    *,
    count: Int[Array, " arm"],
    estimate: Float[Array, " arm"],
    error: Float[Array, " arm"],
    difference: Float[Array, " arm"],
    spread: Float[Array, " arm"],
    code: Int[Array, " arm"],
    alpha: float,
    df: Float[Array, " arm"] | None = None,
    sign: float = 1.0,
) -> Comparison:
    """Return the comparison whose test and interval are of an effect over its standard error.

    Args:
        reference: as of `judged`; likewise the others.
        count: likewise.
        estimate: likewise.
        error: likewise.
        difference: likewise.
        spread: likewise.
        code: likewise.
        alpha: two-sided level.
        df: degrees of freedom of Student's t; left out, the effect is normal.
        sign: as of `judged`.
    """
    ratio = difference / spread
    half = spread * (norm.isf(alpha / 2) if df is None else student.quantile(alpha, df))
    return judged(
        reference,
        count=count,
        estimate=estimate,
        error=error,
        difference=difference,
        spread=spread,
        lower=difference - half,
        upper=difference + half,
        p=2 * norm.sf(jnp.abs(ratio)) if df is None else student.tail(ratio, df),
        code=code,
        sign=sign,
    )
