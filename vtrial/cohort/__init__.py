"""Virtual patients: drawn from the posterior, then simulated under every arm."""

from vtrial.cohort.covariates import AbstractCovariates, Bootstrap, TruncatedNormal
from vtrial.cohort.outcomes import Outcomes, simulate
from vtrial.cohort.recruit import Cohort, Recruitment, recruit

__all__ = [
    "AbstractCovariates",
    "Bootstrap",
    "Cohort",
    "Outcomes",
    "Recruitment",
    "TruncatedNormal",
    "recruit",
    "simulate",
]
