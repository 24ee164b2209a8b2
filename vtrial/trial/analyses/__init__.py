"""Analyses: what a trial's statistician reports."""

from vtrial.design import Comparison
from vtrial.trial.analyses.base import AbstractAnalysis
from vtrial.trial.analyses.cox import Cox
from vtrial.trial.analyses.equivalence import Equivalence
from vtrial.trial.analyses.log_rank import LogRank
from vtrial.trial.analyses.means import Means
from vtrial.trial.analyses.proportions import Proportions
from vtrial.trial.analyses.restricted_mean import RestrictedMean
from vtrial.trial.analyses.scaled import ExpandingLimits, NarrowIndex, ReferenceScaled

__all__ = [
    "AbstractAnalysis",
    "Comparison",
    "Cox",
    "Equivalence",
    "ExpandingLimits",
    "LogRank",
    "Means",
    "NarrowIndex",
    "Proportions",
    "ReferenceScaled",
    "RestrictedMean",
]
