"""From a statistical model and a dataset to a posterior."""

from vtrial.inference.base import AbstractInference
from vtrial.inference.nuts import Nuts
from vtrial.inference.prior import Prior
from vtrial.inference.saved import Saved

__all__ = ["AbstractInference", "Nuts", "Prior", "Saved"]
