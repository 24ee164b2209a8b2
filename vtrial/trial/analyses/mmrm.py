"""Comparison at the last visit by the mixed model for repeated measures."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from vtrial._types import texts
from vtrial.design import Comparison, Seen
from vtrial.statistics import mmrm
from vtrial.statistics.reml import satterthwaite
from vtrial.trial.analyses.base import ALIKE, FEW, UNCONVERGED, check_alpha, compared
from vtrial.trial.analyses.estimated import AbstractLastVisitAnalysis
from vtrial.trial.analyses.regressors import alike, check_names, regressors, said, visited


class Mmrm(AbstractLastVisitAnalysis):
    """Difference of adjusted means at the last visit; visits that are missing are missing at random.

    Arm and covariates have an effect of their own at every visit, the visits any covariance; restricted maximum
    likelihood, Satterthwaite's degrees of freedom. Source: Mallinckrodt et al. 2001, doi:10.1081/BIP-100104194.
    """

    reference: str = eqx.field(static=True)
    adjust: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)
    """Names of covariates."""
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("visits",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability, and a covariate named twice."""
        check_alpha(self.alpha)
        check_names(self.adjust)

    def covariates(self) -> tuple[str, ...]:
        """Return those it adjusts for."""
        return self.adjust

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare means at the last visit; an arm needs two patients there."""
        known, count, code = visited(seen, arms)
        used = (jnp.where(code == 0, 1, 0)[jnp.maximum(seen.arm, 0)] == 1) & known.any(1)
        known = known & used[:, None]
        columns = regressors(seen, arms, self.adjust, used)
        fit = mmrm.fit(mmrm.crossed(columns, seen.outcome, known, used.astype(columns.dtype)))
        first = (known.shape[1] - 1) * columns.shape[1]
        at = jnp.arange(len(fit.coefficient))[None] == first + jnp.arange(arms)[:, None]
        mean = at.astype(columns.dtype)
        difference, spread, df = jax.vmap(lambda contrast: satterthwaite(fit, contrast))(mean - mean[reference][None])
        level, error, _ = jax.vmap(lambda contrast: satterthwaite(fit, contrast))(mean)
        code = jnp.where((code == 0) & ~(at & fit.estimable[None]).any(1), FEW, code)
        code = jnp.where((code == 0) & alike(seen.outcome[:, -1], known[:, -1]), ALIKE, code)
        code = jnp.where((code == 0) & ~fit.converged, UNCONVERGED, code)
        return compared(
            reference,
            count=count,
            estimate=jnp.where(code == 0, level, jnp.nan),
            error=jnp.where(code == 0, error, jnp.nan),
            difference=difference,
            spread=spread,
            code=code,
            alpha=self.alpha,
            df=df,
        )

    def describe(self) -> str:
        """Say it."""
        return (
            f"difference of means from {self.reference} at the last visit{said(self.adjust)}, mixed model for repeated "
            f"measures with unstructured covariance, two-sided alpha {self.alpha:g}"
        )
