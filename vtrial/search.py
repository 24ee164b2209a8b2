"""Calibration of a design: the size or threshold that brings a characteristic of its trials to a target."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import numpy as np
import xarray as xr
from jaxtyping import Float

from vtrial import __version__, schema
from vtrial.cells import Cell, judge_cell
from vtrial.errors import UserError, nearest
from vtrial.report.comparison import as_text
from vtrial.report.numbers import known, percent, with_error
from vtrial.statistics.crossing import Crossing, crossing, falls, paired_error
from vtrial.store import locked, write_tree, write_whole
from vtrial.sweep import refuse_other
from vtrial.trial import average, share

log = logging.getLogger(__name__)

AT_LEAST = ("power", "power_any", "probability_correct", "probability_selected", "value_of_trial")
"""Characteristics of which the target is the least that will do."""
AT_MOST = (
    "type_one_error",
    "type_one_error_any",
    "family_wise_error",
    "enrolled",
    "duration",
    "toxicities_all",
    "overdosed",
)
"""Those of which it is the most."""
_SHARES = (*AT_LEAST[:4], *AT_MOST[:3], "overdosed")


_NEAR = 4.0
"""Monte-Carlo errors by which a characteristic may differ between two values that are not told apart further."""


def _pair(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)


class Search(eqx.Module):
    """What is varied, within which limits, to reach what.

    Args:
        vary: a key of the study with a number; a whole number stays one. Of several whole numbers, as sizes of looks
            are, the sum is varied, and their proportions stay.
        between: limits of the search.
        target: one characteristic and the value it is to have: at least, of power and the like; at most, of errors,
            sizes and toxicities.
        arm: whose characteristic, where each arm has its own.
        evaluations: values tried at most.
    """

    vary: str | None = eqx.field(static=True, default=None)
    between: tuple[float, ...] | None = eqx.field(static=True, default=None, converter=_pair)
    target: Mapping[str, float] | None = eqx.field(static=True, default=None)
    arm: str | None = eqx.field(static=True, default=None)
    evaluations: int = eqx.field(static=True, default=12)

    def __check_init__(self):
        """Refuse a search without limits or target.

        Raises:
            UserError: naming the key.
        """
        if not self.vary:
            raise UserError("calibrate.vary names the key to vary, for example calibrate.vary=design.per_arm.")
        if self.between is None or len(self.between) != 2 or not self.between[0] < self.between[1]:
            raise UserError("calibrate.between is two numbers, the lesser first: calibrate.between=[20,200].")
        if self.target is None or len(self.target) != 1:
            raise UserError("calibrate.target is one characteristic and its value: calibrate.target='{power: 0.8}'.")
        name, value = next(iter(self.target.items()))
        if name not in (*AT_LEAST, *AT_MOST):
            raise UserError(f"calibrate.target: '{name}' cannot be one. {nearest(name, (*AT_LEAST, *AT_MOST))}")
        if name in _SHARES and not 0 < value < 1:
            raise UserError(f"calibrate.target: {name} is a probability between 0 and 1, not {value:g}.")
        if self.evaluations < 3:
            raise UserError(f"calibrate.evaluations is 3 or more, not {self.evaluations}.")

    @property
    def characteristic(self) -> str:
        """Name of the characteristic."""
        return next(iter(self.target or ()))

    @property
    def wanted(self) -> float:
        """Value it is to have."""
        return float((self.target or {})[self.characteristic])

    @property
    def limits(self) -> tuple[float, float]:
        """Where the search begins and ends."""
        low, high = self.between or (math.nan, math.nan)
        return low, high


type Evaluate = Callable[[float], Float[np.ndarray, " replicate"]]
"""Returns what each trial adds to the characteristic, at a value of the key; the same trials at every value."""


class Answer(NamedTuple):
    """What a search found."""

    value: float
    """The least, or greatest, value that reaches the target; of whole numbers a whole number."""
    least: bool
    """Whether it is the least one: greater ones reach the target too."""
    crossing: Crossing
    """Where the target is met, and how well that is known."""
    tried: Mapping[float, Float[np.ndarray, " replicate"]]
    """By value of the key: what each trial adds to the characteristic."""


def search(evaluate: Evaluate, settings: Search, *, whole: bool) -> Answer:
    """Find where a characteristic that rises or falls with a key meets its target.

    Bisection on common random numbers, until what is left of the interval is within Monte-Carlo error; then isotonic
    regression of all values tried. How well the answer is known is from resampling trials, at all values together.

    Args:
        evaluate: conducts the trials.
        settings: what is sought.
        whole: whether the key takes whole numbers alone.

    Raises:
        UserError: the target is not met between the limits, or the characteristic goes up and down.
    """
    target, tried = settings.wanted, {float(at): evaluate(float(at)) for at in settings.limits}
    low, high = settings.limits
    means = {at: float(np.nanmean(value)) for at, value in tried.items()}
    rising = means[high] > means[low]
    _refuse_outside(settings, tried)
    while len(tried) < settings.evaluations:
        near = min(tried, key=lambda at: abs(means[at] - target))
        noise = paired_error(tried[near], np.zeros_like(tried[near]))
        middle = (low + high) / 2
        middle = float(math.floor(middle)) if whole else float(f"{middle:.6g}")
        if abs(means[high] - means[low]) <= _NEAR * noise or middle in (low, high):
            break
        tried[middle] = evaluate(middle)
        means[middle] = float(np.nanmean(tried[middle]))
        log.info("%s=%g: %s %.4g", settings.vary, middle, settings.characteristic, means[middle])
        below = means[middle] < target
        low, high = (middle, high) if below == rising else (low, middle)
    at = np.array(sorted(tried))
    values = np.stack([tried[x] for x in at])
    _refuse_turns(settings, at, values, rising=rising)
    found = crossing(at, values, target, rising=rising)
    least = rising == (settings.characteristic in AT_LEAST)
    answer = (math.ceil(found.at - 1e-9) if least else math.floor(found.at + 1e-9)) if whole else found.at
    return Answer(float(answer), least, found, tried)


def _refuse_outside(settings: Search, tried: Mapping[float, np.ndarray]) -> None:
    """Refuse a target that is on one side of the characteristic at both limits.

    Raises:
        UserError: it is.
    """
    (low, one), (high, two) = tried.items()
    first, second = float(np.nanmean(one)), float(np.nanmean(two))
    if not min(first, second) <= settings.wanted <= max(first, second) or first == second:
        said = [f"{_written(settings, value)} at {settings.vary}={at:g}" for at, value in ((low, one), (high, two))]
        raise UserError(
            f"calibrate.between does not enclose the target: {settings.characteristic} is {said[0]} and {said[1]}, "
            f"the target {settings.wanted:g}; give other limits or another target."
        )


def _refuse_turns(settings: Search, at: np.ndarray, values: np.ndarray, *, rising: bool) -> None:
    """Refuse a characteristic that goes against its direction by more than four Monte-Carlo errors.

    Raises:
        UserError: it does.
    """
    if (pair := falls(values if rising else -values)) is not None:
        said = [f"{_written(settings, values[i])} at {settings.vary}={at[i]:g}" for i in pair]
        raise UserError(
            f"{settings.characteristic} goes up and down with {settings.vary}: it is {said[0]} and {said[1]}, beyond "
            "Monte-Carlo error; narrow calibrate.between to where it goes one way."
        )


def _written(settings: Search, value: np.ndarray) -> str:
    if settings.characteristic in _SHARES:
        p, error = share(value)
        return percent(float(p), float(error))
    mean, error = average(value)
    return with_error(float(mean), float(error))


def calibrate(settings: Search, cell: Callable[[Mapping[str, str]], Cell], directory: Path, name: str) -> str:
    """Search, write calibrate.zarr and calibrate.html, and return what to tell in a terminal.

    Args:
        settings: what is sought.
        cell: returns the variant of the study with an override of a key.
        directory: where everything goes; an interrupted search goes on there.
        name: of the study.

    Raises:
        UserError: there is no such key or characteristic, or as for `search`.
    """
    from vtrial.report.sweep import search_page, search_table  # matplotlib is slow to import

    with locked(directory):
        refuse_other(directory, name)
        start, key = cell({}), str(settings.vary)
        entry = _entry(start, key)
        whole = not isinstance(entry, float)
        if whole and any(x != round(x) for x in settings.limits):
            raise UserError(
                f"calibrate.between: {key} is a whole number, so its limits are too; write it as 10.0 if it is none."
            )

        def evaluate(at: float) -> Float[np.ndarray, " replicate"]:
            text = _text(entry, at)
            log.info("%s=%s", key, text)
            return _values(judge_cell(directory / ".cells", name, cell({key: f"{key}={text}"})).each, settings)

        answer = search(evaluate, settings, whole=whole)
        tried = dict(answer.tried) | {answer.value: evaluate(answer.value)}
        points = _points(tried, answer, settings, whole=whole)
        about = {"study": name, "question": start.study.question, "version": __version__}
        tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=about), "search": points})
        write_tree(tree, directory / "calibrate.zarr")
        write_whole(directory / "calibrate.html", search_page(tree))
    table = search_table(points, dict(points.attrs))
    return as_text(table, [points.attrs["sentence"], f"Report: {directory / 'calibrate.html'}"])


def _entry(cell: Cell, key: str) -> float | list[int]:
    """Return the value of a key in the configuration: a number, or several whole ones as sizes of looks are.

    Raises:
        UserError: there is no such key, or it is no number.
    """
    node: object = cell.plain
    for step in key.split("."):
        if not isinstance(node, Mapping) or step not in node:
            known_keys = node if isinstance(node, Mapping) else ()
            raise UserError(f"calibrate.vary: there is no key '{key}'. {nearest(step, known_keys)}")
        node = node[step]
    if isinstance(node, list) and node and all(isinstance(x, int) for x in node) and sum(node) > 0:
        return node
    if isinstance(node, bool) or not isinstance(node, int | float):
        raise UserError(f"calibrate.vary: {key} is {node!r}, no number.")
    return node


def _text(entry: float | list[int], at: float) -> str:
    """Write the value of a key: a number, or whole numbers in the proportions of the entry whose sum it is."""
    if isinstance(entry, list):
        ends = np.round(np.cumsum(entry) / sum(entry) * at).astype(int)
        return str(np.diff(ends, prepend=0).tolist())
    return repr(at) if isinstance(entry, float) else str(round(at))


def _values(each: xr.Dataset, settings: Search) -> Float[np.ndarray, " replicate"]:
    """Return what each trial adds to the characteristic.

    Raises:
        UserError: the trials have no such characteristic, or the arm must be named.
    """
    if settings.characteristic not in each:
        raise UserError(f"calibrate.target: trials of this design have no {settings.characteristic}.")
    found = each[settings.characteristic]
    if schema.ARM not in found.dims:
        return found.to_numpy()
    arms = [str(a) for a in each[schema.ARM].to_numpy()]
    known_arms = [a for a in arms if bool(np.isfinite(found.sel({schema.ARM: a})).any())]
    arm = settings.arm or (known_arms[0] if len(known_arms) == 1 else None)
    if arm is None or arm not in known_arms:
        given = f"'{arm}' has none" if arm else "each arm has its own"
        raise UserError(
            f"calibrate.arm: {settings.characteristic} is of one arm, and {given}; name one of {', '.join(known_arms)}."
        )
    return found.sel({schema.ARM: arm}).to_numpy()


def _points(tried: Mapping[float, np.ndarray], answer: Answer, settings: Search, *, whole: bool) -> xr.Dataset:
    """Return every value tried, and the answer in words and numbers."""
    counted = settings.characteristic in _SHARES
    found = [(share if counted else average)(value) for value in tried.values()]
    lower, upper = answer.crossing.lower, answer.crossing.upper
    if whole:
        lower, upper = math.floor(lower), math.ceil(upper)
    attrs = {
        "vary": str(settings.vary),
        "characteristic": settings.characteristic + (f" of {settings.arm}" if settings.arm else ""),
        "target": settings.wanted,
        "share": int(counted),
        "unit": "",
        "answer": answer.value,
        "crossing": answer.crossing.at,
        "error": answer.crossing.error,
        "lower": float(lower),
        "upper": float(upper),
    }
    entries = {
        "at": ("tried", np.array(list(tried)), {"long_name": f"Value of {settings.vary}"}),
        "value": ("tried", np.array([float(v) for v, _ in found]), {"long_name": settings.characteristic}),
        "value_mcse": ("tried", np.array([float(e) for _, e in found]), {"long_name": "Its Monte-Carlo error"}),
    }
    return xr.Dataset(entries, attrs=attrs | {"sentence": _sentence(answer, settings, attrs, tried[answer.value])})


def _sentence(answer: Answer, settings: Search, attrs: Mapping[str, object], value: np.ndarray) -> str:
    """Say the answer with no more digits than Monte-Carlo error allows."""
    error, (low, high) = answer.crossing.error, settings.limits
    shown, margin = known(answer.value, error), known(error, error) if math.isfinite(error) else "not known"
    lower, upper = (known(float(attrs[n]), error) for n in ("lower", "upper"))  # pyright: ignore[reportArgumentType]
    outside = "" if low < answer.crossing.lower and answer.crossing.upper < high else " (the search ends there)"
    way = "at least" if settings.characteristic in AT_LEAST else "at most"
    return (
        f"{attrs['characteristic']} is {way} {settings.wanted:g} from {settings.vary}={shown} "
        f"{'on' if answer.least else 'downwards'}; "
        f"Monte-Carlo error {margin}, 95 % interval {lower} to {upper}{outside}. "
        f"At {settings.vary}={answer.value:.6g} it is {_written(settings, value)}."
    )
