"""Trials on potential outcomes: conduct, analyses, objectives, decisions, operating characteristics."""

from vtrial.trial.analyses import AbstractAnalysis, Comparison, Means, Proportions
from vtrial.trial.conduct import Rules, Trials, check_enrolment, conduct, without_effect
from vtrial.trial.consistency import check_known, check_trial, known_before
from vtrial.trial.decision import AbstractDecision, PickBest
from vtrial.trial.enrolment import AbstractEnrolment, AtOnce, Sites
from vtrial.trial.mixture import mix
from vtrial.trial.objective import AbstractObjective, Closest, Greatest, Least, SmallestEffective
from vtrial.trial.operating import judge, operating_characteristics
from vtrial.trial.potential import Clock, Potential
from vtrial.trial.variance import Variance, decompose

__all__ = [
    "AbstractAnalysis",
    "AbstractDecision",
    "AbstractEnrolment",
    "AbstractObjective",
    "AtOnce",
    "Clock",
    "Closest",
    "Comparison",
    "Greatest",
    "Least",
    "Means",
    "PickBest",
    "Potential",
    "Proportions",
    "Rules",
    "Sites",
    "SmallestEffective",
    "Trials",
    "Variance",
    "check_enrolment",
    "check_known",
    "check_trial",
    "conduct",
    "decompose",
    "judge",
    "known_before",
    "mix",
    "operating_characteristics",
    "without_effect",
]
