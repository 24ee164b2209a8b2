"""Scales of random effects: on which function h of a parameter subjects are normal around the typical value."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from vtrial.errors import UserError


class AbstractScale(eqx.Module):
    """How a subject's value follows from the typical value and the sum of its random effects, normal around 0."""

    @abstractmethod
    def value(self, typical: Float[Array, "..."], effect: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return subjects' values, in the unit of the typical value, from the sum of their random effects."""

    @abstractmethod
    def location(self, typical: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return h(typical): what random effects are centred on where the fit is centred."""

    @abstractmethod
    def allows(self, value: float) -> bool:
        """Return whether a typical value is possible."""

    @abstractmethod
    def converted(self, factor: float) -> "AbstractScale":
        """Return the scale of the same parameter in another unit: its values multiplied by `factor`."""

    @abstractmethod
    def omega_unit(self, unit: str) -> str:
        """Return the unit of omega, the standard deviation of a random effect, given the parameter's."""

    @abstractmethod
    def describe(self, name: str, effects: str) -> str:
        """Write a subject's value as a formula of the typical value and the random effects."""


class LogNormal(AbstractScale):
    """h = log: a subject's value is the typical value times exp(eta)."""

    def value(self, typical: Float[Array, "..."], effect: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return typical exp(effect)."""
        return typical * jnp.exp(effect)

    def location(self, typical: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return log(typical)."""
        return jnp.log(typical)

    def allows(self, value: float) -> bool:
        """Return whether it is positive."""
        return value > 0

    def converted(self, factor: float) -> "LogNormal":
        """Return itself."""
        return self

    def omega_unit(self, unit: str) -> str:
        """Return none: omega is the SD of a logarithm."""
        return ""

    def describe(self, name: str, effects: str) -> str:
        """Write the product."""
        return f"{name} · exp({effects})"


class Normal(AbstractScale):
    """h = identity: a subject's value is the typical value plus eta; it may be negative."""

    def value(self, typical: Float[Array, "..."], effect: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return typical + effect."""
        return typical + effect

    def location(self, typical: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return typical."""
        return typical

    def allows(self, value: float) -> bool:
        """Return yes."""
        return True

    def converted(self, factor: float) -> "Normal":
        """Return itself."""
        return self

    def omega_unit(self, unit: str) -> str:
        """Return the parameter's unit."""
        return unit

    def describe(self, name: str, effects: str) -> str:
        """Write the sum."""
        return f"{name} + {effects}"


class LogitNormal(AbstractScale):
    """h = logit of the place between two limits: for fractions, and for parameters that have a greatest value."""

    lower: float = eqx.field(static=True, default=0.0)
    upper: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        """Refuse limits in the wrong order."""
        _check_limits("logit-normal", self.lower, self.upper)

    def value(self, typical: Float[Array, "..."], effect: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return lower + (upper - lower) / (1 + exp(-(logit + effect)))."""
        return self.lower + (self.upper - self.lower) * jax.nn.sigmoid(self.location(typical) + effect)

    def location(self, typical: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return log((typical - lower) / (upper - typical))."""
        return jnp.log(typical - self.lower) - jnp.log(self.upper - typical)

    def allows(self, value: float) -> bool:
        """Return whether it lies between the limits."""
        return self.lower < value < self.upper

    def converted(self, factor: float) -> "LogitNormal":
        """Multiply the limits."""
        return LogitNormal(self.lower * factor, self.upper * factor)

    def omega_unit(self, unit: str) -> str:
        """Return none: omega is the SD of a logit."""
        return ""

    def describe(self, name: str, effects: str) -> str:
        """Write it with the limits."""
        return f"logit⁻¹(logit({name}) + {effects}) between {self.lower:g} and {self.upper:g}"


class ProbitNormal(AbstractScale):
    """h = probit, the normal quantile, of the place between two limits."""

    lower: float = eqx.field(static=True, default=0.0)
    upper: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        """Refuse limits in the wrong order."""
        _check_limits("probit-normal", self.lower, self.upper)

    def value(self, typical: Float[Array, "..."], effect: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return lower + (upper - lower) times the normal distribution function."""
        return self.lower + (self.upper - self.lower) * ndtr(self.location(typical) + effect)

    def location(self, typical: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the normal quantile of (typical - lower) / (upper - lower)."""
        return ndtri((typical - self.lower) / (self.upper - self.lower))

    def allows(self, value: float) -> bool:
        """Return whether it lies between the limits."""
        return self.lower < value < self.upper

    def converted(self, factor: float) -> "ProbitNormal":
        """Multiply the limits."""
        return ProbitNormal(self.lower * factor, self.upper * factor)

    def omega_unit(self, unit: str) -> str:
        """Return none: omega is the SD of a probit."""
        return ""

    def describe(self, name: str, effects: str) -> str:
        """Write it with the limits."""
        return f"probit⁻¹(probit({name}) + {effects}) between {self.lower:g} and {self.upper:g}"


class BoxCox(AbstractScale):
    """A subject's value is the typical value times exp((exp(shape eta) - 1) / shape): eta skewed by Box and Cox.

    Shape 0 is the log-normal; a positive shape lengthens the right tail, a negative one the left tail. It is the
    transform of the etas of Petersson et al. 2009, doi:10.1007/s11095-009-9931-1.
    """

    shape: float = eqx.field(static=True)

    def __check_init__(self):
        """Refuse the shape that is the log-normal."""
        if self.shape == 0:
            raise UserError("A Box-Cox shape of 0 is the log-normal; leave the parameter's scale out.")

    def value(self, typical: Float[Array, "..."], effect: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return typical exp((exp(shape effect) - 1) / shape)."""
        return typical * jnp.exp(jnp.expm1(self.shape * effect) / self.shape)

    def location(self, typical: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return log(typical)."""
        return jnp.log(typical)

    def allows(self, value: float) -> bool:
        """Return whether it is positive."""
        return value > 0

    def converted(self, factor: float) -> "BoxCox":
        """Return itself."""
        return self

    def omega_unit(self, unit: str) -> str:
        """Return none."""
        return ""

    def describe(self, name: str, effects: str) -> str:
        """Write it with the shape."""
        return f"{name} · exp((exp({self.shape:g} ({effects})) - 1) / {self.shape:g})"


def _check_limits(what: str, lower: float, upper: float) -> None:
    if not lower < upper:
        raise UserError(f"A {what} parameter needs lower < upper, not {lower} and {upper}.")
