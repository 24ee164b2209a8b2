"""Residual error and other laws of a measurement: from a prediction to what is observed."""

from vtrial.noise.additive import Additive
from vtrial.noise.autoregressive import Autoregressive
from vtrial.noise.base import AbstractNoise, AbstractWithoutError, Visits, check_outputs
from vtrial.noise.bernoulli import Bernoulli
from vtrial.noise.combined import Combined, adding
from vtrial.noise.combined1 import Combined1
from vtrial.noise.continuous import AbstractContinuous, AbstractGaussian
from vtrial.noise.discrete import AbstractDiscrete
from vtrial.noise.event import RepeatedEvents, TimeToEvent
from vtrial.noise.floor import with_floor
from vtrial.noise.log_normal import LogNormal
from vtrial.noise.negative_binomial import NegativeBinomial
from vtrial.noise.ordinal import Ordinal
from vtrial.noise.poisson import Poisson
from vtrial.noise.positive import Positive
from vtrial.noise.power import Power
from vtrial.noise.proportional import Proportional
from vtrial.noise.student import Student
from vtrial.noise.transform import TransformBothSides
from vtrial.noise.zero_inflated import ZeroInflatedPoisson

__all__ = [
    "AbstractContinuous",
    "AbstractDiscrete",
    "AbstractGaussian",
    "AbstractNoise",
    "AbstractWithoutError",
    "Additive",
    "Autoregressive",
    "Bernoulli",
    "Combined",
    "Combined1",
    "LogNormal",
    "NegativeBinomial",
    "Ordinal",
    "Poisson",
    "Positive",
    "Power",
    "Proportional",
    "RepeatedEvents",
    "Student",
    "TimeToEvent",
    "TransformBothSides",
    "Visits",
    "ZeroInflatedPoisson",
    "adding",
    "check_outputs",
    "with_floor",
]
