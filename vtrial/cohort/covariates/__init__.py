"""Covariates of virtual patients: sources, margins, criteria, genotypes and what follows from others."""

from vtrial.cohort.covariates.base import AbstractCovariates, check_source, draw_kept, kept_units, preview
from vtrial.cohort.covariates.bootstrap import Bootstrap
from vtrial.cohort.covariates.copula import Copula
from vtrial.cohort.covariates.criteria import Criteria
from vtrial.cohort.covariates.derived import Derived
from vtrial.cohort.covariates.genotypes import Allele, Genotypes
from vtrial.cohort.covariates.growth import Chart, GrowthCharts
from vtrial.cohort.covariates.margins import (
    AbstractMargin,
    CategoricalMargin,
    EmpiricalMargin,
    GammaMargin,
    LogNormalMargin,
    TruncatedNormalMargin,
    UniformMargin,
)
from vtrial.cohort.covariates.table import Table

__all__ = [
    "AbstractCovariates",
    "AbstractMargin",
    "Allele",
    "Bootstrap",
    "CategoricalMargin",
    "Chart",
    "Copula",
    "Criteria",
    "Derived",
    "EmpiricalMargin",
    "GammaMargin",
    "Genotypes",
    "GrowthCharts",
    "LogNormalMargin",
    "Table",
    "TruncatedNormalMargin",
    "UniformMargin",
    "check_source",
    "draw_kept",
    "kept_units",
    "preview",
]
