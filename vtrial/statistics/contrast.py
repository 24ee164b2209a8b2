"""Contrasts of group means that are most powerful against given shapes of a dose-response.

Source: Bretz, Pinheiro and Branson 2005, doi:10.1111/j.1541-0420.2005.00344.x; Pinheiro et al. 2014,
doi:10.1002/sim.6052.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial.statistics import maximum


def optimal(shape: Float[Array, "model dose"], precision: Float[Array, "dose dose"]) -> Float[Array, "model dose"]:
    """Return one contrast of length 1 for each shape: precision times the shape, centred; traceable.

    Args:
        shape: mean of each dose under each model, in any unit.
        precision: inverse covariance of the estimated means, up to a factor: group sizes on the diagonal, say.
            A dose without patients has zeros.
    """
    total = precision.sum()
    centre = (shape @ precision).sum(1, keepdims=True) / total
    raw = (shape - centre) @ precision
    return raw / jnp.linalg.norm(raw, axis=1, keepdims=True)


def rows(contrast: Float[Array, "model dose"], covariance: Float[Array, "dose dose"]) -> Float[Array, "model dose"]:
    """Return unit vectors whose inner products are the correlations of the contrasts' estimates; traceable."""
    values, vectors = jnp.linalg.eigh(covariance)
    found = contrast @ (vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None])
    return found / jnp.linalg.norm(found, axis=1, keepdims=True)


def rows_of_groups(contrast: Float[Array, "model dose"], count: Float[Array, " dose"]) -> Float[Array, "model dose"]:
    """Return the same for means of independent groups of these sizes; traceable."""
    found = jnp.where(count[None] > 0, contrast / jnp.sqrt(jnp.where(count > 0, count, 1.0))[None], 0.0)
    return found / jnp.linalg.norm(found, axis=1, keepdims=True)


def power(
    mean: Float[np.ndarray, " dose"],
    count: Float[np.ndarray, " dose"],
    sd: float,
    *,
    shape: Float[np.ndarray, "model dose"],
    alpha: float,
) -> float:
    """Return the probability that the greatest optimal contrast is significant, one-sided.

    Args:
        mean: true means of the doses.
        count: patients of each dose.
        sd: true SD of an outcome.
        shape: the candidate shapes.
        alpha: one-sided level, of all contrasts together.
    """
    contrast = np.asarray(optimal(jnp.asarray(shape), jnp.diag(jnp.asarray(count))))
    factor = np.asarray(rows_of_groups(jnp.asarray(contrast), jnp.asarray(count)))
    shift = contrast @ mean / (sd * np.sqrt((contrast**2 / count).sum(1)))
    df = float(count.sum() - len(count))
    return maximum.exceeds(maximum.critical(alpha, df, factor), df, factor, shift)
