"""Analyses: what a trial's statistician reports."""

from vtrial.design import Comparison
from vtrial.trial.analyses.adjusted import Adjusted
from vtrial.trial.analyses.ancova import Ancova
from vtrial.trial.analyses.base import AbstractAnalysis, AbstractArmsAnalysis
from vtrial.trial.analyses.bayesian_means import BayesianMeans
from vtrial.trial.analyses.bayesian_proportions import BayesianProportions
from vtrial.trial.analyses.borrowed_means import BorrowedMeans
from vtrial.trial.analyses.borrowed_proportions import BorrowedProportions
from vtrial.trial.analyses.concentration_qtc import ConcentrationQtc
from vtrial.trial.analyses.cox import Cox
from vtrial.trial.analyses.dose_proportionality import DoseProportionality
from vtrial.trial.analyses.dose_shape import (
    AbstractDoseShape,
    EmaxShape,
    ExponentialShape,
    LinearShape,
    LogisticShape,
    LogLinearShape,
    QuadraticShape,
    SigmoidEmaxShape,
)
from vtrial.trial.analyses.equivalence import Equivalence
from vtrial.trial.analyses.log_rank import LogRank
from vtrial.trial.analyses.logistic import Logistic
from vtrial.trial.analyses.mcp_mod import McpMod
from vtrial.trial.analyses.means import Means
from vtrial.trial.analyses.mmrm import Mmrm
from vtrial.trial.analyses.multiple_imputation import MultipleImputation
from vtrial.trial.analyses.null import AbstractNull, Alike
from vtrial.trial.analyses.proportions import Proportions
from vtrial.trial.analyses.reference_based import ReferenceBased
from vtrial.trial.analyses.restricted_mean import RestrictedMean
from vtrial.trial.analyses.scaled import ExpandingLimits, NarrowIndex, ReferenceScaled

__all__ = [
    "AbstractAnalysis",
    "AbstractArmsAnalysis",
    "AbstractDoseShape",
    "AbstractNull",
    "Adjusted",
    "Alike",
    "Ancova",
    "BayesianMeans",
    "BayesianProportions",
    "BorrowedMeans",
    "BorrowedProportions",
    "Comparison",
    "ConcentrationQtc",
    "Cox",
    "DoseProportionality",
    "EmaxShape",
    "Equivalence",
    "ExpandingLimits",
    "ExponentialShape",
    "LinearShape",
    "LogLinearShape",
    "LogRank",
    "Logistic",
    "LogisticShape",
    "McpMod",
    "Means",
    "Mmrm",
    "MultipleImputation",
    "NarrowIndex",
    "Proportions",
    "QuadraticShape",
    "ReferenceBased",
    "ReferenceScaled",
    "RestrictedMean",
    "SigmoidEmaxShape",
]
