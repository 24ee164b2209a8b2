"""Recovery: how well the study's design and inference find numbers that are known."""

from collections.abc import Mapping

import equinox as eqx
import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.diagnose.refit import LEVELS, Limits, share_error
from vtrial.errors import UserError

LEVEL = 0.9
"""Of the intervals whose coverage is told."""
_LEAST = 2


class Recovery(eqx.Module):
    """How known numbers are simulated from and estimated."""

    replicates: int = eqx.field(static=True, default=20)
    """Data sets simulated and fitted."""
    at: Mapping[str, float] | str | None = eqx.field(default=None)
    """True values by name, the rest at their prior medians; or a finished run, whose posterior medians are true."""
    subjects: int | None = eqx.field(static=True, default=None)
    """Take the design of the first so many subjects only; left out, of all."""
    batch: int = eqx.field(static=True, default=1)
    """Data sets fitted side by side: 1 is quickest on a CPU, tens on a GPU."""
    limits: Limits = eqx.field(default_factory=Limits)
    """Which fits are used."""

    def __check_init__(self):
        """Refuse what gives no error."""
        if self.replicates < _LEAST or self.batch < 1:
            raise UserError(
                f"recover needs replicates >= {_LEAST} and batch >= 1; got {self.replicates} and {self.batch}."
            )
        if self.subjects is not None and self.subjects < 1:
            raise UserError(f"recover.subjects must be at least 1, not {self.subjects}.")


def recovery(fits: xr.Dataset) -> xr.Dataset:
    """Return bias, RMSE and coverage of each quantity that is the same in all data sets, with Monte-Carlo errors.

    The estimate is the posterior median. It leans towards the prior, the more the less the data say: bias at one truth
    is no fault of the inference, which `sbc` judges.

    Args:
        fits: what the fits say, see `vtrial.rehearsal`.
    """
    used = fits.isel({schema.REPLICATE: fits["reason"].to_numpy() == ""})
    used = used.isel({schema.PARAMETER: fits[schema.PARAMETER].to_numpy() != "log_likelihood"})
    count, level = used.sizes[schema.REPLICATE], LEVELS.index(LEVEL)
    if count < _LEAST:
        return xr.Dataset(attrs={"used": count, "sentences": []})
    truth, estimate = used["truth"].to_numpy(), used["median"].to_numpy()
    away = estimate - truth
    bias, spread = away.mean(0), away.std(0, ddof=1)
    low, high = used["lower"].to_numpy()[..., level], used["upper"].to_numpy()[..., level]
    coverage = ((truth >= low) & (truth <= high)).mean(0)
    square = away**2
    rmse = np.sqrt(square.mean(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = {
            "truth": (truth[0], "True value"),
            "estimate": (estimate.mean(0), "Mean of the posterior medians"),
            "bias": (bias, "Mean of posterior median - truth"),
            "bias_mcse": (spread / np.sqrt(count), "Monte-Carlo error of the bias"),
            "relative_bias": (np.where(truth[0] != 0, 100 * bias / np.abs(truth[0]), np.nan), "Bias in % of the truth"),
            "rmse": (rmse, "Root mean squared error of the posterior medians"),
            "rmse_mcse": (
                square.std(0, ddof=1) / np.sqrt(count) / (2 * rmse),
                "Its Monte-Carlo error (delta method)",
            ),
            "coverage": (coverage, f"Share of central {LEVEL:.0%} intervals with the truth"),
            "coverage_mcse": (share_error(coverage, count), "Its Monte-Carlo error"),
        }
    variables = {n: (schema.PARAMETER, value, {"long_name": what}) for n, (value, what) in columns.items()}
    names = [str(n) for n in used[schema.PARAMETER].to_numpy()]
    found = xr.Dataset(variables, {schema.PARAMETER: names, "unit": (schema.PARAMETER, used["unit"].to_numpy())})
    return found.assign_attrs(used=count, sentences=[_sentence(found.sel({schema.PARAMETER: n}), n) for n in names])


def _sentence(row: xr.Dataset, name: str) -> str:
    """Say in one sentence how well a number was found."""
    bias, error = float(row["bias"]), float(row["bias_mcse"])
    relative, unit = float(row["relative_bias"]), str(row["unit"].item())
    by = f"{abs(relative):.0f} %" if np.isfinite(relative) else f"{abs(bias):.2g} {unit}".rstrip()
    lean = f"on average {by} too {'high' if bias > 0 else 'low'}"
    if abs(bias) <= 2 * error:
        lean = f"no bias beyond chance (twice its error is {2 * error:.2g} {unit}".rstrip() + ")"
    covered, noise = 100 * float(row["coverage"]), 100 * float(row["coverage_mcse"])
    return f"{name}: {lean}; its 90 % intervals held the truth in {covered:.0f} ± {noise:.0f} % of the fits."
