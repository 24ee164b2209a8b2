"""Regimens: doses as a protocol says them."""

from vtrial.dosing.regimen.base import AbstractRegimen, Order
from vtrial.dosing.regimen.cycles import Cycles
from vtrial.dosing.regimen.intervals import Regimen
from vtrial.dosing.regimen.parts import Combined, Consecutive
from vtrial.dosing.regimen.weekly import Weekly

__all__ = ["AbstractRegimen", "Combined", "Consecutive", "Cycles", "Order", "Regimen", "Weekly"]
