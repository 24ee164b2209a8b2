"""Policies: doses that follow the patient's own observations."""

from vtrial.dosing.policy.adjustable import Adjustable
from vtrial.dosing.policy.adjustment import Adjustment
from vtrial.dosing.policy.base import AbstractPolicy, Decision, Past
from vtrial.dosing.policy.monitor import Monitor
from vtrial.dosing.policy.nomogram import Nomogram
from vtrial.dosing.policy.phases import Phases
from vtrial.dosing.policy.proportional import Proportional
from vtrial.dosing.policy.threshold import Above, AbstractThreshold, Below
from vtrial.dosing.policy.titration import StepTitration

__all__ = [
    "Above",
    "AbstractPolicy",
    "AbstractThreshold",
    "Adjustable",
    "Adjustment",
    "Below",
    "Decision",
    "Monitor",
    "Nomogram",
    "Past",
    "Phases",
    "Proportional",
    "StepTitration",
]
