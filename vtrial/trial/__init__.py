"""From potential outcomes to decisions: conduct the trials, analyse each, and sum up what they say together."""

from vtrial.trial.analyses import AbstractAnalysis, Comparison, Means, Proportions
from vtrial.trial.conduct import Trials, check_enrolment, conduct
from vtrial.trial.decision import AbstractDecision, PickBest
from vtrial.trial.mixture import mix
from vtrial.trial.operating import operating_characteristics

__all__ = [
    "AbstractAnalysis",
    "AbstractDecision",
    "Comparison",
    "Means",
    "PickBest",
    "Proportions",
    "Trials",
    "check_enrolment",
    "conduct",
    "mix",
    "operating_characteristics",
]
