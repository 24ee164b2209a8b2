"""Analyses: what a trial's statistician reports."""

from vtrial.design import Comparison
from vtrial.trial.analyses.base import AbstractAnalysis
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
from vtrial.trial.analyses.mcp_mod import McpMod
from vtrial.trial.analyses.means import Means
from vtrial.trial.analyses.proportions import Proportions

__all__ = [
    "AbstractAnalysis",
    "AbstractDoseShape",
    "Comparison",
    "EmaxShape",
    "ExponentialShape",
    "LinearShape",
    "LogLinearShape",
    "LogisticShape",
    "McpMod",
    "Means",
    "Proportions",
    "QuadraticShape",
    "SigmoidEmaxShape",
]
