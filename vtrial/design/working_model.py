"""Working models of the continual reassessment method."""

from abc import abstractmethod

import equinox as eqx
import numpy as np
from jaxtyping import Float

from vtrial.errors import UserError
from vtrial.statistics import crm


class AbstractWorkingModel(eqx.Module):
    """How the probabilities of toxicity of all doses hang together."""

    spread: eqx.AbstractVar[float]
    """Prior SD of the one parameter."""

    @abstractmethod
    def curve(self, skeleton: Float[np.ndarray, " dose"]) -> crm.Curve:
        """Return the probabilities as a function of the parameter."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class PowerModel(AbstractWorkingModel):
    """skeleton^exp(a)."""

    spread: float = eqx.field(static=True, default=crm.SPREAD)

    def __check_init__(self):
        """Refuse a prior without spread."""
        _check(self.spread)

    def curve(self, skeleton: Float[np.ndarray, " dose"]) -> crm.Curve:
        """Return the power model."""
        return crm.power(skeleton)

    def describe(self) -> str:
        """Say it."""
        return f"power model, prior SD {self.spread:.3g}"


class LogisticModel(AbstractWorkingModel):
    """logit p = intercept + exp(a) x, with x from the skeleton."""

    spread: float = eqx.field(static=True, default=crm.SPREAD)
    intercept: float = eqx.field(static=True, default=3.0)

    def __check_init__(self):
        """Refuse a prior without spread."""
        _check(self.spread)

    def curve(self, skeleton: Float[np.ndarray, " dose"]) -> crm.Curve:
        """Return the logistic model."""
        return crm.logistic(skeleton, self.intercept)

    def describe(self) -> str:
        """Say it."""
        return f"logistic model with intercept {self.intercept:g}, prior SD {self.spread:.3g}"


def _check(spread: float) -> None:
    if not spread > 0:
        raise UserError(f"The prior SD of a CRM's parameter must be positive, not {spread}.")
