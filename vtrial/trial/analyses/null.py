"""Null hypotheses: what they say of an arm at their edge, where the type I error is greatest."""

import math
from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.statistics.equivalence import Scaling, widened


class AbstractNull(eqx.Module):
    """The null hypothesis of an analysis."""

    @abstractmethod
    def factor(self, outcome: Float[Array, "subject *period"]) -> Float[Array, ""]:
        """Return by what the outcomes of an arm differ from the reference's at the edge of the hypothesis.

        Args:
            outcome: of many patients under the reference.
        """

    @abstractmethod
    def benefit(self, statistic: Float[Array, " arm"], sign: float) -> Float[Array, " arm"]:
        """Return the statistic, positive where an arm is better.

        Args:
            statistic: of a `Comparison`.
            sign: 1 where greater outcomes are better, -1 where smaller ones are.
        """


class Alike(AbstractNull):
    """An arm does what the reference does."""

    def factor(self, outcome: Float[Array, "subject *rest"]) -> Float[Array, ""]:
        """Return 1."""
        return jnp.asarray(1.0)

    def benefit(self, statistic: Float[Array, " arm"], sign: float) -> Float[Array, " arm"]:
        """Return it in the direction that is better."""
        return sign * statistic


class Inequivalent(AbstractNull):
    """The ratio to the reference is at a limit of equivalence.

    Args:
        limit: the greatest ratio that is equivalent.
    """

    limit: float = eqx.field(static=True)

    def factor(self, outcome: Float[Array, "subject *rest"]) -> Float[Array, ""]:
        """Return the limit."""
        return jnp.asarray(self.limit)

    def benefit(self, statistic: Float[Array, " arm"], sign: float) -> Float[Array, " arm"]:
        """Return it as it is: equivalence is wanted whichever way outcomes should go."""
        return jnp.asarray(statistic)


class ScaledInequivalent(AbstractNull):
    """The ratio is at a limit that goes by the true SD within subjects under the reference.

    Args:
        scaling: how the limit widens.
        limit: where it does not.
        most: the limit goes no further.
    """

    scaling: Scaling = eqx.field(static=True)
    limit: float = eqx.field(static=True)
    most: float = eqx.field(static=True, default=math.inf)

    def factor(self, outcome: Float[Array, "subject period"]) -> Float[Array, ""]:
        """Return the limit by the variance of logarithms between periods, mean over patients."""
        known = jnp.isfinite(outcome) & (outcome > 0)
        logs = jnp.where(known, jnp.log(jnp.where(known, outcome, 1.0)), jnp.nan)
        sd = jnp.sqrt(jnp.nanmean(jnp.var(logs, axis=1, ddof=1)))
        return jnp.exp(jnp.minimum(widened(sd, self.scaling, self.limit), math.log(self.most)))

    def benefit(self, statistic: Float[Array, " arm"], sign: float) -> Float[Array, " arm"]:
        """Return it as it is."""
        return jnp.asarray(statistic)
