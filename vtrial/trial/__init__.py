"""Trials on potential outcomes: conduct, analyses, objectives, decisions, operating characteristics."""

from vtrial.trial.analyses import (
    AbstractAnalysis,
    Comparison,
    Cox,
    Equivalence,
    ExpandingLimits,
    LogRank,
    Means,
    NarrowIndex,
    Proportions,
    ReferenceScaled,
    RestrictedMean,
)
from vtrial.trial.conduct import Rules, Trials, check_enrolment, conduct, conductor, without_effect
from vtrial.trial.consistency import check_known, check_trial, known_before
from vtrial.trial.decision import AbstractDecision, PickBest
from vtrial.trial.enrolment import AbstractEnrolment, AtOnce, Sites
from vtrial.trial.mixture import mix
from vtrial.trial.objective import AbstractObjective, Closest, Greatest, Least, SmallestEffective
from vtrial.trial.operating import judge, operating_characteristics
from vtrial.trial.potential import Clock, Potential

__all__ = [
    "AbstractAnalysis",
    "AbstractDecision",
    "AbstractEnrolment",
    "AbstractObjective",
    "AtOnce",
    "Clock",
    "Closest",
    "Comparison",
    "Cox",
    "Equivalence",
    "ExpandingLimits",
    "Greatest",
    "Least",
    "LogRank",
    "Means",
    "NarrowIndex",
    "PickBest",
    "Potential",
    "Proportions",
    "ReferenceScaled",
    "RestrictedMean",
    "Rules",
    "Sites",
    "SmallestEffective",
    "Trials",
    "check_enrolment",
    "check_known",
    "check_trial",
    "conduct",
    "conductor",
    "judge",
    "known_before",
    "mix",
    "operating_characteristics",
    "without_effect",
]
