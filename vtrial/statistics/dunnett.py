"""Dunnett's test: several arms against one control, by the distribution of the greatest of their statistics; traceable.

Given the control's mean the arms are independent: with arm shares l = n / (n + n_control), statistic i is
sqrt(1 - l_i) e_i - sqrt(l_i) e_control. Source: Dunnett 1955, doi:10.1080/01621459.1955.10501294.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, ndtr
from jaxtyping import Array, Bool, Float

from vtrial.statistics.recursion import gauss_legendre
from vtrial.statistics.root import root

_NODES = 64
"""Nodes of the control's deviate, from -8 to 8: the error is below 1e-12."""
_SPREADS = 48
"""Nodes of the estimated standard deviation."""


def greatest(
    z: Float[Array, ""], share: Float[Array, " arm"], included: Bool[Array, " arm"], two_sided: bool = False
) -> Float[Array, ""]:
    """Return the probability that the greatest statistic of the arms included is `z` or more under the null hypothesis.

    Args:
        z: greatest statistic seen.
        share: of each arm, by n / (n + n of the control).
        included: arms in the hypothesis.
        two_sided: whether statistics count by their absolute value.
    """
    x, w = (jnp.asarray(a) for a in gauss_legendre(_NODES))
    x, w = 8.0 * x, 8.0 * w * jnp.exp(-0.5 * (8.0 * x) ** 2) / jnp.sqrt(2 * jnp.pi)
    scale, common = jnp.sqrt(1.0 - share)[None, :], jnp.sqrt(share)[None, :] * x[:, None]
    each = ndtr((z + common) / scale)
    if two_sided:
        each = each - ndtr((-z + common) / scale)
    inside = jnp.prod(jnp.where(included[None, :], each, 1.0), axis=1)
    return jnp.clip(w @ (1.0 - inside), 0.0, 1.0)


def greatest_t(
    t: Float[Array, ""],
    share: Float[Array, " arm"],
    included: Bool[Array, " arm"],
    df: Float[Array, ""] | float,
    two_sided: bool = False,
) -> Float[Array, ""]:
    """Return the same for t statistics that share one estimate of the standard deviation, of `df` degrees."""
    df = jnp.asarray(df, float)
    x, w = (jnp.asarray(a) for a in gauss_legendre(_SPREADS))
    # The estimate's ratio to the truth is chi / sqrt(df): nearly normal about 1, with deviation 1 / sqrt(2 df).
    low, high = jnp.maximum(1.0 - 9.0 / jnp.sqrt(2.0 * df), 0.0), 1.0 + 9.0 / jnp.sqrt(2.0 * df)
    s = 0.5 * (low + high) + 0.5 * (high - low) * x
    log_density = df / 2 * jnp.log(df / 2) - gammaln(df / 2) + jnp.log(2.0) + (df - 1) * jnp.log(s) - df * s * s / 2
    mass = 0.5 * (high - low) * w * jnp.exp(log_density)
    tails = jax.vmap(lambda ratio: greatest(t * ratio, share, included, two_sided))(s)
    return jnp.clip(mass @ tails, 0.0, 1.0)


def adjusted(z: Float[Array, " arm"], share: Float[Array, " arm"], tested: Bool[Array, " arm"]) -> Float[Array, " arm"]:
    """Return one-sided step-down Dunnett p-values: the closed test, by strong control of the family-wise error rate.

    Args:
        z: statistic of each arm against the control, greater being better; not a number counts as no evidence.
        share: of each arm, by n / (n + n of the control).
        tested: arms in the family; the others get not a number.
    """
    known = jnp.where(tested & ~jnp.isnan(z), z, -jnp.inf)
    order = jnp.argsort(-known)
    found = jnp.full(z.shape, jnp.nan)
    least = jnp.asarray(0.0, z.dtype)
    left = tested
    for i in range(z.shape[0]):
        j = order[i]
        p = jnp.where(jnp.isfinite(known[j]), greatest(jnp.clip(known[j], -9.0, 40.0), share, left), 1.0)
        least = jnp.maximum(least, p)
        found = found.at[j].set(jnp.where(tested[j], least, jnp.nan))
        left = left & (jnp.arange(z.shape[0]) != j)
    return jnp.where(jnp.isnan(z), jnp.nan, found)


def critical(shares: tuple[float, ...], alpha: float) -> float:
    """Return the one-sided critical value of the greatest statistic of arms of these shares.

    Outside traced code.
    """
    share, every = jnp.asarray(shares, float), jnp.ones(len(shares), bool)
    return root(lambda z: float(greatest(jnp.asarray(z), share, every)) - alpha, -10.0, 10.0)
