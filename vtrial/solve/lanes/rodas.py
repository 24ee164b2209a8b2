"""One step of Rodas5P, a Rosenbrock method of order 5 for stiff rates, with their exact sparse Jacobian.

Source: Steinebach 2023, doi:10.1007/s10543-023-00967-x, in the transformed form of Hairer and Wanner 1996, section
IV.7,
doi:10.1007/978-3-642-05221-7.
"""

from typing import Any

from vtrial.solve.lanes.jacobian import Entries, elimination, factorise, linearise, marked, substitute
from vtrial.solve.lanes.method import Attempt, Rates, weighted
from vtrial.solve.lanes.tableau import (
    RODAS5P_A,
    RODAS5P_C,
    RODAS5P_D,
    RODAS5P_DENSE,
    RODAS5P_GAMMA,
    RODAS5P_TIME,
)


class Rodas5P:
    """The stiff method; it solves eight linear systems with one matrix."""

    reuses = False

    def __init__(self, *, marks: bool = False):
        """Mark the solves for `forward` if `marks`."""
        self.marks = marks

    def attempt(self, rates: Rates, t: Any, y: tuple, h: Any, known: tuple) -> Attempt:
        """Take one step of length h."""
        size, inverse = len(y), 1.0 / h
        found = linearise(rates, t, y)
        matrix: Entries = {place: -entry for place, entry in found.jacobian.items()}
        for i in range(size):
            shift = inverse * (1.0 / RODAS5P_GAMMA)
            matrix[i, i] = matrix[i, i] + shift if (i, i) in matrix else shift
        plan = elimination(matrix, size)
        factors = factorise(matrix, plan)
        drift = {i: h * slope for i, slope in found.time.items()}
        stages, at, end = [], found.rates, y
        for s in range(8):
            if s:
                # A row that goes on from the last one adds a stage.
                again = s > 1 and RODAS5P_A[s - 1] == (*RODAS5P_A[s - 2], 1.0)
                begin, row = (end, (0.0,) * (s - 1) + (1.0,)) if again else (y, RODAS5P_A[s - 1])
                end = tuple(one + weighted(row, stages, i) for i, one in enumerate(begin))
                at = tuple(rates(t + RODAS5P_TIME[s - 1] * h, end))
            right = [at[i] + inverse * weighted(RODAS5P_C[s - 1], stages, i) if s else at[i] for i in range(size)]
            if s < len(RODAS5P_D):
                right = [one + RODAS5P_D[s] * drift[i] if i in drift else one for i, one in enumerate(right)]
            solve = marked(factors, matrix, plan, right) if self.marks else substitute(factors, plan, right)
            stages.append(solve)
        end = tuple(one + last for one, last in zip(end, stages[-1], strict=True))
        return Attempt(end, stages[-1], tuple(stages), ())

    def rest(self, h: Any) -> Any:
        """Return the length of a step that only looks: short, for a linear system needs one."""
        return h * 1e-3

    def between(self, theta: Any, h: Any, y: tuple, attempt: Attempt) -> tuple:
        """Return the state at the part `theta` of a step, of order 4."""
        left, states = 1.0 - theta, []
        for i, (start, end) in enumerate(zip(y, attempt.end, strict=True)):
            first, second, third = (weighted(row, attempt.stages, i) for row in RODAS5P_DENSE)
            states.append(left * start + theta * (end + left * (first + theta * (second + theta * third))))
        return tuple(states)
