"""Annotations shared by several modules."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float

type Values = Mapping[str, Array | np.ndarray]
"""Arrays by name, traced or not."""

type Scalar = Float[Array, ""] | float
"""A number: a Python float, or a traced scalar inside `jit`."""

type Named = Mapping[str, Float[Array, "..."] | float]
"""Values by name: parameters, states or outputs of one person at one instant (batched outside by `vmap`)."""
