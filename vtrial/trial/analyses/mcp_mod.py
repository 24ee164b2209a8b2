"""MCP-Mod: is there a dose-response at all, and what is it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vtrial.design import Comparison, Seen, judged
from vtrial.errors import UserError
from vtrial.statistics import contrast, dose_response, maximum, student
from vtrial.trial.analyses.base import ALIKE, FEW, AbstractArmsAnalysis, check_alpha, check_doses, usable
from vtrial.trial.analyses.dose_shape import AbstractDoseShape, guessed
from vtrial.trial.analyses.estimated import AbstractMeanAnalysis


class McpMod(AbstractMeanAnalysis, AbstractArmsAnalysis):
    """The greatest of optimal contrasts, one for each candidate shape, and the average of the fitted shapes.

    The p-value, adjusted for the number of candidates, is of no dose-response in the direction that is better: it is
    the same for all arms but the reference. Estimates are those of the fitted shapes, averaged by weights
    exp(-AIC / 2); their errors include the differences between shapes.
    Source: Bretz, Pinheiro and Branson 2005, doi:10.1111/j.1541-0420.2005.00344.x; errors: Buckland, Burnham and
    Augustin 1997, doi:10.2307/2533961.
    """

    reference: str = eqx.field(static=True)
    doses: Mapping[str, float] = eqx.field(static=True)
    """Dose of each arm of the design, in the same order and any unit."""
    candidates: Mapping[str, AbstractDoseShape]
    greater: bool = eqx.field(static=True, default=True)
    """Whether greater outcomes are better."""
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar[tuple[str, ...]] = ("value",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse doses and candidates that make no dose-response.

        Raises:
            UserError: there are too few doses, they do not go up from 0, or there is no candidate.
        """
        check_alpha(self.alpha)
        amounts = np.array(list(self.doses.values()), float)
        if len(amounts) < 3 or amounts[0] != 0 or (np.diff(amounts) <= 0).any():
            raise UserError(
                f"analysis.doses gives each arm's dose in the order of the design, three or more, going up from 0; got "
                f"{dict(self.doses)}."
            )
        if self.reference not in self.doses:
            raise UserError(f"analysis.reference is '{self.reference}', which is not in analysis.doses.")
        if not self.candidates:
            raise UserError("analysis.candidates is empty; MCP-Mod needs one shape or more.")

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def check_arms(self, names: Sequence[str]) -> None:
        """Check that there is a dose for each arm, in their order."""
        check_doses(self.doses, names)

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Test, fit and average."""
        member, code = usable(seen, arms, 1)
        count = member.sum(0)
        groups = self._groups(seen, member, count)
        spare = count.sum() - (count > 0).sum()
        code = jnp.where((code == 0) & (spare < 1), FEW, code)
        code = jnp.where((code == 0) & (groups.within <= 0), ALIKE, code)
        df = jnp.maximum(spare, 1).astype(float)
        level, error, effect, spread = self._average(groups, reference)
        p = jnp.minimum(1.0, 2 * self._one_sided(groups, df))
        half = student.quantile(self.alpha, df) * spread
        return judged(
            reference,
            count=count,
            estimate=jnp.where(code == 0, level, jnp.nan),
            error=jnp.where(code == 0, error, jnp.nan),
            difference=effect,
            spread=spread,
            lower=effect - half,
            upper=effect + half,
            p=jnp.full(arms, p),
            code=code,
        )

    def _groups(
        self, seen: Seen, member: Bool[Array, "patient arm"], count: Int[Array, " arm"]
    ) -> dose_response.Groups:
        value = jnp.where(member, seen.outcome[:, None], 0.0)
        mean = value.sum(0) / jnp.maximum(count, 1)
        within = jnp.where(member, (value - mean[None]) ** 2, 0.0).sum()
        return dose_response.Groups(jnp.asarray(list(self.doses.values())), mean, count.astype(float), within)

    def _one_sided(self, groups: dose_response.Groups, df: Float[Array, ""]) -> Float[Array, ""]:
        """Return the adjusted p of the greatest contrast."""
        shape = guessed(self.candidates, tuple(self.doses.values()), greater=self.greater)
        found = contrast.optimal(shape, jnp.diag(groups.count))
        rows = contrast.rows_of_groups(found, groups.count)
        # A contrast over its standard error; the groups' own sizes are in the rows.
        scaled = groups.mean * jnp.sqrt(groups.count)
        statistic = rows @ scaled / jnp.sqrt(groups.within / df)
        return maximum.tail(jnp.max(statistic), df, rows, maximum.directions(len(self.doses)))

    def _average(self, groups: dose_response.Groups, reference: int) -> tuple[Float[Array, " arm"], ...]:
        """Return level, its error, effect and its error, averaged over the candidates."""
        fitted = [_candidate(c.family(max(self.doses.values())), groups, reference) for c in self.candidates.values()]
        level, level_variance, effect, effect_variance, aic, good = (jnp.stack(x) for x in zip(*fitted, strict=True))
        weight = dose_response.weights(aic, good)[:, None]
        weight = jnp.where(good.any(), weight, jnp.nan)

        def mean(value, variance):
            centre = jnp.where(good[:, None], weight * value, 0.0).sum(0)
            apart = jnp.sqrt(jnp.maximum(variance, 0.0) + (value - centre[None]) ** 2)
            return jnp.where(good.any(), centre, jnp.nan), jnp.where(good[:, None], weight * apart, 0.0).sum(0)

        return *mean(level, level_variance), *mean(effect, effect_variance)

    def describe(self) -> str:
        """Say it."""
        return (
            f"MCP-Mod with the shapes {', '.join(self.candidates)} against {self.reference}, "
            f"{'greater' if self.greater else 'smaller'} being better, two-sided alpha {self.alpha:g}"
        )


def _candidate(
    family: dose_response.Family, groups: dose_response.Groups, reference: int
) -> tuple[Float[Array, " arm"], Float[Array, " arm"], Float[Array, " arm"], Float[Array, " arm"], Array, Array]:
    """Return a fitted family's level, its variance, effect and its variance at each dose; AIC; whether it is usable."""
    fit = dose_response.fit(family, groups)
    size = len(fit.coefficient)

    def level(p):
        return dose_response.curve(family, p[size:], p[:size], groups.dose)

    def effect(p):
        return level(p) - level(p)[reference]

    p = jnp.concatenate([fit.coefficient, fit.theta])
    covariance = dose_response.covariance(family, fit, groups)
    values = []
    for function in (level, effect):
        slope = jax.jacfwd(function)(p)
        values += [function(p), (slope @ covariance * slope).sum(1)]
    spare = groups.count.sum() - len(p)
    good = fit.determined & (spare > 0) & jnp.isfinite(fit.aic) & jnp.isfinite(values[1]).all()
    return *values, fit.aic, good
