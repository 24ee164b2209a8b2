"""Analyses: what a trial's statistician reports."""

from vtrial.design import Comparison
from vtrial.trial.analyses.base import AbstractAnalysis
from vtrial.trial.analyses.means import Means
from vtrial.trial.analyses.proportions import Proportions

__all__ = ["AbstractAnalysis", "Comparison", "Means", "Proportions"]
