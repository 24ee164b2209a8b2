"""May this fit be used? Its health, the gate that decides, and the visual predictive check."""

from vtrial.diagnose.gate import Gate
from vtrial.diagnose.health import fit_health
from vtrial.diagnose.loo import LeaveOneOut
from vtrial.diagnose.vpc import visual_predictive_check

__all__ = ["Gate", "LeaveOneOut", "fit_health", "visual_predictive_check"]
