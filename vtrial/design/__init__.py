"""Trial designs: who gets which arm, when the trial is looked at, and what is decided from what was seen."""

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, chosen, fresh, revealed
from vtrial.design.comparison import Comparison, judged
from vtrial.design.crossover import Crossover, williams
from vtrial.design.drop_arms import DropArms
from vtrial.design.group_sequential import GroupSequential
from vtrial.design.parallel import Parallel
from vtrial.design.randomisation import (
    AbstractRandomisation,
    Blocks,
    Minimisation,
    Shuffled,
    Stratified,
    Unrestricted,
)
from vtrial.design.re_estimation import SampleSizeReestimation
from vtrial.design.response_adaptive import AbstractBelief, BetaBelief, NormalBelief, ResponseAdaptive
from vtrial.design.seamless import Seamless
from vtrial.design.timing import AbstractTiming, AfterEach, Events, Information, Progress
from vtrial.design.washout import washout_note

__all__ = [
    "AbstractBelief",
    "AbstractDesign",
    "AbstractRandomisation",
    "AbstractTiming",
    "AfterEach",
    "Arm",
    "BetaBelief",
    "Blocks",
    "Comparison",
    "Crossover",
    "DesignState",
    "DropArms",
    "Events",
    "GroupSequential",
    "Information",
    "Look",
    "Minimisation",
    "NormalBelief",
    "Parallel",
    "Progress",
    "ResponseAdaptive",
    "SampleSizeReestimation",
    "Seamless",
    "Seen",
    "Shuffled",
    "Stratified",
    "Unrestricted",
    "chosen",
    "fresh",
    "judged",
    "revealed",
    "washout_note",
    "williams",
]
