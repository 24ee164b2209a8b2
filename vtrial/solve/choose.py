"""The automatic choice of a solver."""

import equinox as eqx
from jaxtyping import Array, Key

from vtrial._types import Named
from vtrial.dosing import EventTable
from vtrial.model import AbstractModel, AbstractStochasticModel
from vtrial.solve.base import AbstractSolver, Profile
from vtrial.solve.general import General
from vtrial.solve.lanes import Lanes
from vtrial.solve.linear import Linear

_MOST = 100_000
"""Most steps of a path between two events or samples."""


class Auto(AbstractSolver):
    """Takes the exact solver where the model is declared linear, compiled numerical integration otherwise.

    A model whose equations cannot be compiled is left to diffrax by `Lanes`, one with system noise at once.
    """

    rtol: float = eqx.field(static=True, default=1e-6)
    """Relative tolerance of one step, where steps are taken."""
    atol: float = eqx.field(static=True, default=1e-9)
    """Absolute tolerance of one step, in the unit of the states."""
    step: float = eqx.field(static=True, default=0.05)
    """Length of a step, in the model's time unit, of a model with system noise."""
    ptx: bool = eqx.field(static=True, default=False)
    """Compile numerical integration for an NVIDIA GPU; see `Lanes`."""

    def _choice(self, model: AbstractModel, carried: str) -> AbstractSolver:
        if isinstance(model, AbstractStochasticModel):
            return General(rtol=self.rtol, atol=self.atol, max_steps=_MOST, step=self.step)
        # Parameters that run linearly through an interval make the rates no constant matrix there.
        if model.linear and carried != "linear":
            return Linear()
        return Lanes(model.stiff, self.rtol, self.atol, ptx=self.ptx)

    def __call__(
        self, model: AbstractModel, p: Named, events: EventTable, *, key: Key[Array, ""] | None = None
    ) -> Profile:
        """Solve with the chosen solver."""
        return self._choice(model, events.carried)(model, p, events, key=key)

    def check(self, model: AbstractModel, p: Named) -> str:
        """Check with the chosen solver, and say which one it is and why."""
        choice = self._choice(model, "")
        if isinstance(choice, Linear):
            return f"auto chose the {choice.check(model, p)}"
        if isinstance(choice, General):
            return f"auto, for a model with system noise, which no other solver has, chose the {choice.check(model, p)}"
        declared = "not linear" if not model.stiff else "not linear, and stiff"
        return f"auto, for a model declared {declared}, chose the {choice.check(model, p)}"


_FEW_STATES = 4
"""Models of more states have no closed form that is quick to differentiate again and again."""


def in_every_order(solver: AbstractSolver, model: AbstractModel, carried: str) -> AbstractSolver | None:
    """Return the solver that gives the same numbers and has derivatives of every order; None if there is none.

    A model with system noise has none.

    Args:
        solver: the solver in use.
        model: what is solved.
        carried: how parameters that vary go on between rows, as event tables say.
    """
    if isinstance(model, AbstractStochasticModel):
        return None
    exact = isinstance(solver, Linear) or (isinstance(solver, Auto) and model.linear)
    return Linear(compiled=False) if exact and len(model.states) <= _FEW_STATES and carried != "linear" else None
