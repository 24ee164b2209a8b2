"""Which observations are censored, and where: the one place that diagnostics ask."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from vtrial.data import Dataset


class Limits(NamedTuple):
    """Censored observations of one output."""

    below: Bool[np.ndarray, " obs"]
    """Which are below their limit of quantification."""
    value: Float[np.ndarray, " obs"]
    """That limit; -inf where an observation has none."""


def limits(data: Dataset, output: str) -> Limits:
    """Return the limits of an output's observations; a dataset has no censored ones."""
    count = len(data.observations[output].value)
    return Limits(np.zeros(count, bool), np.full(count, -np.inf))
