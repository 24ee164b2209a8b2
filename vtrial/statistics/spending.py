"""Spending functions: how much of an error probability may be used up by a share of the information.

`t` is the share of the final information, from 0 to 1; the functions are traceable.
"""

import math
from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from vtrial.errors import UserError


class AbstractSpending(eqx.Module):
    """How an error probability is spent: nothing at share 0, all of it at share 1, never less later."""

    @abstractmethod
    def spent(self, t: Float[Array, "*look"], total: Float[Array, ""] | float) -> Float[Array, "*look"]:
        """Return how much of `total` is spent by share `t`; above 1 as at 1."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in the field's words."""


class OBrienFlemingSpending(AbstractSpending):
    """Little early, as O'Brien and Fleming's boundary: 2 (1 - Phi(z / sqrt t)), z the normal quantile of total / 2.

    Source: Lan and DeMets 1983, doi:10.1093/biomet/70.3.659.
    """

    def spent(self, t: Float[Array, "*look"], total: Float[Array, ""] | float) -> Float[Array, "*look"]:
        """Return it."""
        share = jnp.clip(t, 1e-12, 1.0)
        return 2.0 * ndtr(ndtri(0.5 * jnp.asarray(total)) / jnp.sqrt(share))

    def describe(self) -> str:
        """Say it."""
        return "O'Brien-Fleming-type spending (Lan-DeMets)"


class PocockSpending(AbstractSpending):
    """About as much at each look, as Pocock's boundary: total log(1 + (e - 1) t).

    Source: Lan and DeMets 1983, doi:10.1093/biomet/70.3.659.
    """

    def spent(self, t: Float[Array, "*look"], total: Float[Array, ""] | float) -> Float[Array, "*look"]:
        """Return it."""
        return jnp.asarray(total) * jnp.log1p((math.e - 1.0) * jnp.clip(t, 0.0, 1.0))

    def describe(self) -> str:
        """Say it."""
        return "Pocock-type spending (Lan-DeMets)"


class PowerSpending(AbstractSpending):
    """A power of the share: total t**gamma.

    Source: Kim and DeMets 1987, doi:10.1093/biomet/74.1.149.
    """

    gamma: float = eqx.field(static=True, default=3.0)

    def __check_init__(self):
        """Refuse a power that spends nothing or backwards."""
        if not 0 < self.gamma < math.inf:
            raise UserError(f"spending.gamma of a power spending is positive, not {self.gamma}; 1 to 3 are usual.")

    def spent(self, t: Float[Array, "*look"], total: Float[Array, ""] | float) -> Float[Array, "*look"]:
        """Return it."""
        return jnp.asarray(total) * jnp.clip(t, 0.0, 1.0) ** self.gamma

    def describe(self) -> str:
        """Say it."""
        return f"Kim-DeMets power spending (gamma {self.gamma:g})"


class GammaSpending(AbstractSpending):
    """The gamma family: total (1 - exp(-gamma t)) / (1 - exp(-gamma)); gamma 0 spends in proportion to t.

    Source: Hwang, Shih and DeCani 1990, doi:10.1002/sim.4780091207.
    """

    gamma: float = eqx.field(static=True, default=-4.0)

    def __check_init__(self):
        """Refuse what is no number."""
        if not math.isfinite(self.gamma):
            raise UserError(f"spending.gamma is a number, not {self.gamma}; -4 is near O'Brien-Fleming, 1 near Pocock.")

    def spent(self, t: Float[Array, "*look"], total: Float[Array, ""] | float) -> Float[Array, "*look"]:
        """Return it."""
        share = jnp.clip(t, 0.0, 1.0)
        if self.gamma != 0:
            share = jnp.expm1(-self.gamma * share) / math.expm1(-self.gamma)
        return jnp.asarray(total) * share

    def describe(self) -> str:
        """Say it."""
        return f"Hwang-Shih-DeCani spending (gamma {self.gamma:g})"
