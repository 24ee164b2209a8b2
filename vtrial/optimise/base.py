"""What a search is, and what it stands on."""

from abc import abstractmethod
from collections.abc import Callable, Mapping

import equinox as eqx
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key
from scipy import optimize

from vtrial.cohort import Recruitment
from vtrial.data import Dataset
from vtrial.design import Arm
from vtrial.errors import UserError, nearest
from vtrial.likelihood import StatisticalModel


class Ground(eqx.Module):
    """What is known when a search begins."""

    statistical: StatisticalModel
    data: Dataset
    posterior: Mapping[str, np.ndarray]
    """Draws, leading axis the draw."""
    cohort: Recruitment
    arms: Mapping[str, Arm]

    def arm(self, name: str) -> Arm:
        """Return an arm of the study.

        Raises:
            UserError: there is none of this name, or its doses adapt to the patient.
        """
        if name not in self.arms:
            raise UserError(f"optimise.arm is '{name}', which is no arm of the design. {nearest(name, self.arms)}")
        if self.arms[name].policy is not None:
            raise UserError(f"Arm {name} has a policy, by which its doses change; give an arm without one.")
        return self.arms[name]


class AbstractSearch(eqx.Module):
    """Looks for the best of something, on the posterior of a study."""

    @abstractmethod
    def __call__(self, key: Key[Array, ""], ground: Ground) -> xr.Dataset:
        """Return the optimum and what surrounds it; attribute `sentences` says it in words.

        Raises:
            UserError: the search does not fit the study, or fails.
        """


class Optimum(eqx.Module):
    """Where a search ended."""

    place: Float[np.ndarray, " place"]
    value: float
    gradient: Float[np.ndarray, " place"]
    evaluations: int = eqx.field(static=True)


type Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Returns value and gradient at a place."""


def maximise(objective: Objective, start: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> Optimum:
    """Return the maximum that L-BFGS-B climbs to between bounds.

    Source: Byrd et al. 1995, doi:10.1137/0916069.

    Args:
        objective: value and gradient.
        start: where it begins.
        lower: bounds below.
        upper: bounds above.

    Raises:
        UserError: the objective is no number at the start.
    """
    if not np.isfinite(objective(start)[0]):
        raise UserError("The search cannot begin: what is to be maximised is no finite number at its start.")

    def turned(place: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(place)
        return -value, -gradient

    bounds = list(zip(lower.tolist(), upper.tolist(), strict=True))
    options = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 500}
    found = optimize.minimize(turned, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return Optimum(np.asarray(found.x), float(-found.fun), -np.asarray(found.jac), int(found.nfev))
