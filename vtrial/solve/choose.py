"""The automatic choice of a solver."""

from vtrial._types import Named
from vtrial.dosing import EventTable
from vtrial.model import AbstractModel
from vtrial.solve.base import AbstractSolver, Profile
from vtrial.solve.general import General
from vtrial.solve.linear import Linear


class Auto(AbstractSolver):
    """Takes the exact solver where the model is declared linear, numerical integration otherwise."""

    def _choice(self, model: AbstractModel) -> AbstractSolver:
        return Linear() if model.linear else General()

    def __call__(self, model: AbstractModel, p: Named, events: EventTable) -> Profile:
        """Solve with the chosen solver."""
        return self._choice(model)(model, p, events)

    def check(self, model: AbstractModel, p: Named) -> str:
        """Check with the chosen solver, and say which one it is."""
        return f"auto chose the {self._choice(model).check(model, p)}"
