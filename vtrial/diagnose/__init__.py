"""May this fit be used? Its health, the gate that decides, goodness of fit, and visual predictive checks."""

from vtrial.diagnose.check import check_fit
from vtrial.diagnose.compare import compare, stacking_weights
from vtrial.diagnose.gate import Gate
from vtrial.diagnose.health import fit_health
from vtrial.diagnose.loo import LeaveOneOut
from vtrial.diagnose.notes import data_notes, fit_notes
from vtrial.diagnose.table import parameter_table
from vtrial.diagnose.vpc import VisualCheck

__all__ = [
    "Gate",
    "LeaveOneOut",
    "VisualCheck",
    "check_fit",
    "compare",
    "data_notes",
    "fit_health",
    "fit_notes",
    "parameter_table",
    "stacking_weights",
]
