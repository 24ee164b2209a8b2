"""What the posterior rests on: how it moves when prior or likelihood count a little more or less."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from vtrial import schema
from vtrial.diagnose.columns import array_stats
from vtrial.likelihood import StatisticalModel

_ALPHAS = (0.99, 1.01)
"""Powers of the density compared."""
_SHIFTS = 12
"""Times the draws are set against each other's densities, for what chance alone gives."""


def power_scaling(
    columns: Float[np.ndarray, "chain draw parameter"], log_density: Float[np.ndarray, "chain draw"]
) -> tuple[Float[np.ndarray, " parameter"], Float[np.ndarray, " parameter"]]:
    """Return how far each posterior moves as a density is raised to powers near 1, and how far by chance alone.

    The distance is the cumulative Jensen-Shannon distance per doubling of the power. Values above 0.05 are worth a look
    (Kallioinen et al. 2024, doi:10.1007/s11222-023-10366-5). Chance is the greatest distance when draws are set
    against densities of draws elsewhere in their chain, which says nothing of either.
    """
    if np.ptp(log_density) == 0:
        nothing = np.zeros(columns.shape[-1])
        return nothing, nothing

    def distance(density: np.ndarray) -> np.ndarray:
        low, high = (np.exp(array_stats.power_scale_lw(density, alpha=a, axis=(0, 1))) for a in _ALPHAS)
        return np.array(
            [
                array_stats.power_scale_sense(
                    column, low, high, lower_alpha=_ALPHAS[0], upper_alpha=_ALPHAS[1], chain_axis=0, draw_axis=1
                )
                for column in np.moveaxis(columns, -1, 0)
            ]
        )

    count = log_density.shape[1]
    shifts = np.unique(np.linspace(0, count, _SHIFTS + 2)[1:-1].astype(int))
    chance = [distance(np.roll(log_density, shift, axis=1)) for shift in shifts if 0 < shift < count]
    return distance(log_density), np.max(chance, axis=0)


def log_prior(posterior: xr.Dataset, statistical: StatisticalModel) -> Float[np.ndarray, "chain draw"]:
    """Return the log density of the priors of the population level at each draw, up to a constant.

    The distribution of the etas is no prior here but part of the model: it is not scaled.
    """
    total = np.zeros((posterior.sizes[schema.CHAIN], posterior.sizes[schema.DRAW]))
    for name, prior in statistical.priors().items():
        value = posterior[name].to_numpy()
        if np.ptp(value) > 0:
            total = total + np.asarray(prior.distribution().log_prob(value))
    for block in statistical.population.blocks:
        site = statistical.population.site(block)
        if site in posterior:
            total = total + block.log_prior(posterior[site].to_numpy())
    return total
