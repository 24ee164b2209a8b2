"""Comparison of means adjusted for covariates."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from vtrial._types import texts
from vtrial.design import Comparison, Seen
from vtrial.statistics.regression import least_squares
from vtrial.trial.analyses.base import ALIKE, FEW, check_alpha, compared, usable
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis
from vtrial.trial.analyses.regressors import check_names, regressors, said

_ROUNDING = 1e-13
"""Share of the sum of squares that is left by rounding if the columns explain everything."""


class Ancova(AbstractMeanAnalysis):
    """Analysis of covariance: adjusted means, one slope for each covariate, errors that hold for unequal variances.

    Covariates are baseline values, or a prognostic score (PROCOVA). Source of the errors: HC3 of MacKinnon and White
    1985, doi:10.1016/0304-4076(85)90158-7; that adjustment is safe even where the model is wrong: Lin 2013,
    doi:10.1214/12-AOAS583.
    """

    reference: str = eqx.field(static=True)
    adjust: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)
    """Names of covariates."""
    robust: bool = eqx.field(static=True, default=True)
    """Whether errors hold for unequal variances; else all arms have one."""
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability, and a covariate named twice."""
        check_alpha(self.alpha)
        check_names(self.adjust)

    def covariates(self) -> tuple[str, ...]:
        """Return those it adjusts for."""
        return self.adjust

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare adjusted means; an arm needs two known outcomes, and the trial more than it has columns."""
        member, code = usable(seen, arms, 2)
        # An arm that cannot be analysed does not spoil the others.
        used = (member & (code == 0)[None]).any(1)
        fit = least_squares(regressors(seen, arms, self.adjust, used), jnp.where(used, seen.outcome, 0.0), used)
        code = jnp.where((code == 0) & (fit.df <= 0), FEW, code)
        code = jnp.where((code == 0) & (1 - fit.explained < _ROUNDING), ALIKE, code)
        covariance = (fit.robust if self.robust else fit.covariance)[:arms, :arms]
        level = jnp.where(code == 0, fit.coefficient[:arms], jnp.nan)
        square = jnp.diagonal(covariance)
        difference = level - level[reference]
        spread = jnp.sqrt(square + square[reference] - 2 * covariance[reference])
        df = jnp.broadcast_to(fit.df, level.shape)
        return compared(
            reference,
            count=member.sum(0),
            estimate=level,
            error=jnp.sqrt(square),
            difference=difference,
            spread=spread,
            code=code,
            alpha=self.alpha,
            df=df,
        )

    def describe(self) -> str:
        """Say it."""
        errors = "heteroscedasticity-consistent" if self.robust else "model-based"
        return (
            f"difference of means from {self.reference}{said(self.adjust)}, analysis of covariance, {errors} errors, "
            f"two-sided alpha {self.alpha:g}"
        )
