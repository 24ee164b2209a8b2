"""May this fit be used? Its health, the gate that decides, goodness of fit, and visual predictive checks."""

from vtrial.diagnose.compare import compare, stacking_weights
from vtrial.diagnose.gate import Gate
from vtrial.diagnose.goodness import goodness_of_fit
from vtrial.diagnose.health import fit_health
from vtrial.diagnose.loo import LeaveOneOut
from vtrial.diagnose.notes import data_notes, fit_notes
from vtrial.diagnose.predictive import predictive_bands
from vtrial.diagnose.replicate import population_predictions, replicated
from vtrial.diagnose.table import parameter_table
from vtrial.diagnose.vpc import VisualCheck

__all__ = [
    "Gate",
    "LeaveOneOut",
    "VisualCheck",
    "compare",
    "data_notes",
    "fit_health",
    "fit_notes",
    "goodness_of_fit",
    "parameter_table",
    "population_predictions",
    "predictive_bands",
    "replicated",
    "stacking_weights",
]
