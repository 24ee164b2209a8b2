"""Enrolment: when patients arrive, in calendar time."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial import keys, units
from vtrial.errors import UserError


class AbstractEnrolment(eqx.Module):
    """When the patients of one trial arrive; a look that enrolment waits for shifts who comes later."""

    @abstractmethod
    def arrivals(self, key: Key[Array, ""], n: int, unit: str) -> Float[Array, " {n}"]:
        """Return the arrival times of the first `n` patients, ascending, in the time unit `unit`."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class AtOnce(AbstractEnrolment):
    """Everybody arrives at time 0."""

    def arrivals(self, key: Key[Array, ""], n: int, unit: str) -> Float[Array, " {n}"]:
        """Return zeros."""
        return jnp.zeros(n)

    def describe(self) -> str:
        """Say it."""
        return "all patients enrol at once"


class Sites(AbstractEnrolment):
    """Patients arrive at sites, each by a Poisson process of a rate of its own, gamma distributed over sites.

    Source: Anisimov and Fedorov 2007, doi:10.1002/sim.2956.

    Args:
        sites: how many.
        rate: mean rate of one site with its unit, for example "0.5 1/week".
        variation: coefficient of variation of the rates over sites; 0 for none.
        opening: sites open one after the other, equally spaced over this time; left out, all at time 0.
        passing: share of those who arrive that pass the screening and enrol.
    """

    sites: int = eqx.field(static=True)
    rate: str = eqx.field(static=True)
    variation: float = eqx.field(static=True, default=0.0)
    opening: str | None = eqx.field(static=True, default=None)
    passing: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        """Refuse numbers that no trial has."""
        if self.sites < 1:
            raise UserError(f"enrolment.sites must be 1 or more, not {self.sites}.")
        if self.variation < 0:
            raise UserError(f"enrolment.variation is a coefficient of variation, not {self.variation}.")
        if not 0 < self.passing <= 1:
            raise UserError(f"enrolment.passing is a share above 0 and at most 1, not {self.passing}.")

    def arrivals(self, key: Key[Array, ""], n: int, unit: str) -> Float[Array, " {n}"]:
        """Invert the cumulative rate of all sites together, which is linear between two openings.

        Raises:
            UserError: rate or opening has another unit or is not possible.
        """
        each = units.quantity(self.rate, f"1/({unit})", where="enrolment.rate")
        over = 0.0 if self.opening is None else units.quantity(self.opening, unit, where="enrolment.opening")
        if each <= 0 or over < 0:
            said = f"{self.rate} and {self.opening}"
            raise UserError(f"enrolment.rate must be positive and enrolment.opening not negative; got {said}.")
        rates = self.passing * each * self._relative(keys.named(key, "rate"))
        opens = over * jnp.arange(self.sites) / self.sites
        running = jnp.cumsum(rates)
        # Expected arrivals by the time each site opens; after the last one it goes on with all of them.
        there = jnp.concatenate([jnp.zeros(1), jnp.cumsum(running[:-1] * jnp.diff(opens))])
        wanted = jnp.cumsum(jax.random.exponential(keys.named(key, "arrival"), (n,)))
        last = jnp.maximum(wanted - there[-1], 0.0) / running[-1]
        return jnp.interp(wanted, there, opens) + last

    def _relative(self, key: Key[Array, ""]) -> Float[Array, " site"]:
        if self.variation == 0:
            return jnp.ones(self.sites)
        shape = 1.0 / self.variation**2
        return jax.random.gamma(key, shape, (self.sites,)) / shape

    def describe(self) -> str:
        """Say it."""
        varied = f", CV {100 * self.variation:g} % between sites" if self.variation else ""
        opening = f", opening over {self.opening}" if self.opening else ""
        passing = f", {100 * self.passing:g} % pass screening" if self.passing < 1 else ""
        return f"{self.sites} sites, {self.rate} each{varied}{opening}{passing}"
