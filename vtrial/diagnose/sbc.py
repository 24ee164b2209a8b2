"""Simulation-based calibration: is the truth where the posteriors say, over data sets that the prior itself implies?

Source: Talts, Betancourt, Simpson, Vehtari and Gelman 2018, arXiv:1804.06788. The log-likelihood as a further quantity:
Modrák et al. 2023, doi:10.1214/23-BA1404.
"""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.diagnose.refit import LEVELS, Limits, share_error
from vtrial.diagnose.uniform import band, chi_square, ecdf, holm, p_value
from vtrial.errors import UserError

_LEAST = 20
"""Fewer fits say nothing about ranks."""


class Calibration(eqx.Module):
    """How the study's inference is checked against data simulated from the study's own prior."""

    replicates: int = eqx.field(static=True, default=200)
    """Data sets simulated and fitted."""
    subjects: int | None = eqx.field(static=True, default=None)
    """Take the design of the first so many subjects only; left out, of all."""
    ranks: int = eqx.field(static=True, default=99)
    """The truth is ranked among so many nearly independent draws; a fit with fewer effective ones is not used."""
    alpha: float = eqx.field(static=True, default=0.01)
    """Probability of a false alarm about any quantity."""
    batch: int = eqx.field(static=True, default=1)
    """Data sets fitted side by side: 1 is quickest on a CPU, tens on a GPU."""
    limits: Limits = eqx.field(default_factory=Limits)
    """Which fits are used."""

    def __check_init__(self):
        """Refuse too little to judge by."""
        if self.replicates < _LEAST or self.ranks < 9 or self.batch < 1:
            raise UserError(
                f"sbc needs replicates >= {_LEAST}, ranks >= 9 and batch >= 1; got {self.replicates}, {self.ranks}, "
                f"{self.batch}."
            )
        if self.subjects is not None and self.subjects < 1:
            raise UserError(f"sbc.subjects must be at least 1, not {self.subjects}.")
        if not 0 < self.alpha < 1:
            raise UserError(f"sbc.alpha is a probability between 0 and 1, not {self.alpha}.")


def calibration(fits: xr.Dataset, settings: Calibration) -> xr.Dataset:
    """Judge the fits; return the verdict on each quantity with what it rests on.

    Uniformity of ranks is tested by their distribution function against its simultaneous band, and beside it by
    chi-square; `p_adjusted` is the former after Holm, and decides. Contraction is 1 - the posterior variance over the
    variance of the truths; the z-score is (posterior mean - truth) / posterior SD.

    Args:
        fits: what the fits say, see `vtrial.rehearsal`.
        settings: those of the check.
    """
    used = fits.isel({schema.REPLICATE: fits["reason"].to_numpy() == ""})
    count, names = used.sizes[schema.REPLICATE], [str(n) for n in fits[schema.PARAMETER].to_numpy()]
    if count < _LEAST:
        return xr.Dataset(attrs={"used": count, "verdict": "no verdict: too few fits are left", "sentences": []})
    truth, mean, sd = (used[n].to_numpy() for n in ("truth", "mean", "sd"))
    rank, top = used["rank"].to_numpy(), settings.ranks
    inside = (truth[..., None] >= used["lower"].to_numpy()) & (truth[..., None] <= used["upper"].to_numpy())
    coverage = inside.mean(0)
    p = np.array([p_value(column, top) for column in rank.T])
    z = (mean - truth) / sd
    low, high = band(count, top, 1 - settings.alpha)
    by_name = {
        "p": (p, "p-value of uniform ranks, by their distribution function over all points together"),
        "p_adjusted": (holm(p), "The same, adjusted for the number of quantities (Holm)"),
        "p_chi_square": (np.array([chi_square(column, top) for column in rank.T]), "p-value of the chi-square test"),
        "contraction": (np.mean(1 - sd**2 / truth.var(0, ddof=1), axis=0), "Mean of 1 - (posterior SD / prior SD)^2"),
        "z_mean": (z.mean(0), "Mean z-score of the posterior mean: 0 if unbiased"),
        "z_sd": (z.std(0, ddof=1), "SD of the z-scores: about 1 for normal posteriors"),
        "rank_mean": ((rank.mean(0) + 0.5) / (top + 1), "Mean rank as a share: 0.5 if calibrated"),
    }
    error = share_error(coverage, count)
    curves = np.stack([ecdf(column, top) for column in rank.T])
    found = xr.Dataset(
        {n: (schema.PARAMETER, value, {"long_name": what, "units": ""}) for n, (value, what) in by_name.items()}
        | {
            "coverage": (
                (schema.PARAMETER, "level"),
                coverage,
                {"long_name": "Share of intervals with the truth"},
            ),
            "coverage_mcse": ((schema.PARAMETER, "level"), error, {"long_name": "Its Monte-Carlo error"}),
            "ecdf": ((schema.PARAMETER, "point"), curves, {"long_name": "Share of ranks below the point"}),
            "band_low": ("point", low, {"long_name": f"Lower limit of the {1 - settings.alpha:.0%} simultaneous band"}),
            "band_high": ("point", high, {"long_name": "Upper limit of it"}),
        },
        {schema.PARAMETER: names, "level": list(LEVELS), "point": np.arange(1, top + 1) / (top + 1)},
    )
    found["contraction"][names.index("log_likelihood")] = np.nan
    share = 1 - count / fits.sizes[schema.REPLICATE]
    wrong = [n for n, value in zip(names, found["p_adjusted"].to_numpy(), strict=True) if value < settings.alpha]
    return found.assign_attrs(
        used=count,
        alpha=settings.alpha,
        verdict=_verdict(wrong, share, settings),
        calibrated=int(not wrong and share <= settings.limits.failed),
        sentences=[_sentence(found.sel({schema.PARAMETER: n}), n, settings) for n in names],
    )


def _verdict(wrong: Sequence[str], share: float, settings: Calibration) -> str:
    if share > settings.limits.failed:
        return f"No verdict: {100 * share:.0f} % of the fits failed, and those left are the easy ones."
    if wrong:
        return f"NOT calibrated: the ranks of {', '.join(wrong)} are not uniform."
    return "Calibrated as far as so many fits can tell: the ranks of every quantity may be uniform."


def _sentence(row: xr.Dataset, name: str, settings: Calibration) -> str:
    """Say in one sentence what was found of a quantity."""
    p, covered = float(row["p_adjusted"]), 100 * float(row["coverage"].sel(level=0.9))
    error = 100 * float(row["coverage_mcse"].sel(level=0.9))
    what = "the log-likelihood of the data" if name == "log_likelihood" else name
    held = f"its 90 % intervals held the truth in {covered:.0f} ± {error:.0f} % of the fits"
    learnt = float(row["contraction"])
    taught = f", and the data took away {100 * learnt:.0f} % of the prior variance" if np.isfinite(learnt) else ""
    if p >= settings.alpha:
        return f"{what}: its ranks may be uniform (adjusted p {_written(p)}); {held}{taught}."
    return f"{what}: its ranks are NOT uniform (adjusted p {_written(p)}): {_shape(row)}; {held}."


def _written(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.2g}"


def _shape(row: xr.Dataset) -> str:
    """Say in which way ranks depart from uniform."""
    inner = float(row["coverage"].sel(level=0.5))
    noise, away = float(row["coverage_mcse"].sel(level=0.5)), float(row["rank_mean"]) - 0.5
    if abs(away) > 0.05:
        return f"the posterior lies too {'low' if away > 0 else 'high'}"
    if inner < 0.5 - 2 * noise:
        return "the posterior is too narrow"
    if inner > 0.5 + 2 * noise:
        return "the posterior is too wide"
    return "the posterior has another shape than it should"
