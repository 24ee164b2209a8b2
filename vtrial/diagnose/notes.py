"""What a fit does not say by itself: sentences on parameters and subjects to read before its numbers."""

import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.data import Dataset
from vtrial.diagnose.columns import Columns, population_columns
from vtrial.likelihood import StatisticalModel

_SENSITIVE = 0.05
"""Sensitivity to power scaling from which it is told, if it is beyond chance too (doi:10.1007/s11222-023-10366-5)."""
_LEARNT = 0.2
"""Share of the prior variance, of logarithms where there are any, below which its removal is next to nothing."""
_MOVED = 0.5
"""Move of the median, in prior standard deviations, below which it did not move."""
_REMOTE = 0.005
"""Prior probability beyond the posterior median from which prior and data exclude each other."""
_NEAR_ZERO = 0.1
"""Prior probability of the omegas that count as near 0."""
_FAVOURED = 2.0
"""How much more probable than before the data such omegas must be to be told."""
_SHRUNK = 0.3
"""Shrinkage from which individual estimates mislead (Savic and Karlsson 2009, doi:10.1208/s12248-009-9133-0)."""


def fit_notes(
    health: xr.Dataset,
    posterior: xr.Dataset,
    prior: xr.Dataset,
    statistical: StatisticalModel,
    loo: xr.Dataset | None = None,
) -> list[str]:
    """Return what a reader of the fit must know beside its numbers, as sentences; none for draws without data."""
    if not health.attrs["observations_used"]:
        return []
    columns = population_columns(posterior, statistical)
    notes = [said] if (said := str(health.attrs["modes"])) else []
    pulled = []
    for name in columns:
        mine = health.sel({schema.PARAMETER: name})
        if not bool(mine["fixed"]) and float(mine["sd"]) > 0:
            said, settled = _parameter(name, mine, prior, columns)
            notes += said
            pulled += [] if settled else [mine]
    return [*notes, *_pulled(pulled), *_shrunk(health), *_subjects(loo)]


def _parameter(name: str, mine: xr.Dataset, prior: xr.Dataset, columns: Columns) -> tuple[list[str], bool]:
    """Tell of a parameter whose posterior is its prior, or contradicts it, or is an omega at 0; and if that is all."""
    before = prior[name].to_numpy().ravel() if name in prior else np.array([])
    if not before.size or not before.std() > 0:
        return [], False
    now, then = float(mine["median"]), float(np.median(before))
    told = f"prior median {then:.3g}, posterior median {now:.3g}"
    if _untaught(before, columns[name], _beyond_chance(mine, "likelihood_sensitivity")):
        sentence = (
            f"{name} is not identified: its posterior is its prior ({told}, contraction "
            f"{_percent(mine['contraction'])}). The data say nothing of it; fix it, or take what follows "
            "from it as assumed."
        )
        return [sentence], True
    beyond = min((before < now).mean(), (before > now).mean())
    if beyond < _REMOTE:
        sentence = (
            f"The prior of {name} excludes what the data say ({told}, prior probability beyond it "
            f"{_percent(beyond, 1)}): check units, prior and data."
        )
        return [sentence], False
    if name.endswith("_iiv") and (near := _near_zero(before, columns[name])) > _FAVOURED:
        sentence = (
            f"{name} is near 0 ({told}; values near 0 are {near:.1f} times more probable than before the data): "
            f"subjects do not differ in {name.removesuffix('_iiv')} as far as the data tell; try without its iiv."
        )
        return [sentence], True
    return [], False


def _pulled(parameters: list[xr.Dataset]) -> list[str]:
    """Tell which parameters move with the priors, against the data or in place of them: one sentence for each kind."""
    both, alone = [], []
    for mine in parameters:
        prior, likelihood = (_beyond_chance(mine, f"{w}_sensitivity") for w in ("prior", "likelihood"))
        moved = (float(mine[f"{w}_sensitivity"]) for w in ("prior", "likelihood"))
        told = f"{mine[schema.PARAMETER].item()} ({', '.join(f'{value:.2f}' for value in moved)})"
        both += [told] if prior and likelihood else []
        alone += [told] if prior and likelihood is False else []
    how = "in brackets the power-scaling sensitivities to priors and likelihood"
    said = []
    if both:
        said.append(
            "Prior and data pull in different directions, or the prior is as strong as the data, for "
            f"{', '.join(both)}: the posterior moves with both; {how}."
        )
    if alone:
        said.append(
            f"The prior decides {', '.join(alone)}: the posterior moves with the priors and hardly with the "
            f"likelihood; {how}."
        )
    return said


def _beyond_chance(mine: xr.Dataset, name: str) -> bool | None:
    """Return whether a posterior moves; None if that is not known, or too few draws hide it."""
    value, chance = float(mine[name]), float(mine[f"{name}_chance"])
    if np.isnan(value) or _SENSITIVE < value <= chance:
        return None
    return value > _SENSITIVE


def _untaught(before: np.ndarray, after: np.ndarray, likelihood: bool | None) -> bool:
    """Return whether the posterior is the prior: as wide, in the same place, and indifferent to the likelihood."""
    if before.min() > 0 and after.min() > 0:  # a few large draws would decide the variance of what is skewed
        before, after = np.log(before), np.log(after)
    narrowed = 1.0 - (after.std() / before.std()) ** 2
    moved = abs(np.median(after) - np.median(before)) / before.std()
    return bool(abs(narrowed) < _LEARNT and moved < _MOVED and not likelihood)


def _near_zero(before: np.ndarray, after: np.ndarray) -> float:
    """Return how much more probable than before the data omegas are that the prior holds for small."""
    small = np.quantile(before, _NEAR_ZERO)
    return float((after < small).mean() / _NEAR_ZERO)


def _shrunk(health: xr.Dataset) -> list[str]:
    """Tell which individual estimates mislead."""
    high = health.isel({schema.PARAMETER: (health["shrinkage"] > _SHRUNK).to_numpy()})
    return [
        f"Shrinkage of the etas of {str(row[schema.PARAMETER].item()).removesuffix('_iiv')} is "
        f"{_percent(row['shrinkage'])} (in variance {_percent(row['shrinkage_variance'])}): individual estimates and "
        "plots of them against covariates mislead."
        for row in (health.sel({schema.PARAMETER: n}) for n in high[schema.PARAMETER].to_numpy())
    ]


def _subjects(loo: xr.Dataset | None) -> list[str]:
    """Tell which subjects the fit depends on, and whether leave-one-out is known well enough."""
    if loo is None or "pareto_k" not in loo:
        return []
    k, notes = loo["pareto_k"].to_numpy(), []
    if len(high := np.flatnonzero(~(k <= 0.7))):
        who = ", ".join(f"{loo[schema.SUBJECT].to_numpy()[i]} ({k[i]:.2f})" for i in high[np.argsort(-k[high])][:10])
        notes.append(
            f"The fit depends on single subjects: Pareto k above 0.7 for {len(high)} of {len(k)}, ID {who}. What "
            "leave-one-out says of them is uncertain; look at their data."
        )
    if loo.attrs["elpd_loo_mcse"] > 0.25 * loo.attrs["elpd_loo_se"]:
        notes.append(
            f"The leave-one-out sum has a Monte-Carlo error of {loo.attrs['elpd_loo_mcse']:.2g}; raise loo.samples and "
            "loo.draws before models are compared by it."
        )
    return notes


def data_notes(statistical: StatisticalModel, data: Dataset) -> list[str]:
    """Return what the data cannot teach, before anything is fitted: covariates that do not differ between subjects."""
    population, notes = statistical.population, []
    if data.empty:
        return notes
    for name, parameter in zip(population.names, population.parameters, strict=True):
        for effect in parameter.covariates.values():
            values = np.asarray(data.every_covariate[effect.covariate])
            if np.ptp(values) == 0 and values.size:
                notes.append(
                    f"Covariate {effect.covariate} is {values.flat[0]:g} {data.covariate_units[effect.covariate]} in "
                    f"every subject: the data say nothing of its effect on {name}, which is what the model assumes."
                )
    return notes


def _percent(value: xr.DataArray | float, digits: int = 0) -> str:
    return f"{100 * float(value):.{digits}f} %"
