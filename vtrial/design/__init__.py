"""Trial designs: who gets which arm, when the trial is looked at, and what is decided from what was seen."""

from vtrial.design.ascending import Ascending
from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, chosen, fresh, revealed
from vtrial.design.boin import BOIN
from vtrial.design.comparison import Comparison, judged
from vtrial.design.correction import AbstractCorrectedDesign, Corrected
from vtrial.design.crm import CRM
from vtrial.design.crossover import Crossover, williams
from vtrial.design.dose_ranging import DoseRanging
from vtrial.design.drop_arms import DropArms
from vtrial.design.group_sequential import GroupSequential
from vtrial.design.parallel import Parallel
from vtrial.design.periods import spacing_of, starts_of
from vtrial.design.randomisation import AbstractRandomisation, Blocks, Minimisation, Shuffled, Stratified, Unrestricted
from vtrial.design.re_estimation import SampleSizeReestimation
from vtrial.design.response_adaptive import AbstractBelief, BetaBelief, NormalBelief, ResponseAdaptive
from vtrial.design.seamless import Seamless
from vtrial.design.three_plus_three import ThreePlusThree
from vtrial.design.timing import AbstractTiming, AfterEach, Events, Information, Progress
from vtrial.design.washout import washout_note
from vtrial.design.working_model import AbstractWorkingModel, LogisticModel, PowerModel

__all__ = [
    "BOIN",
    "CRM",
    "AbstractBelief",
    "AbstractCorrectedDesign",
    "AbstractDesign",
    "AbstractRandomisation",
    "AbstractTiming",
    "AbstractWorkingModel",
    "AfterEach",
    "Arm",
    "Ascending",
    "BetaBelief",
    "Blocks",
    "Comparison",
    "Corrected",
    "Crossover",
    "DesignState",
    "DoseRanging",
    "DropArms",
    "Events",
    "GroupSequential",
    "Information",
    "LogisticModel",
    "Look",
    "Minimisation",
    "NormalBelief",
    "Parallel",
    "PowerModel",
    "Progress",
    "ResponseAdaptive",
    "SampleSizeReestimation",
    "Seamless",
    "Seen",
    "Shuffled",
    "Stratified",
    "ThreePlusThree",
    "Unrestricted",
    "chosen",
    "fresh",
    "judged",
    "revealed",
    "spacing_of",
    "starts_of",
    "washout_note",
    "williams",
]
