"""From parameters and events to a profile: one interface, a solver per kind of model."""

from vtrial.solve.base import AbstractSolver, Profile, ResultCode
from vtrial.solve.choose import Auto, in_every_order
from vtrial.solve.general import General
from vtrial.solve.lanes import Lanes
from vtrial.solve.linear import Linear

__all__ = ["AbstractSolver", "Auto", "General", "Lanes", "Linear", "Profile", "ResultCode", "in_every_order"]
