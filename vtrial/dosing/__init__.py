"""What is given to a patient, and when: dose records as NONMEM has them, regimens as a protocol says them."""

from vtrial.dosing.amount import AbstractAmount, AbstractRounding, Fixed, RoundDown, RoundNearest, RoundUp, Scaled
from vtrial.dosing.body import BodyMassIndex, FatFreeMass, IdealBodyWeight, PostmenstrualAge
from vtrial.dosing.changed import divided, given_only, joined, moved, sampled
from vtrial.dosing.kidney import CreatinineClearance, FiltrationRate, FiltrationRateChild
from vtrial.dosing.measure import AbstractMeasure, Calvert, DuBois, Mosteller, PerCovariate
from vtrial.dosing.records import After, Dose, Mark, Reset, event_table, rounded
from vtrial.dosing.regimen import AbstractRegimen, Combined, Consecutive, Cycles, Order, Regimen, Weekly
from vtrial.dosing.steps import Steps, Train, at_span, at_time, resolve, varies
from vtrial.dosing.table import EventTable, Kind, stack

__all__ = [
    "AbstractAmount",
    "AbstractMeasure",
    "AbstractRegimen",
    "AbstractRounding",
    "After",
    "BodyMassIndex",
    "Calvert",
    "Combined",
    "Consecutive",
    "CreatinineClearance",
    "Cycles",
    "Dose",
    "DuBois",
    "EventTable",
    "FatFreeMass",
    "FiltrationRate",
    "FiltrationRateChild",
    "Fixed",
    "IdealBodyWeight",
    "Kind",
    "Mark",
    "Mosteller",
    "Order",
    "PerCovariate",
    "PostmenstrualAge",
    "Regimen",
    "Reset",
    "RoundDown",
    "RoundNearest",
    "RoundUp",
    "Scaled",
    "Steps",
    "Train",
    "Weekly",
    "at_span",
    "at_time",
    "divided",
    "event_table",
    "given_only",
    "joined",
    "moved",
    "resolve",
    "rounded",
    "sampled",
    "stack",
    "varies",
]
