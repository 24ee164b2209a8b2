"""Sampling times that maximise the expected information about a population (D-optimality)."""

import equinox as eqx
import numpy as np
import xarray as xr
from jaxtyping import Array, Key

from vtrial import units
from vtrial._types import texts
from vtrial.errors import UserError
from vtrial.optimise.base import AbstractSearch, Ground, maximise
from vtrial.optimise.information import Information

_CANDIDATES = 121
"""Times on which the exchange looks."""


class SamplingSearch(AbstractSearch):
    """Times at which to sample the subjects of an arm, so that the population is known as well as can be.

    The criterion is the log determinant of the expected information about typical values, omegas and residual error,
    by the first-order approximation; correlations of etas count as known. First an exchange over a grid of candidates,
    then a climb by gradients. The slopes of predictions in etas and typical values are the solver's own derivatives.
    Source: Retout et al. 2001, Comput Methods Programs Biomed 65:141; exchange: Fedorov 1972, ISBN 978-0-12-250750-8.

    Args:
        arm: name of the arm.
        times: with their units: where the search begins, and how many there are.
        lower: earliest time.
        upper: latest time.
        subjects: of the arm.
        outputs: measured at each time; left out, all that have a residual error.
        draws: of the posterior that the criterion is averaged over; 0: at the posterior mean.
    """

    arm: str = eqx.field(static=True)
    times: tuple[str, ...] = eqx.field(static=True, converter=texts)
    lower: str = eqx.field(static=True)
    upper: str = eqx.field(static=True)
    subjects: int = eqx.field(static=True, default=32)
    outputs: tuple[str, ...] = eqx.field(static=True, converter=texts, default=())
    draws: int = eqx.field(static=True, default=0)

    def __call__(self, key: Key[Array, ""], ground: Ground) -> xr.Dataset:
        """Exchange, climb, and compare with where it began."""
        model = ground.statistical.model
        start = np.sort([units.quantity(t, model.time, where="optimise.times") for t in self.times])
        low = units.quantity(self.lower, model.time, where="optimise.lower")
        high = units.quantity(self.upper, model.time, where="optimise.upper")
        if not len(start):
            raise UserError("optimise.times is empty; give as many times to begin with as there are samples.")
        if not 0 <= low < high or start[0] < low or start[-1] > high:
            raise UserError(f"optimise.times must lie within {self.lower} to {self.upper}, from 0 on.")
        told = Information(ground, self.arm, self.outputs, self.subjects, self.draws)
        began = told.value(start)
        exchanged = told.exchange(np.linspace(low, high, _CANDIDATES), start)

        def objective(times: np.ndarray) -> tuple[float, np.ndarray]:
            return told.with_gradient(times, low, high)

        bounds = np.full(len(start), low), np.full(len(start), high)
        found = max((maximise(objective, t, *bounds) for t in (exchanged, start)), key=lambda f: f.value)
        return self._told(told, began, (start, exchanged, np.sort(found.place)))

    def _told(self, told: Information, began: float, places: tuple[np.ndarray, ...]) -> xr.Dataset:
        """Put it into a dataset, and into words."""
        start, exchanged, best = places
        value, unit = told.value(best), told.statistical.model.time
        data = xr.Dataset(coords={"parameter": list(told.names), "sample": np.arange(1, len(best) + 1)})
        for name, times in (("start", start), ("exchanged", exchanged), ("optimum", best)):
            data[f"time_{name}"] = ("sample", times, {"long_name": f"Sampling times: {name}", "units": unit})
        for name, times in (("start", start), ("optimum", best)):
            error = {"long_name": f"Expected relative standard error: {name}", "units": "%"}
            data[f"rse_{name}"] = ("parameter", told.relative_errors(times), error)
        efficiency = np.exp((began - value) / len(told.names))
        data.attrs |= {"arm": self.arm, "criterion": value, "criterion_start": began, "efficiency_start": efficiency}
        data.attrs["criterion_exchanged"] = told.value(exchanged)
        listed = ", ".join(f"{t:.4g}" for t in best)
        data.attrs["sentences"] = [
            f"sample at {listed} {unit}",
            f"log determinant of the information {value:.4f}, at the start {began:.4f}: the start is worth "
            f"{100 * efficiency:.0f} % of the subjects",
        ]
        return data
