"""When the periods of a design start."""

import numpy as np
from jaxtyping import Float

from vtrial import units
from vtrial.design.base import AbstractDesign
from vtrial.model import AbstractModel


def spacing_of(design: AbstractDesign, model: AbstractModel) -> float:
    """Return the time from the start of one period to that of the next, in the model's time unit; 0 of one period."""
    return 0.0 if design.periods == 1 else units.quantity(design.spacing, model.time, where="design.spacing")


def starts_of(design: AbstractDesign, model: AbstractModel) -> Float[np.ndarray, "*period"]:
    """Return the time since entry at which each period starts, in the model's time unit; 0 of one period."""
    return np.asarray(0.0) if design.periods == 1 else spacing_of(design, model) * np.arange(design.periods)
