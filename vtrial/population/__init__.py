"""Parameters of people: typical values with priors, covariate effects, variability between subjects."""

from vtrial.population.covariates import (
    AbstractCovariateEffect,
    CappedPowerEffect,
    CategoricalEffect,
    ExponentialEffect,
    FactorEffect,
    LinearEffect,
    PowerEffect,
    SigmoidEffect,
)
from vtrial.population.parameter import Parameter
from vtrial.population.population import Population
from vtrial.population.prior import AbstractPrior, HalfNormalPrior, LogNormalPrior

__all__ = [
    "AbstractCovariateEffect",
    "AbstractPrior",
    "CappedPowerEffect",
    "CategoricalEffect",
    "ExponentialEffect",
    "FactorEffect",
    "HalfNormalPrior",
    "LinearEffect",
    "LogNormalPrior",
    "Parameter",
    "Population",
    "PowerEffect",
    "SigmoidEffect",
]
