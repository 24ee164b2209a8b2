"""The 3+3 rule, exactly: what it selects, and how many patients and toxicities each dose gets.

Three patients are given a dose. If none has a toxicity the next dose follows; if one has, three more are given the
same, and the next dose follows if none of them has; in all other cases the trial ends. What is selected is the dose
below the one it ended at, or the highest if it never ended.
Source: Storer 1989, doi:10.2307/2531693.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Exact(NamedTuple):
    """Operating characteristics without Monte-Carlo error."""

    none: float
    """Probability that no dose is selected."""
    selected: Float[np.ndarray, " dose"]
    """Probability that each dose is selected."""
    patients: Float[np.ndarray, " dose"]
    """Expected number of patients at each dose."""
    toxicities: Float[np.ndarray, " dose"]
    """Expected number of toxicities at each dose."""


def exact(toxicity: Float[np.ndarray, " dose"]) -> Exact:
    """Return the operating characteristics where the doses, ascending, have these probabilities of toxicity."""
    none_of_three, one_of_three = (1 - toxicity) ** 3, 3 * toxicity * (1 - toxicity) ** 2
    escalates = none_of_three + one_of_three * none_of_three
    reached = np.concatenate([[1.0], np.cumprod(escalates)])
    ended = np.append(reached[:-1] * (1 - escalates), reached[-1])
    patients = reached[:-1] * 3 * (1 + one_of_three)
    return Exact(float(ended[0]), ended[1:], patients, patients * toxicity)
