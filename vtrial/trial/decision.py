"""The decision a study ends with."""

from abc import abstractmethod

import equinox as eqx
import xarray as xr

from vtrial import schema
from vtrial.errors import UserError


class AbstractDecision(eqx.Module):
    """A rule written before the trial, and applied after it."""

    @abstractmethod
    def rule(self) -> str:
        """Say the rule in words."""

    @abstractmethod
    def decide(self, characteristics: xr.Dataset) -> str | None:
        """Return the name of the recommended arm; None if the rule recommends none."""


class PickBest(AbstractDecision):
    """Recommend the arm most probably best, if that probability is high enough beyond its Monte-Carlo error."""

    probability: float = eqx.field(static=True, default=0.8)
    """Least probability of being truly best."""

    def __check_init__(self):
        """Refuse what is no probability."""
        if not 0 < self.probability < 1:
            raise UserError(f"decision.probability is a probability between 0 and 1, not {self.probability}.")

    def rule(self) -> str:
        """Say the rule."""
        return (
            f"Recommend the arm with the greatest posterior probability of being best, if that probability, less two "
            f"Monte-Carlo errors, is at least {self.probability:g}; otherwise recommend none."
        )

    def decide(self, characteristics: xr.Dataset) -> str | None:
        """Apply the rule."""
        best, error = characteristics["probability_best"], characteristics["probability_best_mcse"]
        top = int(best.to_numpy().argmax())
        if float(best[top] - 2 * error[top]) < self.probability:
            return None
        return str(characteristics[schema.ARM].to_numpy()[top])
