"""Null hypotheses: what they say of the arms at their edge, where the type I error is greatest."""

import math
from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from vtrial.statistics.equivalence import Scaling, widened


class AbstractNull(eqx.Module):
    """The null hypothesis of an analysis."""

    @abstractmethod
    def edge(self, table: Float[Array, "subject arm *rest"], reference: int) -> Float[Array, "subject arm *rest"]:
        """Return what the same patients would do at the edge of the hypothesis.

        Args:
            table: potential outcomes of many patients.
            reference: number of the reference arm, which is as it is.
        """

    @abstractmethod
    def errs(self, effect: Float[np.ndarray, "replicate arm"]) -> Bool[np.ndarray, "replicate arm"]:
        """Return whether to claim an arm is an error at the edge, where these are the true effects."""

    @abstractmethod
    def benefit(self, statistic: Float[Array, " arm"], sign: float) -> Float[Array, " arm"]:
        """Return the statistic, positive where an arm is better.

        Args:
            statistic: of a `Comparison`.
            sign: 1 where greater outcomes are better, -1 where smaller ones are.
        """


class AbstractEdgeNull(AbstractNull):
    """A null hypothesis at whose edge every arm is."""

    def errs(self, effect: Float[np.ndarray, "replicate arm"]) -> Bool[np.ndarray, "replicate arm"]:
        """Return true: every arm is at the edge."""
        return np.ones(effect.shape, bool)


class Alike(AbstractEdgeNull):
    """An arm does what the reference does."""

    def edge(self, table: Float[Array, "subject arm *rest"], reference: int) -> Float[Array, "subject arm *rest"]:
        """Return the reference's outcomes under every arm."""
        return jnp.broadcast_to(table[:, reference][:, None], table.shape)

    def benefit(self, statistic: Float[Array, " arm"], sign: float) -> Float[Array, " arm"]:
        """Return it in the direction that is better."""
        return sign * statistic


class AbstractInequivalence(AbstractEdgeNull):
    """A null hypothesis of which the alternative, equivalence, has no better direction."""

    def benefit(self, statistic: Float[Array, " arm"], sign: float) -> Float[Array, " arm"]:
        """Return it as it is: equivalence is wanted whichever way outcomes should go."""
        return jnp.asarray(statistic)


class Inequivalent(AbstractInequivalence):
    """The ratio to the reference is at a limit of equivalence.

    Args:
        limit: the greatest ratio that is equivalent.
    """

    limit: float = eqx.field(static=True)

    def edge(self, table: Float[Array, "subject arm *rest"], reference: int) -> Float[Array, "subject arm *rest"]:
        """Return the reference's outcomes times the limit."""
        return _times(table, reference, jnp.asarray(self.limit))


class FirstInequivalent(AbstractInequivalence):
    """Of several endpoints the first has a ratio at a limit of equivalence, the others do what the reference does.

    Where to claim needs all of them, the error is greatest if all but one are sure to pass.

    Args:
        limit: the greatest ratio that is equivalent.
    """

    limit: float = eqx.field(static=True)

    def edge(
        self, table: Float[Array, "subject arm *period endpoint"], reference: int
    ) -> Float[Array, "subject arm *period endpoint"]:
        """Return the reference's outcomes, of the first endpoint times the limit."""
        first = jnp.where(jnp.arange(table.shape[-1]) == 0, self.limit, 1.0)
        return _times(table, reference, first)


class ScaledInequivalent(AbstractInequivalence):
    """The ratio is at a limit that goes by the true SD within subjects under the reference.

    Args:
        scaling: how the limit widens.
        limit: where it does not.
        most: the limit goes no further.
    """

    scaling: Scaling = eqx.field(static=True)
    limit: float = eqx.field(static=True)
    most: float = eqx.field(static=True, default=math.inf)

    def edge(self, table: Float[Array, "subject arm period"], reference: int) -> Float[Array, "subject arm period"]:
        """Return the reference's outcomes times the limit, by the variance of its logarithms between periods."""
        outcome = table[:, reference]
        known = jnp.isfinite(outcome) & (outcome > 0)
        logs = jnp.where(known, jnp.log(jnp.where(known, outcome, 1.0)), jnp.nan)
        sd = jnp.sqrt(jnp.nanmean(jnp.var(logs, axis=1, ddof=1)))
        limit = jnp.minimum(widened(sd, self.scaling, self.limit), math.log(self.most))
        return _times(table, reference, jnp.exp(limit))


def _times(
    table: Float[Array, "subject arm *rest"], reference: int, factor: Float[Array, "..."]
) -> Float[Array, "subject arm *rest"]:
    """Return the reference's outcomes under every arm, times a factor under the others."""
    other = (jnp.arange(table.shape[1]) != reference).reshape(1, -1, *[1] * (table.ndim - 2))
    return table[:, reference][:, None] * jnp.where(other, factor, 1.0)
