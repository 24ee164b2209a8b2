"""Annotations shared by several modules."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Array, Float

type Values = Mapping[str, Array | np.ndarray]
"""Arrays by name, traced or not."""

type Scalar = Float[Array, ""] | float
"""A number: a Python float, or a traced scalar inside `jit`."""

type Named = Mapping[str, Float[Array, "..."] | float]
"""Values by name: parameters, states or outputs of one person at one instant (batched outside by `vmap`)."""


def texts(values: Sequence[str]) -> tuple[str, ...]:
    """Return texts as a tuple: a converter of fields that configuration gives as a list."""
    return tuple(values)


def whole_numbers(values: Sequence[int]) -> tuple[int, ...]:
    """Return whole numbers as a tuple: a converter of fields that configuration gives as a list."""
    return tuple(values)


def rows_of_numbers(values: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """Return rows of numbers as tuples: a converter of fields that configuration gives as a list of lists."""
    return tuple(tuple(row) for row in values)


def numbers(values: Sequence[float]) -> tuple[float, ...]:
    """Return numbers as a tuple: a converter of fields that configuration gives as a list."""
    return tuple(values)
