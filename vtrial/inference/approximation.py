"""Draws from an approximation, weighted towards the posterior: what they are worth is measured, not assumed."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from jaxtyping import Array, Key

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.inference import groups
from vtrial.inference.density import UnconstrainedDensity
from vtrial.likelihood import StatisticalModel

CHAINS = 4
"""Independent draws are laid out as chains, so that the health checks of a fit apply to them too."""
GOOD = 0.7
"""Pareto k above which importance weights cannot mend the approximation; Vehtari et al. 2024, JMLR 25(72)."""


def smoothed(log_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the Pareto-smoothed importance weights (sum 1) of log ratios of densities [draw], and Pareto k.

    A draw without density has weight 0. k is infinite where fewer than a few draws have any, or a ratio is no number.

    Source: Vehtari et al. 2024, Pareto smoothed importance sampling, JMLR 25(72).
    """
    good = np.isfinite(log_ratio)
    weights = np.zeros(len(log_ratio))
    if good.sum() < 25:
        weights[good] = 1.0 / max(good.sum(), 1)
        return weights, float("inf")
    # ArviZ takes log likelihoods, whose inverses are the ratios of leave-one-out: hence the sign.
    log_weights, k = array_stats.psislw(-log_ratio[good])
    weights[good] = np.exp(log_weights - np.max(log_weights))
    return weights / weights.sum(), float(k)


def resampled(
    key: Key[Array, ""],
    density: UnconstrainedDensity,
    vectors: np.ndarray,
    log_target: np.ndarray,
    log_ratio: np.ndarray,
    statistical: StatisticalModel,
    data: Dataset,
    *,
    draws: int,
    method: str,
) -> dict[str, xr.Dataset]:
    """Return the groups of a fit: vectors [candidate coordinate] drawn again by their weights, with their Pareto k.

    Where k is too large the weights are left aside, and the draws are those of the approximation.

    Args:
        key: random key.
        density: the joint density.
        vectors: candidates.
        log_target: their log densities up to a constant.
        log_ratio: those less the log density they were drawn from.
        statistical: names and units.
        data: the subjects.
        draws: how many are wanted, a multiple of four.
        method: name of the approximation, for the sentence.
    """
    random = np.random.default_rng(np.asarray(jax.random.key_data(keys.named(key, "resample"))))
    weights, k = smoothed(log_ratio)
    # Weights that cannot mend the approximation would leave copies of a few draws: a look at it is worth more.
    equal = np.isfinite(log_target) / np.isfinite(log_target).sum()
    chosen = random.choice(len(vectors), draws, p=weights if k <= GOOD else equal)
    points = jax.vmap(jax.vmap(density.point))(jnp.asarray(vectors[chosen].reshape(CHAINS, -1, vectors.shape[1])))
    shape = (CHAINS, draws // CHAINS)
    stats = groups.sample_stats(
        {"diverging": np.zeros(shape, bool), "potential_energy": -log_target[chosen].reshape(shape)}
    )
    stats.attrs |= quality(method, weights, k, refused="may not be used for decisions, its draws are not weighted")
    posterior = groups.posterior(keys.named(key, "classes"), density.named(points), statistical, data)
    return {schema.POSTERIOR: posterior, schema.SAMPLE_STATS: stats}


def quality(method: str, weights: np.ndarray, k: float, *, refused: str) -> dict[str, float | str]:
    """Return what an approximation says of itself: Pareto k, the effective size of its weights, and a verdict.

    Args:
        method: its name.
        weights: importance weights [draw], sum 1.
        k: their Pareto k.
        refused: what to say where k is too large.
    """
    size = 1.0 / float((weights**2).sum())
    verdict = "may be used" if k <= GOOD else f"{refused}: take inference=nuts or cross_chain"
    said = f"{method}: Pareto k {k:.2f}, {size:.0f} effective of {len(weights)} draws; it {verdict}"
    return {"pareto_k": k, "importance_ess": size, "verdict": said}


def check_draws(draws: int) -> None:
    """Refuse a number of draws that cannot be laid out.

    Raises:
        UserError: it is less than 100, or no multiple of four.
    """
    if draws < 100 or draws % CHAINS:
        raise UserError(f"inference.draws must be at least 100 and a multiple of {CHAINS}, not {draws}.")
