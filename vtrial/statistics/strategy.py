"""What happens to a patient's mean outcomes after his last known visit: assumptions for imputing what is missing.

Source: Carpenter et al. 2013, doi:10.1080/10543406.2013.834911.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class AbstractStrategy(eqx.Module):
    """An assumption about patients who left."""

    @abstractmethod
    def mean(
        self, own: Float[Array, " visit"], reference: Float[Array, " visit"], last: Int[Array, ""]
    ) -> Float[Array, " visit"]:
        """Return a patient's mean outcomes.

        Args:
            own: of his own arm.
            reference: of the reference arm.
            last: his last known visit; -1 if there is none.
        """

    @abstractmethod
    def describe(self) -> str:
        """Say the assumption in words."""


class MissingAtRandom(AbstractStrategy):
    """They go on as others of their arm."""

    def mean(
        self, own: Float[Array, " visit"], reference: Float[Array, " visit"], last: Int[Array, ""]
    ) -> Float[Array, " visit"]:
        """Return their own arm's means."""
        return own

    def describe(self) -> str:
        """Say it."""
        return "missing at random"


class JumpToReference(AbstractStrategy):
    """They lose all effect after the last known visit."""

    def mean(
        self, own: Float[Array, " visit"], reference: Float[Array, " visit"], last: Int[Array, ""]
    ) -> Float[Array, " visit"]:
        """Return their own arm's means, then the reference's."""
        return jnp.where(jnp.arange(len(own)) <= last, own, reference)

    def describe(self) -> str:
        """Say it."""
        return "jump to reference"


class CopyIncrements(AbstractStrategy):
    """They keep the effect of the last known visit, and change from there as the reference does."""

    def mean(
        self, own: Float[Array, " visit"], reference: Float[Array, " visit"], last: Int[Array, ""]
    ) -> Float[Array, " visit"]:
        """Return their own arm's means, then the reference's moved by the effect so far."""
        kept = jnp.where(last >= 0, (own - reference)[jnp.maximum(last, 0)], 0.0)
        return jnp.where(jnp.arange(len(own)) <= last, own, reference + kept)

    def describe(self) -> str:
        """Say it."""
        return "copy increments in reference"


class CopyReference(AbstractStrategy):
    """They are as the reference from the start; their own early outcomes carry over by correlation alone."""

    def mean(
        self, own: Float[Array, " visit"], reference: Float[Array, " visit"], last: Int[Array, ""]
    ) -> Float[Array, " visit"]:
        """Return the reference's means, for a patient with something missing; others need none."""
        return reference

    def describe(self) -> str:
        """Say it."""
        return "copy reference"
