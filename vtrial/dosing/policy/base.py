"""The policy interface: what a patient shows becomes what the same patient is given."""

from abc import abstractmethod
from collections.abc import Collection
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vtrial.dosing.policy.adjustable import Adjustable
from vtrial.dosing.policy.monitor import Monitor
from vtrial.dosing.regimen import AbstractRegimen
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class Past(eqx.Module):
    """What is known of one patient at a decision; what is not known yet is not a number."""

    number: Int[Array, ""]
    """Number of the decision; 0 is the first."""
    time: Float[Array | np.ndarray, " decision"]
    """Times of all samples, in the model's time unit."""
    observed: Float[Array, " decision"]
    """What was seen at each up to now."""
    levels: Float[Array, " decision"]
    """Level of the doses when each was taken: a multiple of the regimen's doses."""
    held: Bool[Array, ""]
    """Whether doses are held now."""

    @property
    def latest(self) -> Float[Array, ""]:
        """What is seen now."""
        return self.observed[self.number]

    @property
    def level(self) -> Float[Array, ""]:
        """The level up to now; doses go on at it after a hold."""
        return self.levels[self.number]


class Decision(NamedTuple):
    """What is given from now on."""

    level: Float[Array, ""]
    """Multiple of the regimen's doses."""
    held: Bool[Array, ""]
    """Whether nothing is given until another decision."""


class AbstractPolicy(eqx.Module):
    """Dosing that adapts to the patient: at each sample of `monitor`, `decide` says what is given from then on.

    `decide` is pure and traceable, written for one patient, and reads nothing but `Past`. Doses start as the regimen
    has them, which is level 1. If there is no observation, nothing changes.
    """

    monitor: eqx.AbstractVar[Monitor]
    """What is seen, and when."""
    doses: eqx.AbstractVar[Adjustable]
    """Which doses change, and what they may become."""

    @abstractmethod
    def decide(self, past: Past, unit: str) -> Decision:
        """Return what is given from now on; `unit` is that of what is seen."""

    @abstractmethod
    def check_rule(self, unit: str) -> None:
        """Check the rule against the unit of what is seen; raises `UserError`."""

    @abstractmethod
    def rule(self) -> str:
        """Say the rule in words."""

    def check(self, model: AbstractModel, regimen: AbstractRegimen, measured: Collection[str]) -> None:
        """Check outside `jit` that it fits model and regimen; `measured` are the outputs that have a residual error.

        Raises:
            UserError: it does not, or decides when there is no dose left.
        """
        unit, monitor = self.monitor.unit(model), self.monitor
        if monitor.measured and monitor.output not in measured:
            raise UserError(
                f"policy measures '{monitor.output}', which has no residual error; add it to noise, or set "
                "policy.monitor.measured to false."
            )
        orders, last = self.doses.orders(model, regimen), monitor.effective(model)[-1]
        self.doses.check(orders)
        self.check_rule(unit)
        ends = [order.record.time + order.record.additional * order.record.interval for order in orders]
        if max(ends) < last:
            raise UserError(
                f"policy decides at {monitor.at[-1]}, but the last dose that could follow is at {max(ends):g} "
                f"{model.time}; take the last sample earlier, or give more doses."
            )

    def describe(self) -> str:
        """Say it in words."""
        limits = self.doses.describe()
        return f"adapted {self.monitor.describe()}: {self.rule()}" + (f" ({limits})" if limits else "")
