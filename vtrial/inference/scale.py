"""How positive numbers that may be 0 are sampled: on a scale where 0 is far, but not too far."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import Transform

_NEWTON = 40
"""Steps of Newton's method for the inverse, which close in from one side."""


class FromZero(Transform):
    """y = scale exp(x - s^2 / 2) with s = log(1 + exp(-x)): exp(x) far above 0, exp(x - x^2 / 2) far below.

    A density that is not 0 at y = 0, as that of a standard deviation mostly, falls off there like that of a normal. On
    the logarithm it falls off like an exponential, in whose long tail chains get lost.
    """

    domain = constraints.real  # pyright: ignore[reportAssignmentType]
    codomain = constraints.positive  # pyright: ignore[reportAssignmentType]

    def __init__(self, scale: float | Float[Array, "..."]):
        """Take the scale: about what y is expected to be."""
        self.scale = scale

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return y."""
        return self.scale * jnp.exp(x - _soft(x) ** 2 / 2)

    def _inverse(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        goal = jnp.log(y / self.scale)
        x = jnp.where(goal > 0, goal, 1.0 - jnp.sqrt(1.0 - 2.0 * jnp.minimum(goal, 0.0)))
        for _ in range(_NEWTON):
            s = _soft(x)
            x = x - (x - s**2 / 2 - goal) / _rise(s)
        return x

    def log_abs_det_jacobian(
        self, x: Float[Array, "..."], y: Float[Array, "..."], intermediates: None = None
    ) -> Float[Array, "..."]:
        """Return log dy/dx."""
        s = _soft(x)
        return jnp.log(jnp.asarray(self.scale)) + x - s**2 / 2 + jnp.log(_rise(s))

    def tree_flatten(self):
        """Return the scale, and which name it has."""
        return (self.scale,), (("scale",), {})

    def __eq__(self, other: object) -> bool:
        """Compare scales."""
        return isinstance(other, FromZero) and bool(jnp.all(jnp.asarray(self.scale == other.scale)))


class Polar(NamedTuple):
    """Two positive numbers a and b by x and y: a = exp(x) cos(t), b at = exp(x) sin(t), t = pi/2 Phi(y).

    Of two standard deviations whose variances add, data say well how large they are together, and hardly how much is
    whose: one by one, they lie on a bent ridge that is the narrower the nearer either is to 0. A density that is not 0
    where one of them is falls off there like that of a normal.
    """

    at: Float[Array, ""]
    """By how much b is multiplied where both are of one error."""

    def __call__(self, x: Float[Array, ""], y: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Return a and b."""
        # The cosine of an angle near pi/2 as the sine of what is left; both at once, for the function is a long one.
        a, b = jnp.exp(x) * jnp.sin(0.5 * jnp.pi * ndtr(jnp.stack([-y, y])))
        return a, b / self.at

    def inv(self, a: Float[Array, ""], b: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Return x and y."""
        b = b * self.at
        return jnp.log(jnp.hypot(a, b)), ndtri(jnp.arctan2(b, a) / (0.5 * jnp.pi))

    def log_abs_det_jacobian(self, x: Float[Array, ""], y: Float[Array, ""]) -> Float[Array, ""]:
        """Return the logarithm of the area of a and b to that of x and y."""
        return 2.0 * x - 0.5 * y**2 + 0.5 * math.log(math.pi / 8.0) - jnp.log(self.at)


def _soft(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return jax.nn.softplus(-x)


def _rise(s: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the derivative of x - s^2 / 2."""
    return 1.0 + s * (1.0 - jnp.exp(-s))


def transform_of(law: dist.Distribution) -> Transform:
    """Return how a site with this distribution is sampled: positive ones that may be 0 from there, others as usual."""
    if isinstance(law, dist.HalfNormal):
        return FromZero(float(jnp.asarray(law.scale)))
    if isinstance(law, dist.FoldedDistribution):
        return FromZero(float(jnp.asarray(law.base_dist.scale)))  # pyright: ignore[reportAttributeAccessIssue]
    return biject_to(law.support)
