"""Endpoints: what is measured in one patient."""

from vtrial.endpoint.base import AbstractEndpoint, Course, Window
from vtrial.endpoint.exposure import Average, Maximum, Measured, Minimum
from vtrial.endpoint.target import Inside, TimeInside
from vtrial.endpoint.visits import Visits

__all__ = [
    "AbstractEndpoint",
    "Average",
    "Course",
    "Inside",
    "Maximum",
    "Measured",
    "Minimum",
    "TimeInside",
    "Visits",
    "Window",
]
