"""May this fit be used? Its health, the gate that decides, goodness of fit, and visual predictive checks."""

from vtrial.diagnose.gate import Gate
from vtrial.diagnose.goodness import goodness_of_fit
from vtrial.diagnose.health import fit_health
from vtrial.diagnose.predictive import predictive_bands
from vtrial.diagnose.replicate import population_predictions, replicated
from vtrial.diagnose.vpc import VisualCheck

__all__ = [
    "Gate",
    "VisualCheck",
    "fit_health",
    "goodness_of_fit",
    "population_predictions",
    "predictive_bands",
    "replicated",
]
