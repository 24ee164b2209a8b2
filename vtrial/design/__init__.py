"""Trial designs: who gets which arm, and what is decided from what was seen."""

from vtrial.design.base import AbstractDesign, Arm, DesignState, Seen
from vtrial.design.parallel import Parallel

__all__ = ["AbstractDesign", "Arm", "DesignState", "Parallel", "Seen"]
