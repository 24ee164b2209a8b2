"""Borrowing from an earlier control: power and commensurate priors, and exact operating characteristics."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.stats import binom

from vtrial.errors import UserError


def power_prior_normal(
    estimate: Float[Array, ""] | float,
    error: Float[Array, ""] | float,
    history: tuple[float, float],
    share: float,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the posterior mean and standard deviation when history counts by a share.

    Source: Ibrahim and Chen 2000, doi:10.1214/ss/1009212673.

    Args:
        estimate: of the trial itself.
        error: its standard error.
        history: earlier estimate and its standard error.
        share: 0 leaves history out, 1 counts it in full.

    Raises:
        UserError: the share is not between 0 and 1.
    """
    _check_share(share)
    own, other = 1 / jnp.asarray(error) ** 2, share / history[1] ** 2
    return (own * estimate + other * history[0]) / (own + other), 1 / jnp.sqrt(own + other)


def power_prior_binary(
    events: Float[Array, ""] | float,
    number: Float[Array, ""] | float,
    history: tuple[float, float],
    share: float,
    start: tuple[float, float] = (1.0, 1.0),
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return a and b of the posterior when `history` (events, patients) counts by a share; `start` is before both.

    Raises:
        UserError: the share is not between 0 and 1.
    """
    _check_share(share)
    a = start[0] + share * history[0] + events
    b = start[1] + share * (history[1] - history[0]) + number - events
    return jnp.asarray(a), jnp.asarray(b)


def commensurate_normal(
    estimate: Float[Array, ""] | float,
    error: Float[Array, ""] | float,
    history: tuple[float, float],
    spread: float,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the posterior mean and standard deviation if the mean is normal about the earlier one.

    Source: Hobbs et al. 2011, doi:10.1111/j.1541-0420.2011.01564.x.

    Args:
        estimate: of the trial itself.
        error: its standard error.
        history: earlier estimate and its standard error.
        spread: standard deviation of the trial's mean about the earlier one; 0 pools, a great one does not borrow.
    """
    own, other = 1 / jnp.asarray(error) ** 2, 1 / (history[1] ** 2 + spread**2)
    return (own * estimate + other * history[0]) / (own + other), 1 / jnp.sqrt(own + other)


def decisions(
    rule: Callable[[Float[Array, ""], Float[Array, ""]], Bool[Array, ""]], control: int, treated: int
) -> Bool[np.ndarray, "control treated"]:
    """Return what a rule decides at every possible pair of counts of a binary trial.

    Args:
        rule: takes events in the control and in the treated arm to whether the null hypothesis is rejected.
        control: patients of the control arm.
        treated: patients of the treated arm.
    """
    across = jax.vmap(jax.vmap(rule, (None, 0)), (0, None))
    return np.asarray(jax.jit(across)(jnp.arange(control + 1.0), jnp.arange(treated + 1.0)))


def rejection(decided: Bool[np.ndarray, "control treated"], control_share: float, treated_share: float) -> float:
    """Return the probability of rejection at true shares, exactly: power, or type I error if they are equal."""
    control, treated = (np.arange(n) for n in decided.shape)
    weight = binom.pmf(control, control[-1], control_share)[:, None] * binom.pmf(treated, treated[-1], treated_share)
    return float((weight * decided).sum())


def _check_share(share: float) -> None:
    """Refuse a share outside 0 to 1.

    Raises:
        UserError: it is.
    """
    if not 0 <= share <= 1:
        raise UserError(f"History counts by a share between 0 and 1, not {share:g}.")
