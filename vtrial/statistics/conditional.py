"""Conditional and predictive power at an interim look; traceable.

`share` is the information so far by that at the end, `z` the statistic so far, `critical` the statistic that rejects at
the end, `drift` the expected statistic at the end. Source: Lan and Wittes 1988, doi:10.2307/2531870; Spiegelhalter,
Freedman and Blackburn 1986, doi:10.1016/0197-2456(86)90003-6.
"""

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

type Number = Float[Array, "*any"] | float


def conditional_power(z: Number, share: Number, critical: Number, drift: Number) -> Float[Array, "*any"]:
    """Return the probability of rejecting at the end, given the statistic so far and the drift."""
    share = jnp.asarray(share)
    mean = z * jnp.sqrt(share) + drift * (1.0 - share)
    return ndtr((mean - critical) / jnp.sqrt(1.0 - share))


def trend(z: Number, share: Number) -> Float[Array, "*any"]:
    """Return the drift estimated from the statistic so far: conditional power under the current trend uses it."""
    return z / jnp.sqrt(jnp.asarray(share))


def predictive_power(z: Number, share: Number, critical: Number) -> Float[Array, "*any"]:
    """Return the conditional power averaged over what is known of the drift so far, with a flat prior."""
    share = jnp.asarray(share)
    return ndtr((z / jnp.sqrt(share) - critical) / jnp.sqrt((1.0 - share) / share))


def second_critical(z: Number, weight: Number, critical: Number) -> Float[Array, "*any"]:
    """Return the statistic that the second stage alone needs in an inverse-normal combination.

    Args:
        z: statistic of the first stage.
        weight: square of its weight; that of the second stage is 1 - weight.
        critical: of the combination.
    """
    weight = jnp.asarray(weight)
    return (critical - jnp.sqrt(weight) * z) / jnp.sqrt(1.0 - weight)


def needed_information(second: Number, effect: Number, power: Number) -> Float[Array, "*any"]:
    """Return the information that a second stage needs for a power; infinity if the effect is not positive.

    Args:
        second: statistic that it needs to reject; see `second_critical`.
        effect: assumed.
        power: wanted of the second stage, which is the conditional power of the trial.
    """
    effect = jnp.asarray(effect)
    wanted = jnp.maximum(second + ndtri(jnp.asarray(power)), 0.0)
    good = effect > 0
    return jnp.where(good, (wanted / jnp.where(good, effect, 1.0)) ** 2, jnp.inf)
