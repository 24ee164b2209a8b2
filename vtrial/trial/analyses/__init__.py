"""Analyses: what a trial's statistician reports."""

from vtrial.trial.analyses.base import AbstractAnalysis
from vtrial.trial.analyses.adjusted import Adjusted
from vtrial.trial.analyses.ancova import Ancova
from vtrial.trial.analyses.bayesian_means import BayesianMeans
from vtrial.trial.analyses.bayesian_proportions import BayesianProportions
from vtrial.trial.analyses.borrowed_means import BorrowedMeans
from vtrial.trial.analyses.borrowed_proportions import BorrowedProportions
from vtrial.design import Comparison
from vtrial.trial.analyses.cox import Cox
from vtrial.trial.analyses.equivalence import Equivalence
from vtrial.trial.analyses.scaled import ExpandingLimits
from vtrial.trial.analyses.log_rank import LogRank
from vtrial.trial.analyses.logistic import Logistic
from vtrial.trial.analyses.means import Means
from vtrial.trial.analyses.mmrm import Mmrm
from vtrial.trial.analyses.multiple_imputation import MultipleImputation
from vtrial.trial.analyses.scaled import NarrowIndex
from vtrial.trial.analyses.proportions import Proportions
from vtrial.trial.analyses.reference_based import ReferenceBased
from vtrial.trial.analyses.scaled import ReferenceScaled
from vtrial.trial.analyses.restricted_mean import RestrictedMean
__all__ = ['AbstractAnalysis', 'Adjusted', 'Ancova', 'BayesianMeans', 'BayesianProportions', 'BorrowedMeans', 'BorrowedProportions', 'Comparison', 'Cox', 'Equivalence', 'ExpandingLimits', 'LogRank', 'Logistic', 'Means', 'Mmrm', 'MultipleImputation', 'NarrowIndex', 'Proportions', 'ReferenceBased', 'ReferenceScaled', 'RestrictedMean']
