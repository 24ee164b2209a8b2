"""Leave-one-out: how well the fit predicts each observation, and each subject, that it has not seen."""

import logging
from collections.abc import Mapping

import equinox as eqx
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from vtrial import schema
from vtrial.data import Dataset
from vtrial.diagnose.columns import array_stats
from vtrial.diagnose.marginal import marginal_log_likelihood
from vtrial.errors import UserError
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)


class LeaveOneOut(eqx.Module):
    """Pareto-smoothed importance sampling of what the posterior would be without one subject or observation.

    Whole subjects are left out with their etas integrated out: given etas fitted to the very observations left out, the
    weights have no finite variance in rich data. Source: Vehtari, Gelman and Gabry 2017,
    doi:10.1007/s11222-016-9696-4; for hierarchical models Merkle, Furr and Rabe-Hesketh 2019,
    doi:10.1007/s11336-019-09679-0.
    """

    draws: int = eqx.field(static=True, default=1000)
    """Posterior draws at which subjects' etas are integrated out, evenly spaced; 0 leaves it out."""
    samples: int = eqx.field(static=True, default=32)
    """Importance samples of the etas for each of them and each subject."""

    def __check_init__(self):
        """Refuse what gives no error."""
        if self.draws < 0 or 0 < self.draws < 50:
            raise UserError(f"loo.draws must be at least 50, or 0 for none, not {self.draws}.")
        if self.samples < 8:
            raise UserError(f"loo.samples must be at least 8, not {self.samples}.")

    def __call__(
        self,
        key: Key[Array, ""],
        statistical: StatisticalModel,
        data: Dataset,
        draws: Mapping[str, np.ndarray],
        log_likelihood: xr.Dataset,
    ) -> xr.Dataset:
        """Return the group `loo`: subjects, with the log-likelihoods it rests on, and observations.

        Args:
            key: random key.
            statistical: the fitted model.
            data: the observed data.
            draws: posterior draws, leading axis the draw.
            log_likelihood: log-likelihood of each observation given the etas.
        """
        group = _observations(log_likelihood[schema.DV])
        if not self.draws:
            return group
        chains, per_chain = (log_likelihood.sizes[d] for d in (schema.CHAIN, schema.DRAW))
        picked = spaced(chains, per_chain, self.draws)
        found = marginal_log_likelihood(key, statistical, data, draws, picked.ravel(), samples=self.samples)
        shape = (*picked.shape, len(data.subjects))
        marginal = xr.DataArray(found.log_likelihood.reshape(shape), dims=(schema.CHAIN, schema.KEPT, schema.SUBJECT))
        error = marginal.copy(data=found.error.reshape(shape))
        subjects = _subjects(marginal, error, data).assign_coords({schema.KEPT: picked[0]})
        return group.merge(subjects, combine_attrs="no_conflicts").assign_attrs(importance_samples=self.samples)


def spaced(chains: int, per_chain: int, wanted: int) -> np.ndarray:
    """Return evenly spaced draw numbers [chain kept], counted over chains and draws."""
    kept = min(per_chain, max(2, -(-wanted // chains)))
    within = np.linspace(0, per_chain - 1, kept).round().astype(int)
    return np.arange(chains)[:, None] * per_chain + within


def relative_efficiency(log_likelihood: np.ndarray) -> np.ndarray:
    """Return ESS of the likelihood over draws, at most 1, of [chain draw ...]; 1 where it is constant."""
    top = log_likelihood.max((0, 1))
    level = np.exp(log_likelihood - np.where(np.isfinite(top), top, 0.0))
    count = level.shape[0] * level.shape[1]
    found = array_stats.ess(level, chain_axis=0, draw_axis=1, method="mean") / count
    return np.clip(np.nan_to_num(found, nan=1.0), 1.0 / count, 1.0)


def leave_out(log_likelihood: Float[np.ndarray, "chain draw unit"], error: np.ndarray | None = None):
    """Return elpd, p_loo, Pareto k and the Monte-Carlo error of elpd, for each unit left out.

    `error` is the relative error of each likelihood, which adds to that of the finite number of draws.
    """
    flat = log_likelihood.reshape(-1, log_likelihood.shape[-1])
    efficiency = relative_efficiency(log_likelihood)
    rows = []
    for unit, mine in enumerate(flat.T):
        if not np.isfinite(mine).all():  # a solve that fails at some draw
            rows.append((np.nan, np.nan, np.inf, np.nan))
            continue
        log_weight, k = array_stats.psislw(mine, r_eff=float(efficiency[unit]))
        elpd, weight = _log_sum(log_weight + mine), np.exp(log_weight)
        mean = _log_sum(mine) - np.log(len(mine))
        # The error of a ratio of two sums: each draw's share of one less its share of the other.
        off = np.exp(log_weight + mine - elpd) - weight
        if error is not None:
            off = np.hypot(off, weight * error.reshape(flat.shape)[:, unit])
        rows.append((elpd, mean - elpd, float(k), np.sqrt(float((off**2).sum()) / efficiency[unit])))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _log_sum(values: np.ndarray) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum())) if np.isfinite(top) else -np.inf


def _observations(values: xr.DataArray) -> xr.Dataset:
    """Return leave-one-observation-out, each given its subject's etas."""
    dims = (schema.CHAIN, schema.DRAW, schema.OBS)
    elpd, p, k, error = leave_out(values.transpose(*dims).to_numpy())
    return xr.Dataset(
        {
            "obs_elpd": (
                schema.OBS,
                elpd,
                _about("Log predictive density of the observation left out, given its etas"),
            ),
            "obs_elpd_mcse": (schema.OBS, error, _about("Monte-Carlo standard error of it")),
            "obs_p_loo": (schema.OBS, p, _about("Effective number of parameters")),
            "obs_pareto_k": (schema.OBS, k, _about("Pareto k: above 0.7 the value is not to be trusted")),
        },
        {name: values[name] for name in values.coords if values[name].dims == (schema.OBS,)},
        _totals("obs_", elpd, p, k, error),
    )


def _subjects(marginal: xr.DataArray, noise: xr.DataArray, data: Dataset) -> xr.Dataset:
    """Return leave-one-subject-out, the etas integrated out."""
    elpd, p, k, error = leave_out(marginal.to_numpy(), noise.to_numpy())
    count = np.zeros(len(data.subjects), int)
    for seen in data.observations.values():
        np.add.at(count, seen.subject, 1)
    entries = {
        "elpd": (
            schema.SUBJECT,
            elpd,
            _about("Log predictive density of the subject left out, its etas integrated out"),
        ),
        "elpd_mcse": (schema.SUBJECT, error, _about("Monte-Carlo standard error of it")),
        "p_loo": (schema.SUBJECT, p, _about("Effective number of parameters")),
        "pareto_k": (schema.SUBJECT, k, _about("Pareto k: above 0.7 the value is not to be trusted")),
        "observations": (schema.SUBJECT, count, _about("Observations of the subject")),
        "log_likelihood": (
            marginal.dims,
            marginal.to_numpy(),
            _about("Log-likelihood of a subject, its etas integrated"),
        ),
        "log_likelihood_mcse": (marginal.dims, noise.to_numpy(), _about("Monte-Carlo standard error of it")),
    }
    return xr.Dataset(entries, {schema.SUBJECT: list(data.subjects)}, _totals("", elpd, p, k, error))


def _totals(prefix: str, elpd: np.ndarray, p: np.ndarray, k: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Return sums over what was left out; the standard error is that of a sum of so many values."""
    return {
        f"{prefix}elpd_loo": float(elpd.sum()),
        f"{prefix}elpd_loo_se": float(np.sqrt(len(elpd)) * elpd.std(ddof=1)) if len(elpd) > 1 else np.nan,
        f"{prefix}elpd_loo_mcse": float(np.sqrt((error**2).sum())),
        f"{prefix}p_loo": float(p.sum()),
        f"{prefix}high_k": int((~(k <= 0.7)).sum()),
    }


def _about(what: str) -> dict[str, str]:
    return {"long_name": what, "units": ""}
