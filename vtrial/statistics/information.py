"""Expected information of a design about a population: Fisher's matrix of a mixed-effects model, to first order."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float


def first_order(
    fixed: Float[Array, "obs fixed"],
    covariance: Float[Array, "obs obs"],
    slopes: Float[Array, "variance obs obs"],
) -> tuple[Float[Array, "fixed fixed"], Float[Array, "variance variance"]]:
    """Return what the observations of one subject tell of the fixed effects, and of the variances, as two blocks.

    The observations are taken as normal, with a covariance that does not tell of the fixed effects. Source: Retout et
    al. 2001, Comput Methods Programs Biomed 65:141; the reduced matrix in Nyberg et al. 2015, doi:10.1111/bcp.12352.

    Args:
        fixed: derivative of the mean in each fixed effect.
        covariance: of the observations.
        slopes: its derivative in each variance parameter.
    """
    factor = cho_factor(covariance, lower=True)
    means = fixed.T @ cho_solve(factor, fixed)
    each = jax.vmap(lambda slope: cho_solve(factor, slope))(slopes)
    return means, 0.5 * jnp.einsum("aij,bji->ab", each, each)


def log_determinant(blocks: tuple[Float[Array, "a a"], Float[Array, "b b"]]) -> Float[Array, ""]:
    """Return the log determinant of both blocks together: the D-criterion; -infinity if something is not told."""
    signs, logs = zip(*(jnp.linalg.slogdet(block) for block in blocks), strict=True)
    return jnp.where((signs[0] > 0) & (signs[1] > 0), logs[0] + logs[1], -jnp.inf)
