"""Concentration-QTc: whether a prolongation of the QT interval is excluded at the concentrations of an arm."""

import math
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics import exposure_response, student
from vtrial.statistics.exposure_response import Effect, Mixed
from vtrial.trial.analyses.base import ALIKE, FEW, INFINITE, UNCONVERGED, AbstractAnalysis, check_alpha
from vtrial.trial.analyses.null import AbstractNull
from vtrial.trial.analyses.regressors import alike

_TREATMENT, _SLOPE = 1, 2
"""Numbers of the fixed effects of being treated and of concentration."""


class ConcentrationQtc(AbstractAnalysis):
    """The prespecified linear mixed model of the white paper: change of QTc from baseline against concentration.

    The change of QTc from the first visit, which is before the dose, is a line in concentration with a random intercept
    and a random slope of each patient, beside fixed effects of treatment, visit and baseline; all arms are fitted
    together, and the reference is placebo. An arm's effect is treatment plus slope times the concentration of interest:
    the placebo-corrected change. `p` is twice the one-sided p-value of an effect of at least `limit`, so that p < alpha
    says that the upper limit is below it; `statistic` is positive where that is likely. Limits are by Satterthwaite's
    degrees of freedom, and take the concentration of interest as known.

    The true effect is that at the visit at which the arm's mean concentration is highest, in proportion to it.

    Args:
        reference: name of the placebo arm.
        exposure: name of the endpoint with the concentrations, at the visits of the primary endpoint.
        alpha: twice the one-sided level; 0.1 gives an upper limit of 95 %.
        limit: effect to be excluded, in the primary endpoint's unit.
        concentration: of interest, in the unit of the exposure; left out, the geometric mean of the highest one of each
            patient of the arm.

    Source: Garnett et al. 2018, doi:10.1007/s10928-017-9558-5; ICH E14, questions and answers (R3), 5.1.
    """

    reference: str = eqx.field(static=True)
    exposure: str = eqx.field(static=True, default="concentration")
    alpha: float = eqx.field(static=True, default=0.1)
    limit: float = eqx.field(static=True, default=10.0)
    concentration: float | None = eqx.field(static=True, default=None)
    layouts: ClassVar[tuple[str, ...]] = ("visits",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability, and what is no effect or concentration."""
        check_alpha(self.alpha)
        if not math.isfinite(self.limit):
            raise UserError(f"analysis.limit is the effect to be excluded, a number such as 10; not {self.limit}.")
        if self.concentration is not None and not (self.concentration > 0 and math.isfinite(self.concentration)):
            raise UserError(
                f"analysis.concentration is {self.concentration}; the concentration of interest is above 0. Left out, "
                "it is the geometric mean of each arm's highest one."
            )

    @property
    def beside(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The concentrations."""
        return (self.exposure,)

    @property
    def null(self) -> AbstractNull:  # pyright: ignore[reportIncompatibleVariableOverride]
        """An effect of the limit at the concentration of interest, the greatest if arms have their own."""
        return Prolonging(self.limit, self.concentration)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Fit one model to all arms that can be analysed; an arm needs two patients with a change from baseline."""
        given = _given(seen, arms, reference)
        fitted = exposure_response.fit(_rows(seen, given, reference))
        counts = given.counts & (seen.arm[:, None] == jnp.arange(arms)[None])
        interest, positive = _interest(self.concentration, given.peak[:, None], counts)
        code = jnp.where((given.code == 0) & ~positive & (jnp.arange(arms) != reference), INFINITE, given.code)
        code = _judged_fit(code, fitted, given.constant)
        found: Effect = jax.vmap(lambda at: exposure_response.effect(fitted, at, treatment=_TREATMENT, slope=_SLOPE))(
            interest
        )
        return self._compared(found, code, given.count, reference)

    def _compared(
        self, found: Effect, code: Int[Array, " arm"], count: Int[Array, " arm"], reference: int
    ) -> Comparison:
        """Return the comparison with the limit."""
        other = jnp.arange(len(code)) != reference
        effect = jnp.where(other, found.estimate, 0.0)
        error = jnp.where(other, found.error, 0.0)
        p = student.upper_tail((self.limit - effect) / found.error, found.df)
        half = student.quantile(self.alpha, found.df) * found.error
        comparison = judged(
            reference,
            count=count,
            estimate=jnp.where(code == 0, effect, jnp.nan),
            error=jnp.where(code == 0, error, jnp.nan),
            difference=effect,
            spread=found.error,
            lower=effect - half,
            upper=effect + half,
            p=jnp.minimum(2 * p, 1.0),
            code=code,
        )
        likely = -ndtri(jnp.clip(p, 1e-300, 1 - 1e-15))
        statistic = jnp.where(comparison.code != 0, jnp.nan, jnp.where(other, likely, 0.0))
        return eqx.tree_at(lambda c: c.statistic, comparison, statistic)

    def target(
        self, table: Float[Array, "subject arm visit pair"], reference: int
    ) -> tuple[Float[Array, " arm"], Float[Array, " arm"]]:
        """Return the true effect at the concentration of interest, twice: it is the level too, 0 of the reference."""
        change = table[:, :, 1:, 0] - table[:, :, :1, 0]
        concentration = table[:, :, 1:, 1]
        mean = jnp.nanmean(concentration, axis=0)
        top = jnp.argmax(jnp.where(jnp.isnan(mean), -jnp.inf, mean), axis=1)[:, None]
        highest = jnp.take_along_axis(mean, top, axis=1)[:, 0]
        corrected = jnp.nanmean(change - change[:, reference][:, None], axis=0)
        at_top = jnp.take_along_axis(corrected, top, axis=1)[:, 0]
        peak = jnp.max(concentration, axis=2)
        interest, _ = _interest(self.concentration, peak, jnp.isfinite(peak) & (peak > 0))
        effect = jnp.where(jnp.arange(table.shape[1]) == reference, 0.0, at_top / highest * interest)
        return effect, effect

    def unit(self, unit: str) -> str:
        """Return the endpoint's."""
        return unit

    def describe(self) -> str:
        """Say it."""
        at = "the geometric mean of their highest concentrations" if self.concentration is None else None
        at = at or f"concentration {self.concentration:g}"
        return (
            f"change from baseline against {self.exposure}, linear mixed model with random intercept and slope; effect "
            f"against {self.reference} at {at}, excluded if its upper {100 * (1 - self.alpha / 2):g} % limit is below "
            f"{self.limit:g}"
        )


class Prolonging(AbstractNull):
    """The drug prolongs QTc in proportion to concentration, by the limit at the concentration of interest.

    If each arm has one of its own, it is that of the arm of greatest concentration: the others' effects are then below
    the limit, and to claim them is no error.

    Args:
        limit: the effect to be excluded.
        concentration: of interest; left out, the geometric mean of the highest one of each patient.
    """

    limit: float = eqx.field(static=True)
    concentration: float | None = eqx.field(static=True)

    def edge(
        self, table: Float[Array, "subject arm visit pair"], reference: int
    ) -> Float[Array, "subject arm visit pair"]:
        """Return the reference's QTc and what the arm's own concentrations add to it."""
        concentration = table[:, :, 1:, 1]
        peak = jnp.max(concentration, axis=2)
        interest, _ = _interest(self.concentration, peak, jnp.isfinite(peak) & (peak > 0))
        other = jnp.arange(table.shape[1]) != reference
        slope = jnp.where(other, self.limit / jnp.max(jnp.where(other, interest, 0.0)), 0.0)
        own = jnp.broadcast_to(table[:, reference, :, 0][:, None], table.shape[:3])
        return table.at[..., 0].set(own.at[:, :, 1:].add(slope[None, :, None] * concentration))

    def errs(self, effect: Float[np.ndarray, "replicate arm"]) -> Bool[np.ndarray, "replicate arm"]:
        """Return true of the arm of greatest effect, or of all where they share the concentration of interest."""
        return np.full(effect.shape, self.concentration is not None) | (effect >= np.nanmax(effect, 1, keepdims=True))

    def benefit(self, statistic: Float[Array, " arm"], sign: float) -> Float[Array, " arm"]:
        """Return it as it is: that an effect is excluded is good, whichever way QTc should go."""
        return jnp.asarray(statistic)


def _interest(
    concentration: float | None, peak: Float[Array, "patient _"], counts: Bool[Array, "patient arm"]
) -> tuple[Float[Array, " arm"], Bool[Array, " arm"]]:
    """Return the concentration of interest of each arm, and whether it is one."""
    if concentration is not None:
        return jnp.full(counts.shape[1], concentration), jnp.ones(counts.shape[1], bool)
    logarithm = jnp.where(counts & (peak > 0), jnp.log(jnp.where(peak > 0, peak, 1.0)), 0.0)
    return jnp.exp(logarithm.sum(0) / jnp.maximum(counts.sum(0), 1)), ~(counts & (peak <= 0)).any(0)


class _Given(NamedTuple):
    """What a trial has of each patient."""

    change: Float[Array, "patient visit"]
    """From the first visit, of the others."""
    known: Bool[Array, "patient visit"]
    concentration: Float[Array, "patient visit"]
    """0 under the reference."""
    peak: Float[Array, " patient"]
    counts: Bool[Array, " patient 1"]
    """Who is analysed."""
    count: Int[Array, " arm"]
    code: Int[Array, " arm"]
    constant: Bool[Array, ""]


def _given(seen: Seen, arms: int, reference: int) -> _Given:
    """Return changes and concentrations; an infinite one spoils its arm and no other."""
    qtc, placebo = seen.outcome[:, :, 0], (seen.arm == reference)[:, None]
    concentration = jnp.where(placebo, 0.0, seen.outcome[:, 1:, 1])
    change = qtc[:, 1:] - qtc[:, :1]
    own = seen.arm[:, None] == jnp.arange(arms)[None]
    infinite = jnp.isinf(qtc).any(1) | jnp.isinf(concentration).any(1)
    known = jnp.isfinite(change) & jnp.isfinite(concentration) & (seen.arm >= 0)[:, None]
    count = (own & known.any(1)[:, None]).sum(0)
    code = jnp.where((own & infinite[:, None]).any(0), INFINITE, jnp.where(count < 2, FEW, 0))
    used = (own & (code == 0)[None]).any(1)
    known = known & used[:, None]
    peak = jnp.where(known, concentration, -jnp.inf).max(1)
    constant = alike(change.reshape(-1), known.reshape(-1))
    return _Given(change, known, concentration, peak, known.any(1)[:, None], count, code, constant)


def _rows(seen: Seen, given: _Given, reference: int) -> exposure_response.Rows:
    """Return the rows of the model: 1, treated, concentration, visits against the first, baseline about its mean."""
    shape = given.change.shape
    baseline, counts = seen.outcome[:, 0, 0], given.counts[:, 0]
    mean = jnp.where(counts, baseline, 0.0).sum() / jnp.maximum(counts.sum(), 1)
    visit = jnp.broadcast_to(jnp.eye(shape[1])[None, :, 1:], (*shape, shape[1] - 1))
    concentration = jnp.where(given.known, given.concentration, 0.0)
    columns = [
        jnp.ones(shape),
        jnp.broadcast_to((seen.arm != reference)[:, None], shape).astype(float),
        concentration,
        *jnp.moveaxis(visit, -1, 0),
        jnp.broadcast_to(jnp.where(counts, baseline - mean, 0.0)[:, None], shape),
    ]
    random = jnp.stack([jnp.ones(shape), concentration], -1)
    return exposure_response.Rows(given.change, jnp.stack(columns, -1), random, given.known)


def _judged_fit(code: Int[Array, " arm"], fitted: Mixed, constant: Bool[Array, ""]) -> Int[Array, " arm"]:
    """Return the codes with what the fit could not do."""
    estimable = fitted.restricted.estimable
    code = jnp.where((code == 0) & constant, ALIKE, code)
    code = jnp.where((code == 0) & ~(estimable[_TREATMENT] & estimable[_SLOPE]), FEW, code)
    return jnp.where((code == 0) & ~fitted.converged, UNCONVERGED, code)
