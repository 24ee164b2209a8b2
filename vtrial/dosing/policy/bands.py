"""Bands of what is observed, as the rows of a nomogram have them."""

from collections.abc import Sequence
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vtrial import units
from vtrial.errors import UserError


def band(observed: Float[Array, ""], limits: Sequence[str], unit: str) -> Int[Array, ""]:
    """Return the number of the band an observation lies in; a limit itself belongs to the band above it."""
    return jnp.searchsorted(jnp.asarray(_numbers(limits, unit)), observed, side="right")


def check_bands(limits: Sequence[str], unit: str) -> None:
    """Check the limits; raises `UserError` if there is none, one is of another kind, or they do not ascend."""
    if not limits or (np.diff(_numbers(limits, unit)) <= 0).any():
        raise UserError(f"policy.limits ascend, and there is at least one; got {', '.join(limits) or 'none'}.")


def check_values(limits: Sequence[str], values: Sequence[float], name: str) -> None:
    """Check that there is a number of 0 or more for each band; raises `UserError`."""
    if len(values) != len(limits) + 1 or any(not 0 <= value < float("inf") for value in values):
        raise UserError(
            f"policy.{name} needs one number of 0 or more for each of the {len(limits) + 1} bands that "
            f"{len(limits)} limits make; got {', '.join(f'{v:g}' for v in values) or 'none'}."
        )


def describe_bands(limits: Sequence[str], values: Sequence[str]) -> str:
    """Say what belongs to each band."""
    between = [f"from {a} to {b}" for a, b in pairwise(limits)]
    names = [f"below {limits[0]}", *between, f"from {limits[-1]}"]
    return ", ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))


def _numbers(limits: Sequence[str], unit: str) -> list[float]:
    return [units.quantity(limit, unit, where="policy.limits") for limit in limits]
