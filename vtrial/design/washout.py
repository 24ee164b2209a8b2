"""Whether the periods of a crossover are long enough for what came before to be gone."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from vtrial import units
from vtrial._types import Named
from vtrial.design.base import AbstractDesign
from vtrial.model import AbstractModel

HALF_LIVES = 5.0
"""Half-lives from the last dose of a period to the next period that leave no more than 3 % of it.

Source: FDA, Statistical Approaches to Establishing Bioequivalence, 2001; EMA CPMP/EWP/QWP/1401/98 Rev. 1, 4.1.1.
"""


def longest_half_life(model: AbstractModel, parameters: Named) -> float:
    """Return the longest half-life of a linear model for one person, in the model's time unit.

    From the eigenvalues of its rates; infinite where a state never returns to 0.

    Args:
        model: a model with `linear` true.
        parameters: of one person.
    """
    zero = {state: jnp.zeros(()) for state in model.states}
    blocks = jax.jacfwd(lambda y: model.rates(0.0, y, parameters))(zero)
    matrix = np.array([[float(blocks[row][column]) for column in model.states] for row in model.states])
    slowest = float(np.real(np.linalg.eigvals(matrix)).max())
    return math.log(2.0) / -slowest if slowest < 0 else math.inf


def washout_note(design: AbstractDesign, model: AbstractModel, parameters: Named) -> str:
    """Say in one sentence that periods are too short for the model's longest half-life; "" if they are not.

    Each period of a virtual patient is simulated from a clean start, so that the outcomes show no carry-over; this says
    whether a real trial would have any. Of models that are not linear nothing is said.

    Args:
        design: with its periods.
        model: the model.
        parameters: of a typical person.
    """
    if design.periods == 1 or not model.linear:
        return ""
    half_life = longest_half_life(model, parameters)
    records = [order.record for arm in design.arms for order in arm.regimen.orders(model)]
    given = max(r.time + r.additional * r.interval + r.duration for r in records)
    washout = units.quantity(design.spacing, model.time, where="design.spacing") - given
    if washout >= HALF_LIVES * half_life:
        return ""
    if not math.isfinite(half_life):
        return (
            f"A period's doses are never gone in model {type(model).__name__}, for one of its states does not return "
            "to 0: a crossover of it would carry over."
        )
    return (
        f"design.spacing is {design.spacing}, which leaves {washout:.3g} {model.time} after the last dose of a period, "
        f"less than {HALF_LIVES:g} half-lives of a typical patient ({half_life:.3g} {model.time}): the real trial "
        f"would carry over, the simulated one does not; make it "
        f"{given + HALF_LIVES * half_life:.3g} {model.time} or more."
    )
