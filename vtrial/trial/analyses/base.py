"""The analysis interface."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, Int

from vtrial.design import Seen
from vtrial.errors import UserError


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
    binary: eqx.AbstractClassVar[bool]
    """Whether it is for endpoints that are 0 or 1, and for no others."""

    @abstractmethod
    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Analyse what one trial has seen of its `arms` arms, the reference being arm number `reference`."""

    @abstractmethod
    def describe(self) -> str:
        """Say the analysis in words."""


def check_alpha(alpha: float) -> None:
    """Refuse a significance level that is no probability.

    Raises:
        UserError: alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise UserError(f"analysis.alpha is a probability between 0 and 1, not {alpha}.")
