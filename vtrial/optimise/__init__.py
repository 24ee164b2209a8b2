"""Optimisation by gradients: doses by expected utility, sampling times by expected information."""

from vtrial.optimise.base import AbstractSearch, Ground
from vtrial.optimise.dose import DoseSearch
from vtrial.optimise.sampling import SamplingSearch
from vtrial.optimise.utility import AbstractUtility, NearTarget, ShareInside

__all__ = [
    "AbstractSearch",
    "AbstractUtility",
    "DoseSearch",
    "Ground",
    "NearTarget",
    "SamplingSearch",
    "ShareInside",
]
