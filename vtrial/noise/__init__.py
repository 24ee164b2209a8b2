"""Residual error: from a prediction to the distribution of its measurement."""

from vtrial.noise.additive import Additive
from vtrial.noise.base import AbstractNoise
from vtrial.noise.combined import Combined
from vtrial.noise.proportional import Proportional

__all__ = ["AbstractNoise", "Additive", "Combined", "Proportional"]
