"""How a random effect of observed people is sampled, where not by itself: about what the data say of each subject."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Told(NamedTuple):
    """Sample an effect so that, given a subject's own data, it varies by 1 whatever omega and the typical value are.

    With L the SD of the effect given those before it, z the effect over L and data that tell subject's own value with
    precision i (as much as a normal measurement of variance 1 / i), the coordinate is

        u = sqrt(1 + i L^2) z + i L / sqrt(1 + i L^2) (location - around).

    Where L is small it is z, and where the data say much, sqrt(i) times the subject's own value: neither omega near 0
    nor a large one makes a funnel. It is the exact form, for normal data, of what partial centring is on average.
    Source: the conditional law of a normal mean; Papaspiliopoulos, Roberts and Skold 2007,
    doi:10.1214/088342307000000014, for the centring that this makes depend on omega.
    """

    information: tuple[float, ...]
    """Precision i of what the data say of each subject, on the parameter's scale."""
    around: float
    """A typical value of the location, on that scale."""

    def frame(self, location: Float[Array, "*subject"], spread: Float[Array, ""]) -> tuple[Array, Array]:
        """Return what the coordinate is at z = 0, and by what z is multiplied, given location and L."""
        information = jnp.asarray(self.information)
        root = jnp.sqrt(1.0 + information * spread**2)
        return information * spread / root * (location - self.around), root


class Centred(NamedTuple):
    """Sample the subject's own value on the parameter's scale: the location plus the effect."""

    def frame(self, location: Float[Array, "*subject"], spread: Float[Array, ""]) -> tuple[Array, Array]:
        """Return what the coordinate is at z = 0, and by what z is multiplied, given location and L."""
        return location, spread


type Centring = Told | Centred
"""Either of them."""
