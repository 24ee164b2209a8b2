"""Comparison of risks adjusted for covariates."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from vtrial._types import texts
from vtrial.design import Comparison, Seen
from vtrial.statistics import logistic
from vtrial.trial.analyses.base import ALIKE, UNCONVERGED, check_alpha, compared, usable
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis
from vtrial.trial.analyses.regressors import check_names, regressors, said


class Logistic(AbstractMeanAnalysis):
    """Difference of risks standardised to all patients, from a logistic model of arm and covariates.

    The effect is that on a population, as a trial without covariates estimates it, only more precisely; a conditional
    odds ratio would be of another. Sources: FDA guidance on covariate adjustment 2023; Ge et al. 2011,
    doi:10.1177/009286151104500409.
    """

    reference: str = eqx.field(static=True)
    adjust: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)
    """Names of covariates."""
    firth: bool = eqx.field(static=True, default=False)
    """Whether the model is penalised, so that it can be fitted even where a column separates the outcomes."""
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = True

    def __check_init__(self):
        """Refuse a level that is no probability, and a covariate named twice."""
        check_alpha(self.alpha)
        check_names(self.adjust)

    def covariates(self) -> tuple[str, ...]:
        """Return those it adjusts for."""
        return self.adjust

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare standardised risks; separation without penalty is a fit that did not converge."""
        member, code = usable(seen, arms, 2)
        member = member & (code == 0)[None]
        used = member.any(1)
        columns = regressors(seen, arms, self.adjust, used)
        outcome = jnp.where(used, seen.outcome, 0.0)
        fit = logistic.fit(columns, outcome, used, self.firth)
        given = jnp.broadcast_to(jnp.eye(arms, dtype=columns.dtype)[:, None], (arms, len(columns), arms))
        rest = jnp.broadcast_to(columns[None, :, arms:], (arms, len(columns), len(self.adjust)))
        found = logistic.standardise(fit, jnp.concatenate([given, rest], 2), member, outcome)
        square = jnp.diagonal(found.covariance)
        code = jnp.where((code == 0) & ~fit.converged, UNCONVERGED, code)
        code = jnp.where((code == UNCONVERGED) & (outcome.sum() % jnp.maximum(used.sum(), 1) == 0), ALIKE, code)
        difference = found.risk - found.risk[reference]
        spread = jnp.sqrt(square + square[reference] - 2 * found.covariance[reference])
        return compared(
            reference,
            count=member.sum(0),
            estimate=jnp.where(code == 0, found.risk, jnp.nan),
            error=jnp.where(code == 0, jnp.sqrt(square), jnp.nan),
            difference=difference,
            spread=spread,
            code=code,
            alpha=self.alpha,
        )

    def describe(self) -> str:
        """Say it."""
        kind = "penalised logistic" if self.firth else "logistic"
        return (
            f"difference of risks from {self.reference}{said(self.adjust)}, standardised from a {kind} model, "
            f"two-sided alpha {self.alpha:g}"
        )
