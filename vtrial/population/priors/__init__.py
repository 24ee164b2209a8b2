"""Priors: what is known about a population parameter before the data."""

from vtrial.population.priors.base import AbstractPrior
from vtrial.population.priors.bounded import BetaPrior, LogitNormalPrior, UniformPrior
from vtrial.population.priors.fixed import Fixed
from vtrial.population.priors.positive import GammaPrior, HalfNormalPrior, HalfStudentTPrior, LogNormalPrior
from vtrial.population.priors.real import NormalPrior, StudentTPrior

__all__ = [
    "AbstractPrior",
    "BetaPrior",
    "Fixed",
    "GammaPrior",
    "HalfNormalPrior",
    "HalfStudentTPrior",
    "LogNormalPrior",
    "LogitNormalPrior",
    "NormalPrior",
    "StudentTPrior",
    "UniformPrior",
]
