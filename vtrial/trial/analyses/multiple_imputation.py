"""Comparison at the last visit after multiple imputation."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial._types import texts
from vtrial.design import Comparison, Seen
from vtrial.errors import UserError
from vtrial.statistics import imputation, mmrm
from vtrial.statistics.regression import least_squares
from vtrial.statistics.strategy import AbstractStrategy, MissingAtRandom
from vtrial.trial.analyses.base import ALIKE, FEW, UNCONVERGED, check_alpha, compared
from vtrial.trial.analyses.estimated import AbstractLastVisitAnalysis
from vtrial.trial.analyses.regressors import alike, check_names, regressors, said, visited


class MultipleImputation(AbstractLastVisitAnalysis):
    """Missing visits imputed several times, the last visit compared by covariance analysis, combined by Rubin's rules.

    Patients with no known visit are left out. A shift adds to what is imputed outside the reference arm, to see how
    far the assumption may be wrong.
    """

    reference: str = eqx.field(static=True)
    adjust: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)
    """Names of covariates."""
    strategy: AbstractStrategy = eqx.field(default_factory=MissingAtRandom)
    number: int = eqx.field(static=True, default=20)
    """Imputed data sets."""
    shift: float = eqx.field(static=True, default=0.0)
    """Added to imputed outcomes outside the reference arm, in the endpoint's unit."""
    seed: int = eqx.field(static=True, default=0)
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("visits",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability, a covariate named twice, and a single imputation.

        Raises:
            UserError: there are fewer than two imputations.
        """
        check_alpha(self.alpha)
        check_names(self.adjust)
        if self.number < 2:
            raise UserError(f"analysis.number, of imputed data sets, is 2 or more, not {self.number}.")

    def covariates(self) -> tuple[str, ...]:
        """Return those it adjusts for."""
        return self.adjust

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare means at the last visit; an arm needs two patients there."""
        known, count, code = visited(seen, arms)
        used = (code == 0)[jnp.maximum(seen.arm, 0)] & known.any(1)
        known = known & used[:, None]
        columns = regressors(seen, arms, self.adjust, used)
        patients = as_reference(seen, columns, known, arms, reference)
        groups = mmrm.crossed(columns, seen.outcome, known, used.astype(columns.dtype))
        fit = mmrm.fit(groups)
        filled = imputation.impute(self._key(seen, known), fit, groups, patients, self.strategy, self.number)
        shifted = self.shift * (seen.arm != reference)[:, None] * ~known
        last = (filled + shifted[None])[:, :, -1]
        fits = jax.vmap(lambda outcome: least_squares(columns, jnp.where(used, outcome, 0.0), used))(last)
        code = jnp.where((code == 0) & (fits.df[0] <= 0), FEW, code)
        code = jnp.where((code == 0) & alike(seen.outcome[:, -1], known[:, -1]), ALIKE, code)
        code = jnp.where((code == 0) & ~fit.converged, UNCONVERGED, code)
        level, square = fits.coefficient[:, :arms], jnp.diagonal(fits.covariance, axis1=1, axis2=2)[:, :arms]
        both = square + square[:, reference][:, None] - 2 * fits.covariance[:, reference, :arms]
        pool = jax.vmap(imputation.pool, (1, 1, None))
        own = pool(level, square, fits.df[0])
        found = pool(level - level[:, reference][:, None], both, fits.df[0])
        spread = jnp.sqrt(found.variance)
        return compared(
            reference,
            count=count,
            estimate=jnp.where(code == 0, own.estimate, jnp.nan),
            error=jnp.where(code == 0, jnp.sqrt(own.variance), jnp.nan),
            difference=found.estimate,
            spread=spread,
            code=code,
            alpha=self.alpha,
            df=found.df,
        )

    def _key(self, seen: Seen, known: Array) -> Key[Array, ""]:
        """Return a key of the data's own: the same data give the same answer, other data other noise."""
        total = jnp.where(known, seen.outcome, 0.0).sum().astype(jnp.float32)
        return jax.random.fold_in(jax.random.key(self.seed), jax.lax.bitcast_convert_type(total, jnp.uint32))

    def describe(self) -> str:
        """Say it."""
        shift = f", shifted by {self.shift:g}" if self.shift else ""
        return (
            f"difference of means from {self.reference} at the last visit{said(self.adjust)}, {self.number} "
            f"imputations, {self.strategy.describe()}{shift}, two-sided alpha {self.alpha:g}"
        )


def as_reference(
    seen: Seen, columns: Float[Array, "patient column"], known: Array, arms: int, reference: int
) -> imputation.Patients:
    """Return patients to impute, with their columns had they been given the reference."""
    indicator = jnp.broadcast_to((jnp.arange(arms) == reference)[None], (len(columns), arms)).astype(columns.dtype)
    other = jnp.concatenate([indicator, columns[:, arms:]], axis=1)
    return imputation.Patients(columns, other, jnp.where(known, seen.outcome, 0.0), known)
