"""Analyses: what a trial's statistician reports."""

from vtrial.design import Comparison
from vtrial.trial.analyses.adjusted import Adjusted
from vtrial.trial.analyses.ancova import Ancova
from vtrial.trial.analyses.base import AbstractAnalysis
from vtrial.trial.analyses.bayesian_means import BayesianMeans
from vtrial.trial.analyses.bayesian_proportions import BayesianProportions
from vtrial.trial.analyses.borrowed_means import BorrowedMeans
from vtrial.trial.analyses.borrowed_proportions import BorrowedProportions
from vtrial.trial.analyses.logistic import Logistic
from vtrial.trial.analyses.means import Means
from vtrial.trial.analyses.mmrm import Mmrm
from vtrial.trial.analyses.multiple_imputation import MultipleImputation
from vtrial.trial.analyses.proportions import Proportions
from vtrial.trial.analyses.reference_based import ReferenceBased

__all__ = [
    "AbstractAnalysis",
    "Adjusted",
    "Ancova",
    "BayesianMeans",
    "BayesianProportions",
    "BorrowedMeans",
    "BorrowedProportions",
    "Comparison",
    "Logistic",
    "Means",
    "Mmrm",
    "MultipleImputation",
    "Proportions",
    "ReferenceBased",
]
