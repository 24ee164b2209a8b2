"""How positive numbers that may be 0 are sampled: on a scale where 0 is far, but not too far."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
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
