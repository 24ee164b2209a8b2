"""Names of groups, dimensions and attributes in result.zarr: the contract with those who analyse it.

Version 1. A reader may rely on every name here; renaming one needs a new version.
"""

from typing import Final

VERSION: Final = "vtrial/result@1"

OBSERVED_DATA: Final = "observed_data"
CONSTANT_DATA: Final = "constant_data"
POSTERIOR: Final = "posterior"
SAMPLE_STATS: Final = "sample_stats"
LOG_LIKELIHOOD: Final = "log_likelihood"
POSTERIOR_PREDICTIVE: Final = "posterior_predictive"
PRIOR: Final = "prior"
FIT_HEALTH: Final = "fit_health"
LOO: Final = "loo"
PARAMETER_TABLE: Final = "parameter_table"
VPC: Final = "vpc"
GOODNESS_OF_FIT: Final = "goodness_of_fit"
COHORT: Final = "cohort"
OUTCOMES: Final = "outcomes"
VARIANCE: Final = "variance"
TRIAL: Final = "trial"
OPERATING_CHARACTERISTICS: Final = "operating_characteristics"

STAGES: Final[dict[str, tuple[str, ...]]] = {
    "data": (OBSERVED_DATA, CONSTANT_DATA),
    "calibrate": (POSTERIOR, SAMPLE_STATS, LOG_LIKELIHOOD, POSTERIOR_PREDICTIVE, PRIOR),
    "gate": (FIT_HEALTH, LOO, PARAMETER_TABLE),
    "check": (VPC, GOODNESS_OF_FIT),
    "recruit": (COHORT,),
    "simulate": (OUTCOMES, VARIANCE),
    "trial": (TRIAL, OPERATING_CHARACTERISTICS),
    "store": (),
    "report": (),
}
"""The straight line: each stage and the groups it writes, in order."""

TABLES: Final = ("parameters", "sdtab", "patab")
"""Tables beside the report, as CSV and as Parquet: every population parameter, every record, and every subject."""
FILES: Final = ("report.html", *(f"{table}.{kind}" for table in TABLES for kind in ("csv", "parquet")))
"""What the report stage writes beside result.zarr."""

GROUPS: Final[dict[str, str]] = {
    OBSERVED_DATA: "The observations used, in long form",
    CONSTANT_DATA: "Covariates of the observed subjects, and their dose records",
    POSTERIOR: "Draws of the population parameters and of every observed subject's own parameters",
    SAMPLE_STATS: "What the sampler reported for each draw",
    LOG_LIKELIHOOD: "Log-likelihood of each observation at each draw",
    POSTERIOR_PREDICTIVE: "Replicated observations of the same subjects, and their individual predictions",
    PRIOR: "Draws of the population parameters before the data",
    FIT_HEALTH: "Convergence, ESS, shrinkage and sensitivity of each parameter, and the verdict of the gate",
    LOO: "Leave-one-out: predictive density of each subject and observation the fit has not seen, and Pareto k",
    PARAMETER_TABLE: "The population parameters in the field's form: estimate, SE, RSE, interval, CV%, shrinkage",
    VPC: "Visual predictive check: quantiles of observed and simulated data by time bin",
    GOODNESS_OF_FIT: "Predictions, residuals and NPDE of each observation, etas of each subject, and tests of them",
    COHORT: "Virtual patients: parameters and covariates",
    OUTCOMES: "Potential outcomes: every virtual patient's endpoints under every arm",
    VARIANCE: "Variance of every endpoint by level: parameters, subjects, residual",
    TRIAL: "Each virtual trial: what it observed, estimated and selected",
    OPERATING_CHARACTERISTICS: "What the trials say together, with Monte-Carlo errors",
}

EACH_TRIAL: Final = "each_trial"
SWEEP_GROUPS: Final[dict[str, str]] = {
    EACH_TRIAL: "What each trial of a variant adds to the operating characteristics, which are means over trials",
}
"""Groups that sweeps have beside operating characteristics."""

CHAIN: Final = "chain"
DRAW: Final = "draw"
KEPT: Final = "kept"
SUBJECT: Final = "subject"
OBS: Final = "obs"
DV: Final = "DV"
IPRED: Final = "IPRED"
REPLICATE: Final = "replicate"
ARM: Final = "arm"
HAPPENING: Final = "happening"
CONFIGURATION: Final = "configuration"
"""What may happen to patients during treatment, where they are counted."""
LOOK: Final = "look"
VISIT: Final = "visit"
PERIOD: Final = "period"
ENDPOINT: Final = "endpoint"
TIME: Final = "time"
QUANTILE: Final = "quantile"
MOMENT: Final = "moment"
LEVEL: Final = "level"
DECISION: Final = "decision"
BIN: Final = "bin"
PARAMETER: Final = "parameter"
EFFECT: Final = "effect"
EFFECT_TOO: Final = "effect_too"
OCCASION: Final = "occasion"
STUDY: Final = "study"
CLASS: Final = "class"
RECORD: Final = "record"
ID: Final = "ID"
"""Subjects, where `subject` is a coordinate of observations."""
CODE: Final = "code"
PHASE: Final = "phase"
RESPONSE: Final = "response"
"""Outputs, where there is one value each."""

RESULT_CODES: Final[dict[int, str]] = {
    0: "solved",
    1: "the state became infinite or not a number",
    2: "the solver reached its step limit or could not go on",
    3: "an amount became negative",
    4: "no steady state was found, or more earlier doses overlap at it than the table provides for",
}
"""Why one person's solve failed, by its code."""

PHASES: Final = ("warm-up", "sampling")
"""Of a sampler."""

ANALYSIS_CODES: Final[dict[int, str]] = {
    0: "analysed",
    1: "too few known outcomes",
    2: "no variance: the outcomes are all alike",
    3: "the estimation did not converge",
    4: "an outcome is infinite, or has no finite logarithm where one is needed",
    5: "follow-up ends before the horizon of the analysis",
}
"""Why one arm of one trial could not be analysed, by its code."""

STOP_REASONS: Final[dict[int, str]] = {0: "went to its end", 1: "efficacy", 2: "futility", 3: "harm", 4: "other"}
"""Why one trial ended, by its code."""

IDENTITY: Final[tuple[str, ...]] = ("study", "config", "inputs", "version", "libraries", "precision")
"""Root attributes that must be equal for a run to resume in a directory."""
