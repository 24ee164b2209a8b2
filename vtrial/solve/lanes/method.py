"""What the driver asks of a method: one attempted step, and the state inside it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from vtrial.solve.lanes.arithmetic import plus, times

Rates = Callable[[Any, tuple], tuple]
"""Rates of the states at a time and a state: rates(t, y)."""


class Attempt(NamedTuple):
    """One attempted step."""

    end: tuple[Any, ...]
    """The state at its end."""
    error: tuple[Any, ...]
    """Estimate of the error of each state."""
    stages: tuple[tuple[Any, ...], ...]
    known: tuple[Any, ...]
    """What the next step may use."""


class Method(Protocol):
    """A one-step method of order 5 with an error estimate of order 4 and a dense output."""

    reuses: bool
    """Whether a step is handed the rates at its start; else nothing."""

    def attempt(self, rates: Rates, t: Any, y: tuple, h: Any, known: tuple) -> Attempt:
        """Take one step of length h."""
        ...

    def rest(self, h: Any) -> Any:
        """Return the length of the step to be computed, and then dropped, where no time passes."""
        ...

    def between(self, theta: Any, h: Any, y: tuple, attempt: Attempt) -> tuple:
        """Return the state at the part `theta` of a step."""
        ...


def weighted(weights: Sequence[Any], stages: Sequence[tuple], i: int) -> Any:
    """Return the weighted sum of component i of the stages."""
    total = None
    for weight, stage in zip(weights, stages, strict=True):
        if not (isinstance(weight, float) and weight == 0.0):
            term = stage[i] if isinstance(weight, float) and weight == 1.0 else times(weight, stage[i])
            total = term if total is None else plus(total, term)
    return 0.0 if total is None else total
