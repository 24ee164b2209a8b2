"""The least standard deviation or prediction of a residual error that is relative to the prediction."""

import dataclasses

import numpy as np

from vtrial.data.dataset import Observations
from vtrial.errors import UserError
from vtrial.noise.base import AbstractNoise

PART = 1e-3
"""A floor is this part of the least measured value, or limit of quantification, above 0."""


def check_floor(what: str, least: float | None) -> None:
    """Refuse a floor that is none.

    Raises:
        UserError: it is 0 or less.
    """
    if least is not None and not least > 0:
        raise UserError(f"The least {what} must be positive, not {least}; left out, it follows from the data.")


def with_floor(noise: AbstractNoise, seen: Observations) -> AbstractNoise:
    """Return the noise with every floor that is left out set to a thousandth of the least value above 0.

    So it is far below what is measured, in whatever unit the output is. Noises within the noise have the same one.
    """
    known = np.abs(np.concatenate([seen.value, seen.lower, seen.upper]))
    known = known[np.isfinite(known) & (known > 0)]
    return _with(noise, PART * float(known.min())) if known.size else noise


def _with(noise: AbstractNoise, least: float) -> AbstractNoise:
    changes = {}
    for field in dataclasses.fields(noise):
        value = getattr(noise, field.name)
        if isinstance(value, AbstractNoise):
            changes[field.name] = _with(value, least)
        elif field.name == "least" and value is None:
            changes[field.name] = least
    return dataclasses.replace(noise, **changes) if changes else noise
