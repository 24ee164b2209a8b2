"""Hours of the day, which schedules by days share."""

from collections.abc import Sequence

from vtrial import units
from vtrial.dosing.records import rounded
from vtrial.errors import UserError
from vtrial.model import AbstractModel


def listed(at: str | Sequence[str]) -> tuple[str, ...]:
    """Return one hour or several as a tuple."""
    return (at,) if isinstance(at, str) else tuple(at)


def day(model: AbstractModel) -> float:
    """Return the length of a day in the model's time unit."""
    return units.factor("day", model.time, where="A day")


def hours(at: Sequence[str], model: AbstractModel) -> list[float]:
    """Return hours of the day as times after midnight, in the model's unit.

    Raises:
        UserError: there is none, one is not within a day, or one comes twice.
    """
    found = [units.quantity(text, model.time, where="Regimen's at") for text in at]
    for text, hour in zip(at, found, strict=True):
        if not 0 <= hour < day(model):
            raise UserError(f"Regimen's at has {text}; an hour of the day is from 0 h to less than 24 h.")
    if not found or len({rounded(hour) for hour in found}) < len(found):
        raise UserError(f"Regimen's at is {', '.join(at) or 'empty'}; give each hour of the day once.")
    return found


def say(at: Sequence[str]) -> str:
    """Say hours of the day."""
    return f"at {' and '.join(at)}"
