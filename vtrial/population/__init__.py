"""Parameters of people: typical values with priors, covariate effects, variability between subjects and occasions."""

from vtrial.population.checks import check_observed, check_virtual
from vtrial.population.correlations import (
    AbstractCorrelation,
    FixedCorrelation,
    KnownCorrelation,
    LKJCorrelation,
)
from vtrial.population.covariates import (
    AbstractCovariateEffect,
    AbstractMultiplier,
    CappedPowerEffect,
    CategoricalEffect,
    ExponentialEffect,
    FactorEffect,
    HockeyStickEffect,
    LinearEffect,
    PowerEffect,
    SigmoidEffect,
)
from vtrial.population.mixture import Mixture
from vtrial.population.parameter import Parameter
from vtrial.population.population import CHOLESKY, Population, sampled
from vtrial.population.priors import (
    AbstractPrior,
    BetaPrior,
    Fixed,
    GammaPrior,
    HalfNormalPrior,
    HalfStudentTPrior,
    LogitNormalPrior,
    LogNormalPrior,
    NormalPrior,
    StudentTPrior,
    UniformPrior,
)
from vtrial.population.scales import AbstractScale, BoxCox, LogitNormal, LogNormal, Normal, ProbitNormal
from vtrial.population.shifts import AbstractShift, LinearShift

__all__ = [
    "CHOLESKY",
    "AbstractCorrelation",
    "AbstractCovariateEffect",
    "AbstractMultiplier",
    "AbstractPrior",
    "AbstractScale",
    "AbstractShift",
    "BetaPrior",
    "BoxCox",
    "CappedPowerEffect",
    "CategoricalEffect",
    "ExponentialEffect",
    "FactorEffect",
    "Fixed",
    "FixedCorrelation",
    "GammaPrior",
    "HalfNormalPrior",
    "HalfStudentTPrior",
    "HockeyStickEffect",
    "KnownCorrelation",
    "LKJCorrelation",
    "LinearEffect",
    "LinearShift",
    "LogNormal",
    "LogNormalPrior",
    "LogitNormal",
    "LogitNormalPrior",
    "Mixture",
    "Normal",
    "NormalPrior",
    "Parameter",
    "Population",
    "PowerEffect",
    "ProbitNormal",
    "SigmoidEffect",
    "StudentTPrior",
    "UniformPrior",
    "check_observed",
    "check_virtual",
    "sampled",
]
