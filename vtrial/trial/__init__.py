"""Trials on potential outcomes: conduct, analyses, objectives, decisions, operating characteristics."""

from vtrial.trial.analyses import (
    AbstractAnalysis,
    Adjusted,
    Ancova,
    BayesianMeans,
    BayesianProportions,
    BorrowedMeans,
    BorrowedProportions,
    Comparison,
    Logistic,
    Means,
    Mmrm,
    MultipleImputation,
    Proportions,
    ReferenceBased,
)
from vtrial.trial.conduct import Rules, Trials, check_enrolment, conduct, without_effect
from vtrial.trial.consistency import check_known, check_trial, known_before
from vtrial.trial.decision import AbstractDecision, PickBest
from vtrial.trial.enrolment import AbstractEnrolment, AtOnce, Sites
from vtrial.trial.mixture import mix
from vtrial.trial.objective import AbstractObjective, Closest, Greatest, Least, SmallestEffective
from vtrial.trial.operating import judge, operating_characteristics
from vtrial.trial.potential import Clock, Potential
from vtrial.trial.prognosis import prognostic_score

__all__ = [
    "AbstractAnalysis",
    "AbstractDecision",
    "AbstractEnrolment",
    "AbstractObjective",
    "Adjusted",
    "Ancova",
    "AtOnce",
    "BayesianMeans",
    "BayesianProportions",
    "BorrowedMeans",
    "BorrowedProportions",
    "Clock",
    "Closest",
    "Comparison",
    "Greatest",
    "Least",
    "Logistic",
    "Means",
    "Mmrm",
    "MultipleImputation",
    "PickBest",
    "Potential",
    "Proportions",
    "ReferenceBased",
    "Rules",
    "Sites",
    "SmallestEffective",
    "Trials",
    "check_enrolment",
    "check_known",
    "check_trial",
    "conduct",
    "judge",
    "known_before",
    "mix",
    "operating_characteristics",
    "prognostic_score",
    "without_effect",
]
