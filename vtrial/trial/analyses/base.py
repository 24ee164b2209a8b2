"""The analysis interface."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial.design import Seen


class Comparison(eqx.Module):
    """The analysis of one trial: each arm, and each arm against the reference arm.

    Against itself the reference has difference 0, an interval of length 0 and p 1. What cannot be computed (an arm
    with too few known outcomes) is not a number.
    """

    count: Int[Array, " arm"]
    """Patients with a known outcome."""
    estimate: Float[Array, " arm"]
    """Mean outcome."""
    error: Float[Array, " arm"]
    """Its standard error."""
    difference: Float[Array, " arm"]
    """Estimate minus that of the reference arm."""
    lower: Float[Array, " arm"]
    """Lower confidence limit of the difference."""
    upper: Float[Array, " arm"]
    """Upper confidence limit of the difference."""
    p: Float[Array, " arm"]
    """Two-sided p-value of no difference."""


class AbstractAnalysis(eqx.Module):
    """Compares the arms of one trial with a reference arm; traceable, mapped over thousands of trials."""

    reference: eqx.AbstractVar[str]
    """Name of the reference arm."""
    alpha: eqx.AbstractVar[float]
    """Two-sided significance level; intervals have confidence 1 - alpha."""

    @abstractmethod
    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Analyse what one trial has seen of its `arms` arms, the reference being arm number `reference`."""

    @abstractmethod
    def describe(self) -> str:
        """Say the analysis in words."""


def members(seen: Seen, arms: int) -> Bool[Array, "patient arm"]:
    """Return which patients count for which arm: those given it, with a known outcome."""
    return (seen.arm[:, None] == jnp.arange(arms)[None]) & jnp.isfinite(seen.outcome)[:, None]
