"""The amounts of an arm's doses that maximise an expected utility over posterior and patients."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from vtrial import keys, schema
from vtrial.cohort import Recruitment, recruit
from vtrial.dosing import After, EventTable, given_only
from vtrial.dosing.table import Kind
from vtrial.errors import UserError
from vtrial.optimise.base import AbstractSearch, Ground, Optimum, maximise
from vtrial.optimise.utility import AbstractUtility
from vtrial.solve import ResultCode

_GRID = 21
"""Common factors tried first: the climb starts from the best."""
_STEP = 1e-3
"""Of the logarithm of a factor, for the second derivatives."""


def _whole(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(v) for v in values)


type Utilities = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Mean utility of the patients of each replicate at log factors, and its gradient."""


class DoseSearch(AbstractSearch):
    """Doses as multiples of those of an arm. Every dose is tried on the same patients (common random numbers).

    The error of the optimum is that of its estimating equation: inverse second derivative times the error of the
    gradient, replicates being independent. Source: Shapiro et al. 2009, doi:10.1137/1.9780898718751, section 5.1.

    Args:
        arm: name of the arm.
        utility: of a patient's course.
        doses: how many doses in a row share a factor, for example [1, 27] for a loading dose apart; left out, all do.
        lower: least factor.
        upper: greatest factor.
        replicates: posterior draws.
        subjects: patients of each.
    """

    arm: str = eqx.field(static=True)
    utility: AbstractUtility
    doses: tuple[int, ...] = eqx.field(static=True, converter=_whole, default=())
    lower: float = eqx.field(static=True, default=0.1)
    upper: float = eqx.field(static=True, default=10.0)
    replicates: int = eqx.field(static=True, default=200)
    subjects: int = eqx.field(static=True, default=40)

    def __check_init__(self):
        """Refuse bounds that leave nothing between, and too few replicates for an error."""
        if self.replicates < 2 or self.subjects < 2:
            raise UserError(
                f"optimise.replicates and subjects are 2 or more, not {self.replicates} and {self.subjects}."
            )
        if not 0 < self.lower < self.upper:
            raise UserError(f"optimise.lower and upper are factors, 0 < lower < upper; got {self.lower}, {self.upper}.")

    def __call__(self, key: Key[Array, ""], ground: Ground) -> xr.Dataset:
        """Try common factors on a grid, climb from the best, and work out how sure the optimum is."""
        utilities, free = self.utilities(key, ground)
        low, high = np.full(free, np.log(self.lower)), np.full(free, np.log(self.upper))
        grid = np.linspace(low[0], high[0], _GRID)
        tried = np.stack([utilities(np.full(free, x))[0] for x in grid])
        if not np.isfinite(tried.mean(1)).any():
            raise UserError(
                f"The utility of arm '{self.arm}' is no number at any factor from {self.lower:g} to {self.upper:g}: "
                "the model could not be solved, or the output is not above 0 where its logarithm is needed."
            )
        start = np.full(free, grid[np.nanargmax(tried.mean(1))])

        def objective(place: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = utilities(place)
            return float(value.mean()), gradient.mean(0)

        found = maximise(objective, start, low, high)
        own, slopes = utilities(found.place)
        inside = (found.place > low + _STEP) & (found.place < high - _STEP)
        error = np.full(free, np.nan)
        error[inside] = _error(objective, found.place, slopes, inside)
        return self._told(found, own, error, grid, tried)

    def utilities(self, key: Key[Array, ""], ground: Ground) -> tuple[Utilities, int]:
        """Return the function to be averaged, and how many factors it takes.

        Raises:
            UserError: the doses are not as many as `doses` says, or begin at steady state, or draws are too few.
        """
        arm, statistical, model = ground.arm(self.arm), ground.statistical, ground.statistical.model
        if any(order.record.steady for order in arm.regimen.orders(model)):
            raise UserError(
                f"Arm '{self.arm}' begins at steady state, whose doses are not searched; write its doses out."
            )
        if self.replicates > (known := len(next(iter(ground.posterior.values())))):
            raise UserError(
                f"optimise.replicates is {self.replicates}, but there are {known} posterior draws; lower it, or raise "
                "inference.draws."
            )
        who = Recruitment(self.replicates, self.subjects, ground.cohort.covariates, ground.cohort.levels)
        people = recruit(keys.named(key, "recruit"), who, ground.posterior, statistical, ground.data)
        times = self.utility.window.times(model).tolist()
        stretch = self.utility.window.after_dose and len(times) > 1
        rows = [After(t) if i == 0 and stretch else t for i, t in enumerate(times)]
        first = {name: value[0, 0] for name, value in people.covariates.items()}
        entry, given = _numbered(arm.regimen.records(model, rows, first))
        group = np.asarray(self._groups(given))[entry]

        def one(place, p, covariates):
            p = {name: value * arm.factors.get(name, 1.0) for name, value in p.items()}
            table = arm.regimen.records(model, rows, covariates)
            profile = statistical.solver(model, p, given_only(table, jnp.exp(place)[group]))
            course = profile.outputs[self.utility.window.output]
            return jnp.where(profile.code == ResultCode.SOLVED, self.utility.of(course, model), jnp.nan)

        def each(place):
            over_subjects = jax.vmap(one, in_axes=(None, 0, 0))
            found = jax.vmap(over_subjects, in_axes=(None, 0, 0))(place, people.parameters, people.covariates)
            mean = jnp.nanmean(found, 1)
            return mean, mean

        compiled = jax.jit(jax.jacfwd(each, has_aux=True))

        def utilities(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            slopes, values = compiled(jnp.asarray(place))
            return np.asarray(values), np.asarray(slopes)

        return utilities, int(group.max()) + 1

    def _groups(self, given: int) -> list[int]:
        """Return the number of the factor of each dose."""
        counts = self.doses or (given,)
        if sum(counts) != given or min(counts) < 1:
            raise UserError(
                f"optimise.doses is {list(counts)}, which makes {sum(counts)}; arm {self.arm} has {given} dose times."
            )
        return [number for number, count in enumerate(counts) for _ in range(count)]

    def _told(
        self,
        found: Optimum,
        own: Float[np.ndarray, " replicate"],
        error: Float[np.ndarray, " group"],
        grid: Float[np.ndarray, " tried"],
        tried: Float[np.ndarray, "tried replicate"],
    ) -> xr.Dataset:
        """Put it into a dataset, and into words."""
        factor, count = np.exp(found.place), np.sqrt(len(own))
        names = [f"doses {i + 1}" for i in range(len(factor))] if len(factor) > 1 else ["all doses"]
        data = xr.Dataset(coords={"group": names, "tried": np.exp(grid), schema.REPLICATE: np.arange(len(own))})
        data["factor"] = ("group", factor, {"long_name": "Optimal dose over that of the arm", "units": ""})
        what = {"long_name": "Monte-Carlo error of the same", "units": ""}
        data["factor_mcse"] = ("group", factor * error, what)
        data["gradient"] = ("group", found.gradient, {"long_name": "Slope of the utility in log factors", "units": ""})
        data["utility"] = (
            schema.REPLICATE,
            own,
            {"long_name": "Mean utility of a replicate at the optimum", "units": ""},
        )
        what = {"long_name": "Mean utility with all doses times a factor", "units": ""}
        data["utility_tried"] = ("tried", tried.mean(1), what)
        said = [
            f"{name}: {f:.4g} times the arm's, Monte-Carlo error {e:.2g}"
            if np.isfinite(e)
            else f"{name}: {f:.4g}, at a bound"
            for name, f, e in zip(names, factor, factor * error, strict=True)
        ]
        best = (
            f"best of {len(grid)} common factors: {np.exp(grid[tried.mean(1).argmax()]):.4g}, {tried.mean(1).max():.5g}"
        )
        spread = own.std(ddof=1) / count
        said.append(f"utility {found.value:.5g}, Monte-Carlo error {spread:.2g}; {best}")
        data.attrs |= {"arm": self.arm, "utility": self.utility.describe(), "sentences": said}
        return data


def _numbered(table: EventTable) -> tuple[np.ndarray, int]:
    """Return the number of the dose time that each entry belongs to, and how many there are."""
    start, kind = np.asarray(table.start), np.asarray(table.kind)
    times = np.unique(start[kind != Kind.NOTHING])
    return np.clip(np.searchsorted(times, start), 0, len(times) - 1), len(times)


def _error(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    place: Float[np.ndarray, " group"],
    slopes: Float[np.ndarray, "replicate group"],
    inside: np.ndarray,
) -> Float[np.ndarray, " free"]:
    """Return the Monte-Carlo error of the log factors that are at no bound."""
    free = np.flatnonzero(inside)
    if not len(free):
        return np.zeros(0)
    second = []
    for i in free:
        step = np.zeros(len(place))
        step[i] = _STEP
        second.append((objective(place + step)[1] - objective(place - step)[1])[free] / (2 * _STEP))
    curvature = np.stack(second)
    if not np.isfinite(curvature).all() or np.linalg.matrix_rank(curvature) < len(free):
        return np.full(len(free), np.nan)  # a group of doses that the utility does not depend on
    inverse = np.linalg.inv(curvature)
    spread = np.cov(slopes[:, free], rowvar=False).reshape(len(free), len(free)) / len(slopes)
    return np.sqrt(np.diag(inverse @ spread @ inverse.T))
