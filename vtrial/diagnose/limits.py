"""Which observations are censored, and where: the one place that diagnostics ask."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from vtrial.data import Dataset, Observations
from vtrial.likelihood import StatisticalModel
from vtrial.noise import AbstractContinuous


class Limits(NamedTuple):
    """Censored observations of one output, and between which limits its values are known."""

    below: Bool[np.ndarray, " obs"]
    """Which are known only to be below a value, down to another or to nothing."""
    above: Bool[np.ndarray, " obs"]
    """Which are known only to be above a value."""
    lowest: float = -np.inf
    """The highest value that an observation is below: beneath it the data have no quantiles; -inf if there is none."""
    highest: float = np.inf
    """The lowest value that an observation is above; inf if there is none."""

    @property
    def censored(self) -> Bool[np.ndarray, " obs"]:
        """Which have no value."""
        return self.below | self.above

    def under(self, value: Float[np.ndarray, "*any obs"]) -> Bool[np.ndarray, "*any obs"]:
        """Return which values would not be known from below: not NaN, which are of replicates that were not solved."""
        return value < self.lowest

    def over(self, value: Float[np.ndarray, "*any obs"]) -> Bool[np.ndarray, "*any obs"]:
        """Return which would not be known from above."""
        return value > self.highest


def limits(statistical: StatisticalModel, data: Dataset) -> dict[str, Limits]:
    """Return the limits of each output's observations.

    Only measurements with a continuous error have limits: the interval in which an event is known to have happened is
    none of its value. The limit of a measured value is not in the data, so that the limits of the censored ones hold
    for all of an output: the highest lower one, and the lowest upper one.
    """
    return {o: _limits(seen, statistical.noise[o]) for o, seen in data.observations.items()}


def _limits(seen: Observations, noise: object) -> Limits:
    none = np.zeros(len(seen.value), bool)
    if not isinstance(noise, AbstractContinuous):
        return Limits(none, none)
    censored = np.asarray(seen.censored)
    # A value in an interval counts as below its upper end: such is one between 0 and a limit of quantification.
    below = censored & (np.asarray(seen.value) == np.asarray(seen.upper))
    above = censored & ~below
    lowest, highest = np.asarray(seen.upper)[below], np.asarray(seen.lower)[above]
    return Limits(below, above, float(max(lowest, default=-np.inf)), float(min(highest, default=np.inf)))
