"""The visual predictive check."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from vtrial import schema, units
from vtrial._types import texts
from vtrial.data import Dataset
from vtrial.diagnose.binning import given_bins, strata, time_bins
from vtrial.diagnose.clock import time_after_dose
from vtrial.diagnose.correction import prediction_corrected, variability_corrected
from vtrial.diagnose.discrete import INTERVAL, category_check, fractions, known_quantiles
from vtrial.diagnose.limits import Limits
from vtrial.errors import UserError, nearest


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


class VisualCheck(eqx.Module):
    """How observations are compared with replicated datasets of new subjects.

    Quantiles of the data, bin by bin, are shown over the intervals of the same quantiles in replicates (Bergstrand et
    al. 2011, doi:10.1208/s12248-011-9255-z). The replicates serve NPDE too, which want 1,000 of them.

    Args:
        replicates: how many replicated datasets.
        bins: how many time bins: each time its own where there are no more distinct times, else of equal count.
        edges: edges of the bins instead, as "2 h".
        after_dose: bins are of time after dose, not of time.
        stratify: a covariate to show separately.
        strata: into how many groups a continuous covariate is cut, at its quantiles.
        corrected: prediction correction (pcVPC): where doses or covariates differ within a bin.
        variability: variability correction too (pvcVPC).
        log: a logarithmic axis for the output.
        quantiles: the quantiles compared; with a dozen subjects the 5th and 95th percentile are the extremes.
    """

    replicates: int = eqx.field(static=True, default=1000)
    bins: int = eqx.field(static=True, default=10)
    edges: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)
    after_dose: bool = eqx.field(static=True, default=False)
    stratify: str | None = eqx.field(static=True, default=None)
    strata: int = eqx.field(static=True, default=2)
    corrected: bool = eqx.field(static=True, default=False)
    variability: bool = eqx.field(static=True, default=False)
    log: bool = eqx.field(static=True, default=False)
    quantiles: tuple[float, ...] = eqx.field(static=True, default=(0.1, 0.5, 0.9), converter=_numbers)

    def __check_init__(self):
        """Refuse numbers that make no check.

        Raises:
            UserError: naming the first.
        """
        if self.replicates < 20 or self.bins < 1 or self.strata < 2:
            raise UserError("vpc.replicates must be at least 20, vpc.bins at least 1 and vpc.strata at least 2.")
        if self.variability and not self.corrected:
            raise UserError("vpc.variability corrects what vpc.corrected has corrected; set both.")
        wrong = [q for q in self.quantiles if not 0 < q < 1]
        if wrong or len(self.quantiles) == 0 or sorted(set(self.quantiles)) != list(self.quantiles):
            raise UserError(f"vpc.quantiles must ascend between 0 and 1, for example [0.1, 0.5, 0.9]; {self.quantiles}")

    def check(self, data: Dataset) -> None:
        """Check against the data.

        Raises:
            UserError: the covariate is none of the data's, or edges are no ascending times.
        """
        if self.stratify is not None and self.stratify not in data.covariates:
            raise UserError(
                f"vpc.stratify is '{self.stratify}', which is no covariate of the data; add it to data.covariates. "
                f"{nearest(self.stratify, data.covariates)}"
            )
        if self.stratify is not None and np.any(np.isnan(data.covariates[self.stratify])):
            raise UserError(
                f"vpc.stratify is '{self.stratify}', which some subjects lack; stratify by another covariate."
            )
        edges = self._edges(data.time_unit)
        if len(edges) == 1 or np.any(np.diff(edges) <= 0):
            raise UserError(f"vpc.edges must be two or more ascending times, not {', '.join(self.edges)}.")

    def describe(self) -> str:
        """Say what is compared."""
        kind = "prediction- and variability-corrected" if self.variability else "prediction-corrected"
        kind = f"{kind} visual predictive check" if self.corrected else "visual predictive check"
        by = f", by {self.stratify}" if self.stratify else ""
        return f"{kind}{by}, {self.replicates} replicates"

    def __call__(
        self,
        simulated: Mapping[str, Float[np.ndarray, "replicate obs"]],
        prediction: Mapping[str, Float[np.ndarray, " obs"]],
        data: Dataset,
        censored: Mapping[str, Limits],
        categories: Mapping[str, int] | None = None,
    ) -> xr.Dataset:
        """Compare; `simulated` and the population `prediction` are by output, as `vtrial.diagnose.replicate` has them.

        `censored` says which observations have no value, as `vtrial.diagnose.limits` does: a quantile that falls among
        them is not known. `categories` has the largest number of each output that is a category: of these the part of
        each category is compared, bin by bin, too.

        A bin's variables have a dimension `bin_` and the output's name; bins of all strata follow each other.
        """
        clock = time_after_dose(data) if self.after_dose else {o: obs.time for o, obs in data.observations.items()}
        parts = [self._one(o, clock[o], simulated[o], prediction[o], data, censored[o]) for o in data.observations]
        parts += [self._categories(o, clock[o], simulated[o], data, top) for o, top in (categories or {}).items()]
        result = xr.merge(parts)
        axis = "time after dose" if self.after_dose else "time"
        return result.assign_attrs(check=self.describe(), axis=axis, log=int(self.log), corrected=int(self.corrected))

    def _edges(self, unit: str) -> np.ndarray:
        return np.array([units.quantity(e, unit, where="vpc.edges") for e in self.edges])

    def layers(self, data: Dataset) -> tuple[Int[np.ndarray, " subject"], list[str]]:
        """Return each subject's stratum, and what each stratum is, in words: one of no words without strata."""
        if self.stratify is None:
            return np.zeros(len(data.subjects), int), [""]
        value, unit = np.asarray(data.covariates[self.stratify]), data.covariate_units[self.stratify]
        return strata(value, self.strata, self.stratify, unit)

    def members(self, output: str, time: Float[np.ndarray, " obs"], data: Dataset) -> tuple[np.ndarray, list[str]]:
        """Return the bin of each observation, numbered through all strata, -1 for none; and each bin's stratum."""
        each, names = self.layers(data)
        layer = each[data.observations[output].subject]
        known, edges = np.isfinite(time), self._edges(data.time_unit)
        result, said = np.full(len(time), -1), []
        for number in np.unique(layer[known]):
            mine = np.flatnonzero(known & (layer == number))
            place = given_bins(time[mine], edges) if self.edges else time_bins(time[mine], self.bins)
            for b in np.unique(place[place >= 0]):
                result[mine[place == b]] = len(said)
                said.append(names[number])
        return result, said

    def _one(
        self, output: str, time, simulated: np.ndarray, prediction: np.ndarray, data: Dataset, limit: Limits
    ) -> xr.Dataset:
        """Return the check of one output."""
        member, layer = self.members(output, time, data)
        observed = np.asarray(data.observations[output].value, float)
        below, above = limit.below | limit.under(observed), limit.above | limit.over(observed)
        again = limit.under(simulated)
        if self.corrected:
            observed, simulated = (prediction_corrected(v, prediction, member) for v in (observed, simulated))
        if self.variability:
            plain = simulated
            observed, simulated = (variability_corrected(v, plain, prediction, member) for v in (observed, simulated))
        groups = [np.flatnonzero(member == b) for b in range(len(layer))]
        seen = np.stack([_quantiles(observed[g], below[g], above[g], self.quantiles) for g in groups])
        spread = np.stack([known_quantiles(simulated[:, g], self.quantiles, axis=1).T for g in groups])
        bins, unit = f"{schema.BIN}_{output}", data.output_units[output]
        shown = f"{schema.OBS}_{output}"
        entries = {
            "observed": ((bins, schema.QUANTILE), seen, unit, "Quantiles of observed"),
            "simulated": (
                ("interval", bins, schema.QUANTILE),
                known_quantiles(spread, INTERVAL, axis=1),
                unit,
                "Quantiles of replicated: 2.5, 50 and 97.5 % over replicates,",
            ),
            "time": (bins, [np.median(time[g]) for g in groups], data.time_unit, "Median time of the bin of"),
            "first": (bins, [time[g].min() for g in groups], data.time_unit, "First time in the bin of"),
            "last": (bins, [time[g].max() for g in groups], data.time_unit, "Last time in the bin of"),
            "count": (bins, [len(g) for g in groups], "", "Observations in the bin of"),
            "stratum": (bins, layer, "", "Stratum of the bin of"),
            "point": (
                shown,
                np.where(limit.censored, np.nan, observed),
                unit,
                "Observations as compared, not censored, of",
            ),
            "point_time": (shown, time, data.time_unit, "Time of the observations of"),
            "point_bin": (shown, member, "", "Bin of the observations of"),
        } | _censored(below, again, member, bins)
        return xr.Dataset(
            {
                f"{output}_{name}": (dims, np.asarray(value), {"units": u, "long_name": f"{what} {output}"})
                for name, (dims, value, u, what) in entries.items()
            },
            {schema.QUANTILE: list(self.quantiles), "interval": list(INTERVAL)},
        )

    def _categories(self, output: str, time, simulated: np.ndarray, data: Dataset, largest: int) -> xr.Dataset:
        """Return the part of each category by bin."""
        member, _ = self.members(output, time, data)
        known = np.arange(largest + 1)
        # A replicate that was not solved is in no category.
        seen, again = (np.nan_to_num(v, nan=-1).astype(int) for v in (data.observations[output].value, simulated))
        part = category_check(seen, again, member, known)
        bins, kind = f"{schema.BIN}_{output}", f"category_{output}"
        what = "Part of each category in the replicates: 2.5, 50 and 97.5 % over replicates, of"
        return xr.Dataset(
            {
                f"{output}_category_observed": (
                    (bins, kind),
                    part.observed,
                    _parts("Part of each category of", output),
                ),
                f"{output}_category_simulated": (("interval", bins, kind), part.simulated, _parts(what, output)),
            },
            {kind: known, "interval": list(INTERVAL)},
        )


def _parts(what: str, output: str) -> dict[str, str]:
    return {"units": "", "long_name": f"{what} {output}"}


def _censored(
    below: Bool[np.ndarray, " obs"],
    again: Bool[np.ndarray, "replicate obs"],
    member: Int[np.ndarray, " obs"],
    bins: str,
):
    """Return the part of the observations below the limit by bin, where any is."""
    if not below.any():
        return {}
    part = fractions(below, again, member)
    return {
        "below_observed": (bins, part.observed, "", "Part of the observations below the limit of"),
        "below_simulated": (
            ("interval", bins),
            part.simulated,
            "",
            "Part of the replicates below the limit: 2.5, 50 and 97.5 % over replicates, of",
        ),
    }


def _quantiles(
    value: Float[np.ndarray, " obs"],
    below: Bool[np.ndarray, " obs"],
    above: Bool[np.ndarray, " obs"],
    wanted: Sequence[float],
) -> Float[np.ndarray, " quantile"]:
    """Return quantiles; one that falls among values below or above a limit is not known, and NaN."""
    ordered = np.quantile(np.where(below, value.min(), np.where(above, value.max(), value)), wanted)
    unknown = (np.asarray(wanted) < below.mean()) | (np.asarray(wanted) > 1 - above.mean())
    return np.where(unknown, np.nan, ordered)
