"""Trial designs: who gets which arm, when the trial is looked at, and what is decided from what was seen."""

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, chosen, fresh, revealed
from vtrial.design.comparison import Comparison, judged
from vtrial.design.parallel import Parallel
from vtrial.design.randomisation import (
    AbstractRandomisation,
    Blocks,
    Minimisation,
    Shuffled,
    Stratified,
    Unrestricted,
)
from vtrial.design.timing import AbstractTiming, AfterEach, Events, Information, Progress

__all__ = [
    "AbstractDesign",
    "AbstractRandomisation",
    "AbstractTiming",
    "AfterEach",
    "Arm",
    "Blocks",
    "Comparison",
    "DesignState",
    "Events",
    "Information",
    "Look",
    "Minimisation",
    "Parallel",
    "Progress",
    "Seen",
    "Shuffled",
    "Stratified",
    "Unrestricted",
    "chosen",
    "fresh",
    "judged",
    "revealed",
]
