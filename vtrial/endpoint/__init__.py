"""Endpoints: what is measured in one patient."""

from vtrial.endpoint.base import AbstractEndpoint, AbstractWindow, Course, Schedule, Window
from vtrial.endpoint.event import TimeToEvent
from vtrial.endpoint.excursion import Outside
from vtrial.endpoint.exposure import Average, Maximum, Measured, Minimum
from vtrial.endpoint.noncompartmental import AreaToInfinity, AreaToLast, Clearance, Cmax, HalfLife, Tmax
from vtrial.endpoint.target import AverageInside, Inside, Reached, TimeInside
from vtrial.endpoint.visits import Visits

__all__ = [
    "AbstractEndpoint",
    "AbstractWindow",
    "AreaToInfinity",
    "AreaToLast",
    "Average",
    "AverageInside",
    "Clearance",
    "Cmax",
    "Course",
    "HalfLife",
    "Inside",
    "Maximum",
    "Measured",
    "Minimum",
    "Outside",
    "Reached",
    "Schedule",
    "TimeInside",
    "TimeToEvent",
    "Tmax",
    "Visits",
    "Window",
]
