"""One step of Tsit5, an explicit Runge-Kutta method of order 5 whose last stage is the first of the next step.

Source: Tsitouras 2011, doi:10.1016/j.camwa.2011.06.002.
"""

from typing import Any

from vtrial.solve.lanes.method import Attempt, Rates, weighted
from vtrial.solve.lanes.tableau import TSIT5_A, TSIT5_C, TSIT5_DENSE, TSIT5_ERROR


class Tsit5:
    """The explicit method; it hands the rates at the end of a step to the next."""

    reuses = True

    def attempt(self, rates: Rates, t: Any, y: tuple, h: Any, known: tuple) -> Attempt:
        """Take one step of length h."""
        stages, end = [known], y
        for row, c in zip(TSIT5_A, TSIT5_C, strict=True):
            end = tuple(one + h * weighted(row, stages, i) for i, one in enumerate(y))
            stages.append(tuple(rates(t + c * h, end)))
        error = tuple(h * weighted(TSIT5_ERROR, stages, i) for i in range(len(y)))
        return Attempt(end, error, tuple(stages), stages[-1])

    def rest(self, h: Any) -> Any:
        """Return the length of a step that only looks: none, which still finds the rates at the state it is given."""
        return h * 0.0

    def between(self, theta: Any, h: Any, y: tuple, attempt: Attempt) -> tuple:
        """Return the state at the part `theta` of a step, of order 4."""
        weights = tuple(_polynomial(theta, row) for row in TSIT5_DENSE)
        return tuple(one + h * weighted(weights, attempt.stages, i) for i, one in enumerate(y))


def _polynomial(theta: Any, coefficients: tuple[float, ...]) -> Any:
    """Return a polynomial without constant term."""
    total = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * theta + c
    return total * theta
