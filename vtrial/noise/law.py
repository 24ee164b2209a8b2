"""Laws of a measurement with an error: a standard variable, scaled and moved, perhaps on a transformed scale."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float, Key

_FAR = 1e7
"""Probabilities are taken at most so many standard deviations away."""
_LOG_2PI = float(np.log(2 * np.pi))


def log1mexp(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return log(1 - exp(-x)) of x > 0 without cancellation; 0 is taken as the least positive number."""
    x = jnp.maximum(x, jnp.finfo(x.dtype).tiny)
    near = x < 0.6931
    # Each branch sees only what it is accurate for, so that neither spoils the other's derivative.
    return jnp.where(near, jnp.log(-jnp.expm1(-jnp.where(near, x, 0.5))), jnp.log1p(-jnp.exp(-jnp.where(near, 1.0, x))))


class AbstractStandard(eqx.Module):
    """A symmetric variable with location 0 and scale 1."""

    @abstractmethod
    def log_density(self, z: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log density."""

    @abstractmethod
    def log_below(self, z: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log probability of a value below z."""

    @abstractmethod
    def draw(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Draw one value."""

    @abstractmethod
    def draw_above(self, key: Key[Array, ""], least: Float[Array, ""]) -> Float[Array, ""]:
        """Draw one value, given that it is above `least`."""

    @abstractmethod
    def deviation(self) -> Float[Array, ""]:
        """Return its standard deviation; not a number if there is none."""


class Normal(AbstractStandard):
    """The standard normal."""

    def log_density(self, z: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log density."""
        return -0.5 * (z * z + _LOG_2PI)

    def log_below(self, z: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return log Phi(z)."""
        return log_ndtr(z)

    def draw(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Draw one value."""
        return jax.random.normal(key)

    def draw_above(self, key: Key[Array, ""], least: Float[Array, ""]) -> Float[Array, ""]:
        """Draw by inversion of the upper tail, which is exact up to 38 standard deviations."""
        tail = jax.scipy.special.ndtr(-least) * jax.random.uniform(key, minval=jnp.finfo(least.dtype).tiny)
        return jnp.maximum(-jax.scipy.special.ndtri(jnp.maximum(tail, jnp.finfo(least.dtype).tiny)), least)

    def deviation(self) -> Float[Array, ""]:
        """Return 1."""
        return jnp.ones(())


_STEPS = np.linspace(-3.75, 2.4, 83)
_NODES = np.exp(0.5 * np.pi * np.sinh(_STEPS))
_WEIGHTS = 0.5 * np.pi * np.cosh(_STEPS) * _NODES * (_STEPS[1] - _STEPS[0])
"""Double-exponential quadrature over (0, inf): Takahasi and Mori 1974, doi:10.2977/prims/1195192451."""


class StudentT(AbstractStandard):
    """Student's t."""

    df: Float[Array, ""]
    """Degrees of freedom."""

    def _log_constant(self) -> Float[Array, ""]:
        """Return the log density at 0."""
        half = 0.5 * self.df
        return jax.lax.lgamma(half + 0.5) - jax.lax.lgamma(half) - 0.5 * jnp.log(jnp.pi * self.df)

    def log_density(self, z: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log density."""
        return self._log_constant() - 0.5 * (self.df + 1.0) * jnp.log1p(z * z / self.df)

    def log_below(self, z: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log probability by quadrature, which has derivatives in `df` and no underflow.

        With z = sqrt(df) sinh(u) the density is c sqrt(df) cosh(u)^-df du. Beyond u the tail is that of
        cosh(u)^-df, times an integral that is between an exponential's and a half-normal's.
        """
        u = jnp.arcsinh(jnp.abs(z) / jnp.sqrt(self.df))
        at = _log_cosh(u)
        width = 1.0 / (self.df * jnp.tanh(u) + jnp.sqrt(self.df))
        beyond = _log_cosh(u[:, None] + width[:, None] * _NODES) - at[:, None]
        integral = jnp.sum(_WEIGHTS * jnp.exp(-self.df * beyond), axis=1) * width
        tail = self._log_constant() + 0.5 * jnp.log(self.df) - self.df * at + jnp.log(integral)
        tail = jnp.minimum(tail, -0.6931471805599453)
        return jnp.where(z > 0, log1mexp(-tail), tail)

    def draw(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Draw one value."""
        return jax.random.t(key, self.df, dtype=jnp.result_type(float))

    def draw_above(self, key: Key[Array, ""], least: Float[Array, ""]) -> Float[Array, ""]:
        """Draw until a value is above; `least` is 0 or less but for predictions below zero, so two draws are usual."""

        def again(state: tuple[Array, Array]) -> tuple[Array, Array]:
            return state[0] + 1, self.draw(jax.random.fold_in(key, state[0]))

        def below(state: tuple[Array, Array]) -> Array:
            return (state[1] <= least) & (state[0] < 10_000)

        _, found = jax.lax.while_loop(below, again, again((jnp.zeros((), jnp.int32), least)))
        return jnp.maximum(found, least)

    def deviation(self) -> Float[Array, ""]:
        """Return sqrt(df / (df - 2)) of more than two degrees of freedom."""
        return jnp.where(self.df > 2, jnp.sqrt(self.df / jnp.where(self.df > 2, self.df - 2.0, 1.0)), jnp.nan)


def _log_cosh(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return log cosh of u >= 0."""
    return u + jnp.log1p(jnp.exp(-2.0 * u)) - float(np.log(2.0))


class BoxCox(eqx.Module):
    """The scale (y^shape - 1) / shape of positive values; log y where the shape is 0, and y - 1 where it is 1."""

    shape: Float[Array, ""]

    def forward(self, y: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return values on this scale; a value of 0 or less is taken as the least positive number."""
        log = jnp.log(jnp.maximum(y, jnp.finfo(y.dtype).tiny))
        return log * _relative(jnp.expm1, self.shape * log, (0.5, 1 / 6, 1 / 24))

    def inverse(self, x: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return values on the scale of the output; below the range of the scale they are 0."""
        inside = self.shape * x
        open_ = inside > -1.0
        safe = jnp.where(open_, inside, 0.0)
        log = jnp.where(open_, x, 0.0) * _relative(jnp.log1p, safe, (-0.5, 1 / 3, -0.25))
        return jnp.where(open_, jnp.exp(log), jnp.where(self.shape > 0, 0.0, jnp.inf))

    def log_slope(self, y: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log derivative of the scale by the value."""
        return (self.shape - 1.0) * jnp.log(jnp.maximum(y, jnp.finfo(y.dtype).tiny))


def _relative(function: Any, x: Float[Array, " obs"], series: tuple[float, float, float]) -> Float[Array, " obs"]:
    """Return function(x) / x, near 0 by its series 1 + a x + b x^2 + c x^3."""
    near = jnp.abs(x) < 1e-4
    a, b, c = series
    safe = jnp.where(near, 1.0, x)
    return jnp.where(near, 1.0 + x * (a + x * (b + x * c)), function(safe) / safe)


class Law(eqx.Module):
    """The law of each measurement: location + scale x standard variable, on its scale."""

    location: Float[Array, " obs"]
    scale: Float[Array, " obs"]
    standard: AbstractStandard
    transform: BoxCox | None = None
    """Of positive values; None for the scale of the output."""
    positive: bool = eqx.field(static=True, default=False)
    """Whether it is conditional on a value above 0."""

    def forward(self, y: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return values of the output on the scale of the error."""
        return y if self.transform is None else self.transform.forward(y)

    def inverse(self, x: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return values on the scale of the error as values of the output."""
        return x if self.transform is None else self.transform.inverse(x)

    def log_slope(self, y: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log derivative of that scale by the value."""
        return jnp.zeros_like(y) if self.transform is None else self.transform.log_slope(y)

    def standardised(self, y: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return (value - location) / scale."""
        return (self.forward(y) - self.location) / _safe(self.scale)

    def log_density(self, y: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log density of measured values."""
        found = self.standard.log_density(self.standardised(y)) - jnp.log(_safe(self.scale)) + self.log_slope(y)
        return found - self._log_positive()

    def log_between(self, lower: Float[Array, " obs"], upper: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """Return the log probability of a value between limits; one that is not finite is open."""
        if self.positive:
            lower = jnp.where(upper > 0, jnp.maximum(jnp.where(jnp.isfinite(lower), lower, 0.0), 0.0), lower)
        below, above = jnp.isfinite(lower), jnp.isfinite(upper)
        a, b = self._limit(jnp.where(below, lower, 1.0)), self._limit(jnp.where(above, upper, 2.0))
        # Between two limits: the side of the symmetric law where both probabilities are small.
        turned = a + b > 0
        right, left = jnp.where(turned, -a, b), jnp.where(turned, -b, a)
        larger = self.standard.log_below(jnp.where(below & above, right, jnp.where(above, b, -a)))
        smaller = self.standard.log_below(jnp.where(below & above, left, -1.0))
        # A closed interval has larger > smaller; elsewhere any number that has a logarithm stands in.
        between = larger + log1mexp(jnp.where(below & above, larger - smaller, 1.0))
        found = jnp.where(below & above, between, jnp.where(below | above, larger, 0.0))
        return found - self._log_positive()

    def _limit(self, y: Float[Array, " obs"]) -> Float[Array, " obs"]:
        return jnp.clip(self.standardised(y), -_FAR, _FAR)

    def _log_positive(self) -> Float[Array, " obs"]:
        """Return the log probability of a value above 0 where the law is conditional on it, else 0."""
        if not self.positive:
            return jnp.zeros_like(self.location)
        return self.standard.log_below(-self._limit(jnp.zeros_like(self.location)))

    def draw(self, key: Key[Array, " obs"]) -> Float[Array, " obs"]:
        """Draw the standard variable of each measurement."""
        if not self.positive:
            return jax.vmap(self.standard.draw)(key)
        return jax.vmap(self.standard.draw_above)(key, self._limit(jnp.zeros_like(self.location)))


def _safe(scale: Float[Array, " obs"]) -> Float[Array, " obs"]:
    """Keep a scale so far from 0 that its inverse and its derivative are finite."""
    return jnp.maximum(scale, jnp.finfo(scale.dtype).tiny ** 0.25)
