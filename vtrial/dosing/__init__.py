"""What is given to a patient, and when: dose records as NONMEM has them, regimens as a protocol says them."""

from vtrial.dosing.records import After, Dose, EventTable, event_table, rounded, stack
from vtrial.dosing.regimen import Regimen

__all__ = ["After", "Dose", "EventTable", "Regimen", "event_table", "rounded", "stack"]
