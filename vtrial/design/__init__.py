"""Trial designs: who gets which arm, when the trial is looked at, and what is decided from what was seen."""

from vtrial.design.ascending import Ascending
from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, chosen, fresh, revealed
from vtrial.design.boin import BOIN
from vtrial.design.comparison import Comparison, judged
from vtrial.design.crm import CRM
from vtrial.design.dose_ranging import DoseRanging
from vtrial.design.parallel import Parallel
from vtrial.design.randomisation import (
    AbstractRandomisation,
    Blocks,
    Minimisation,
    Shuffled,
    Stratified,
    Unrestricted,
)
from vtrial.design.three_plus_three import ThreePlusThree
from vtrial.design.timing import AbstractTiming, AfterEach, Events, Information, Progress
from vtrial.design.working_model import AbstractWorkingModel, LogisticModel, PowerModel

__all__ = [
    "BOIN",
    "CRM",
    "AbstractDesign",
    "AbstractRandomisation",
    "AbstractTiming",
    "AbstractWorkingModel",
    "AfterEach",
    "Arm",
    "Ascending",
    "Blocks",
    "Comparison",
    "DesignState",
    "DoseRanging",
    "Events",
    "Information",
    "LogisticModel",
    "Look",
    "Minimisation",
    "Parallel",
    "PowerModel",
    "Progress",
    "Seen",
    "Shuffled",
    "Stratified",
    "ThreePlusThree",
    "Unrestricted",
    "chosen",
    "fresh",
    "judged",
    "revealed",
]
