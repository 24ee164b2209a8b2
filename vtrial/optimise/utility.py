"""Utilities of a patient's course: smooth, so that doses can be found by gradients."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial import units
from vtrial.endpoint import AbstractWindow
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class AbstractUtility(eqx.Module):
    """How good a patient's course is; greater is better."""

    window: eqx.AbstractVar[AbstractWindow]
    """The output, and when it is read."""

    @abstractmethod
    def of(self, course: Float[Array, " time"], model: AbstractModel) -> Float[Array, ""]:
        """Return the utility of a course of the output over the window's times."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class NearTarget(AbstractUtility):
    """Minus the squared logarithm of the output over a target, averaged over the window: 0 is best.

    Args:
        window: the output, and when it is read.
        target: wanted value, with its unit.
    """

    window: AbstractWindow
    target: str = eqx.field(static=True)

    def of(self, course: Float[Array, " time"], model: AbstractModel) -> Float[Array, ""]:
        """Return the mean over time."""
        target = units.quantity(self.target, self.window.unit(model), where="NearTarget's target")
        return -jnp.mean(jnp.log(course / target) ** 2)

    def describe(self) -> str:
        """Say output and target."""
        return f"minus squared log of {self.window.output} over {self.target}, {self.window.describe()}"


class ShareInside(AbstractUtility):
    """Share of the window's times at which the output is inside a range, with edges that are soft on the log scale.

    With a window of one time it is the probability to be inside. The narrower the edges, the nearer to that share, and
    the more patients a smooth sum needs.

    Args:
        window: the output, and when it is read.
        lower: bottom of the range, with its unit.
        upper: top of the range.
        width: of the edges: at a factor exp(width) beyond a limit the weight has fallen from 0.5 to 0.27.
    """

    window: AbstractWindow
    lower: str = eqx.field(static=True)
    upper: str = eqx.field(static=True)
    width: float = eqx.field(static=True, default=0.05)

    def __check_init__(self):
        """Refuse hard edges: they have no gradient."""
        if not self.width > 0:
            raise UserError(f"ShareInside's width must be above 0, for a gradient to exist, not {self.width}.")

    def of(self, course: Float[Array, " time"], model: AbstractModel) -> Float[Array, ""]:
        """Return the mean over time of the product of both edges."""
        unit = self.window.unit(model)
        low = units.quantity(self.lower, unit, where="ShareInside's lower")
        high = units.quantity(self.upper, unit, where="ShareInside's upper")
        if not 0 < low < high:
            raise UserError(f"ShareInside's range must go up from above 0; got {self.lower} to {self.upper}.")
        level = jnp.log(course)
        above = jax.nn.sigmoid((level - jnp.log(low)) / self.width)
        return jnp.mean(above * jax.nn.sigmoid((jnp.log(high) - level) / self.width))

    def describe(self) -> str:
        """Say range and edges."""
        return (
            f"share of times at which {self.window.output} is within {self.lower} to {self.upper} "
            f"(edges soft by {100 * self.width:g} %), {self.window.describe()}"
        )
