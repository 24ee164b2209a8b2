"""What analyses estimate: means, means at the last visit, hazard ratios, ratios of geometric means."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.statistics.cox import cox
from vtrial.trial.analyses.base import AbstractAnalysis

type Target = tuple[Float[Array, " arm"], Float[Array, " arm"]]
"""The level of each arm, and its effect against the reference."""


class AbstractMeanAnalysis(AbstractAnalysis):
    """Analyses of means and shares: adjustment, in a linear model, changes neither."""

    def target(self, table: Float[Array, "subject arm"], reference: int) -> Target:
        """Return true means, or shares, and their differences."""
        return _means(table, reference)

    def unit(self, unit: str) -> str:
        """Return the endpoint's."""
        return unit


class AbstractLastVisitAnalysis(AbstractAnalysis):
    """Analyses of the mean at the last visit: of what the table says happened."""

    def target(self, table: Float[Array, "subject arm visit"], reference: int) -> Target:
        """Return true means at the last visit and their differences."""
        return _means(table[..., -1], reference)

    def unit(self, unit: str) -> str:
        """Return the endpoint's."""
        return unit


class AbstractHazardAnalysis(AbstractAnalysis):
    """Analyses of hazard ratios; the level of an arm is its time at risk for each event.

    Every patient is followed to the last event of any arm. Where hazards are not proportional the ratio is what Cox's
    regression tends to with this follow-up; it is that of the population, whatever covariates the analysis adjusts for.
    """

    caveat: ClassVar[str] = (
        "The true effect is the marginal log hazard ratio over the whole follow-up of the endpoint. Bias and coverage "
        "are judged by the one over the follow-up that the trial had when it ended; what the analysis differs from it "
        "by adjustment or strata (hazard ratios do not collapse), or by losses, counts as bias and against coverage."
    )

    def target(self, table: Float[Array, "subject arm"], reference: int) -> Target:
        """Return true times at risk for each event, and true log hazard ratios."""
        return self.followed(table, jnp.full(table.shape[0], jnp.inf), reference)

    def followed(self, table: Float[Array, "subject arm"], until: Float[Array, " subject"], reference: int) -> Target:
        """Return the same of patients each of whom is followed until a time of his own, under every arm."""
        end = jnp.max(jnp.where(jnp.isfinite(table), table, 0.0))
        limit = jnp.minimum(until, end)[:, None]
        known, event = ~jnp.isnan(table), jnp.isfinite(table) & (table <= limit)
        time = jnp.minimum(table, limit)
        total = jnp.where(known, time, 0.0).sum(0)
        level = jnp.where(known.any(0), total / jnp.maximum(event.sum(0), 1), jnp.nan)
        other = jnp.concatenate([jnp.ones(table.shape[0]), jnp.zeros(table.shape[0])])[:, None]

        def ratio(mine, happened, mine_known):
            pairs = ((mine, time[:, reference]), (happened, event[:, reference]), (mine_known, known[:, reference]))
            both = [jnp.concatenate(pair) for pair in pairs]
            fit = cox(both[0], both[1], other, both[2])
            return jnp.where(fit.converged, fit.coefficient[0], jnp.nan)

        effect = jax.vmap(ratio, in_axes=1)(time, event, known)
        return level, jnp.where(jnp.arange(table.shape[1]) == reference, 0.0, effect)

    def unit(self, unit: str) -> str:
        """Return none: a log hazard ratio has none."""
        return ""


class AbstractEquivalenceAnalysis(AbstractAnalysis):
    """Analyses of equivalence, of ratios of geometric means of one endpoint."""

    def target(self, table: Float[Array, "subject arm *period"], reference: int) -> Target:
        """Return true means of logarithms over patients and periods, and log ratios."""
        return log_ratios(table, reference)

    def unit(self, unit: str) -> str:
        """Return none: a log ratio has none."""
        return ""


def log_ratios(table: Float[Array, "subject arm *period"], reference: int) -> Target:
    """Return true means of logarithms over patients and periods, and log ratios; of positive outcomes."""
    logs = jnp.where((table > 0) & jnp.isfinite(table), jnp.log(jnp.where(table > 0, table, 1.0)), jnp.nan)
    level = jnp.nanmean(jnp.moveaxis(logs, 1, 0).reshape(table.shape[1], -1), axis=1)
    return level, level - level[reference]


def _means(table: Float[Array, "subject arm"], reference: int) -> Target:
    level = jnp.nanmean(jnp.where(jnp.isinf(table), jnp.nan, table), axis=0)
    return level, level - level[reference]
