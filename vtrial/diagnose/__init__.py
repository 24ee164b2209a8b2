"""May this fit be used? Its health, the gate that decides, goodness of fit, and visual predictive checks."""

from vtrial.diagnose.check import check_fit
from vtrial.diagnose.compare import compare, stacking_weights
from vtrial.diagnose.gate import Gate
from vtrial.diagnose.health import fit_health
from vtrial.diagnose.loo import LeaveOneOut
from vtrial.diagnose.notes import data_notes, fit_notes
from vtrial.diagnose.recover import Recovery, recovery
from vtrial.diagnose.refit import Limits, summarised
from vtrial.diagnose.sbc import Calibration, calibration
from vtrial.diagnose.solves import failed_solves, fit_failures, lost_after_warmup, lost_on_the_way
from vtrial.diagnose.table import parameter_table
from vtrial.diagnose.vpc import VisualCheck

__all__ = [
    "Calibration",
    "Gate",
    "LeaveOneOut",
    "Limits",
    "Recovery",
    "VisualCheck",
    "calibration",
    "check_fit",
    "compare",
    "data_notes",
    "failed_solves",
    "fit_failures",
    "fit_health",
    "fit_notes",
    "lost_after_warmup",
    "lost_on_the_way",
    "parameter_table",
    "recovery",
    "stacking_weights",
    "summarised",
]
